"""The variants: an encoder of random weights with four tasks, with ever more of what makes it fast.

Each step of training is the loop's own, from the plan to the update; the share of the peak counts
the encoder's matrix products alone, so that heads, losses and all else are time that is lost.
"""

import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoConfig

import hiermtl.training.loop
from benchmarks.speed.bare import (
    Blocks,
    Library,
    Rows,
    Training,
    flat_rows,
    infer,
    operations,
    padded_rows,
)
from benchmarks.speed.subjects import (
    DEPTHS,
    Corpus,
    Epoch,
    Source,
    batches_of,
    examples,
    exhaust,
)
from benchmarks.timing import Variant, interleave, synchronise
from hiermtl import Annotator
from hiermtl.encoders.bert import BertEncoder
from hiermtl.encoders.pretrained import PostNormBlock
from hiermtl.heads.biaffine import BiaffineHead
from hiermtl.model import HierarchicalModel
from hiermtl.pretrained.encoders import MINILM, find_encoder
from hiermtl.pretrained.loading import load_tokenizer
from hiermtl.records import Batch
from hiermtl.training import Settings
from hiermtl.training.compiling import compiled
from hiermtl.training.optimizer import PEAK

_PEAK_REPEATS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a run measures: an encoder's size, and how much text in batches of how many pieces."""

    data: Path
    device: torch.device
    blocks: int
    width: int
    sentences: int
    epochs: int
    tokens_per_batch: int
    brief: int
    rounds: int
    peak: int


def measure(
    options: Options, say: Callable[[str], object], keep: Callable[[dict[str, Any]], object]
) -> dict[str, Any]:
    """Seconds of each variant in each round, words, operations, and peaks, as plain data.

    `keep` is given what is known after each round, so that a run that is broken off leaves that.
    """
    bench = _Bench(options, say)
    variants = [*bench.training(), *bench.annotating()]
    peaks: list[float] = []

    def between(number: int, seconds: Mapping[str, Sequence[float]]) -> None:
        if number:
            keep(_result(options, bench, variants, peaks, seconds))
        peaks.append(matrix_peak(options.peak, options.device))

    seconds = interleave(variants, options.rounds, device=options.device, between=between, say=say)
    return _result(options, bench, variants, peaks, seconds)


def _result(
    options: Options,
    bench: "_Bench",
    variants: Sequence[Variant],
    peaks: Sequence[float],
    seconds: Mapping[str, Sequence[float]],
) -> dict[str, Any]:
    return {
        "encoder": {
            "blocks": options.blocks,
            "width": options.width,
            "weights": bench.weights,
        },
        "depths": bench.depths,
        "sentences": options.sentences,
        "words": bench.words,
        "tokens_per_batch": options.tokens_per_batch,
        "peaks": list(peaks),
        "variants": [
            {
                "name": variant.name,
                "group": variant.group,
                "words": variant.words,
                "operations": variant.operations,
                "seconds": list(seconds[variant.name]),
            }
            for variant in variants
        ],
    }


class _Bench:
    """The text, encoded once, and models of the same size."""

    def __init__(self, options: Options, say: Callable[[str], object]) -> None:
        self.options = options
        corpus = Corpus.read(options.data, train=options.sentences, dev=1)
        self.given = [sentence.words for sentence in corpus.train]
        self.words = sum(map(len, self.given))
        self.labels = corpus.inventory()
        folder = find_encoder(MINILM)
        vocabulary = AutoConfig.from_pretrained(folder).vocab_size
        config = {
            "family": "bert",
            "vocab_size": vocabulary,
            "hidden_size": options.width,
            "intermediate_size": 4 * options.width,
            "num_attention_heads": max(1, options.width // 64),
            "num_hidden_layers": options.blocks,
        }
        self.encoder = BertEncoder.from_config(config)
        self.tokenizer = load_tokenizer(folder, self.encoder.config())
        self.data = examples(self.tokenizer, corpus.train, self.labels)
        model = self.model()
        self.first = model.state_dict()
        self.weights = model.num_parameters()
        self.depths = {task.name: task.depth for task in model.hierarchy}
        say(f"training for {options.brief} epochs, so that decoding is not of random scores")
        self.learned = self._learn()

    def model(self) -> HierarchicalModel:
        """A model with the four tasks."""
        torch.manual_seed(0)
        source = Source(self.encoder, lambda: self.tokenizer)
        return source.model(self.labels, DEPTHS).to(self.options.device)

    def _learn(self) -> dict[str, torch.Tensor]:
        """Weights that have learned a little: trees of random scores take long to tell."""
        model = self.model()
        settings = Settings(
            epochs=self.options.brief,
            evaluate_every=self.options.brief,
            tokens_per_batch=self.options.tokens_per_batch // 8,
            precision="bf16",
            warmup=0.1,
            lr=2e-4,
            lr_heads=2e-3,
        )
        epoch = Epoch(model, self.tokenizer, self.data, settings, device=self.options.device)
        epoch.prepare()
        epoch.run()
        return model.state_dict()

    def training(self) -> list[Variant]:
        """The loop, one speed-up after the other; bare blocks; the library's model."""
        options, model = self.options, self.model()
        plain = Settings(
            epochs=options.epochs,
            evaluate_every=options.epochs,
            tokens_per_batch=options.tokens_per_batch,
            precision="bf16",
            flat=False,
        )
        model.load_state_dict(self.first)

        def epoch(settings: Settings, model: HierarchicalModel = model) -> Epoch:
            return Epoch(model, self.tokenizer, self.data, settings, device=options.device)

        flat, fast = replace(plain, flat=True), replace(plain, flat=True, compile=True)
        once = epoch(replace(flat, epochs=1))
        once.prepare()
        rows = [flat_rows(batch) for batch in batches_of(model, once.run)]
        shared: dict[str, Any] = {"group": "train", "dtype": "bf16"}
        whole = shared | {
            "words": options.epochs * self.words,
            "operations": 3 * options.epochs * operations(model, rows, model.stack.depth),
        }
        once_over = shared | {
            "words": self.words,
            "operations": 3 * operations(model, rows, model.stack.depth),
        }
        out = []
        for name, settings, fused in (
            ("padded", plain, False),
            ("flat", flat, False),
            ("flat, compiled", fast, False),
            ("flat, compiled, fused AdamW", fast, True),
        ):
            runs = epoch(settings)
            run = runs.run if fused else functools.partial(_unfused, runs.run)
            out.append(Variant(name, run=run, prepare=runs.prepare, **whole))
        runs = epoch(fast, _without_dropout(self.model()))
        name = "flat, compiled, fused AdamW, no dropout"
        out.append(Variant(name, run=runs.run, prepare=runs.prepare, **whole))
        padded = [padded_rows(own) for own in rows]
        for name, make, given, fast_too in (
            ("blocks alone, flat, compiled", Blocks, rows, True),
            ("library's encoder alone, padded", Library, padded, False),
        ):
            encoder = make(self.model(), model.stack.depth).to(options.device)
            training = Training(
                encoder, options.width, lr=1e-5, dtype="bf16", device=options.device
            )
            out.append(
                Variant(
                    name,
                    run=functools.partial(_bare, training, given, wanted=fast_too),
                    prepare=training.prepare,
                    **once_over,
                )
            )
        return out

    def annotating(self) -> list[Variant]:
        """Blocks alone, ids to labels with the batches there already, and words to documents."""
        options = self.options
        model = self.model().eval().bfloat16()
        model.load_state_dict(self.learned)
        nlp = Annotator(
            model,
            self.tokenizer,
            precision="bf16",
            tokens_per_batch=options.tokens_per_batch,
        )

        def annotate() -> None:
            exhaust(nlp.pipe(self.given))

        batches = batches_of(model, annotate)
        rows = [flat_rows(batch) for batch in batches]
        shared: dict[str, Any] = {
            "group": "annotate",
            "dtype": "bf16",
            "words": self.words,
            "operations": operations(model, rows, model.stack.depth),
        }
        blocks = Blocks(model, model.stack.depth)
        return [
            Variant("words to documents", run=annotate, **shared),
            Variant(
                "ids to labels",
                run=functools.partial(_label, model, batches),
                **shared,
            ),
            Variant("blocks alone", run=infer(blocks, rows), **shared),
        ]


def _label(model: HierarchicalModel, batches: Sequence[Batch]) -> None:
    """What every task says of batches that are on the device; heads of words one by one."""
    chosen: list[Tensor] = []
    with torch.inference_mode():
        for batch in batches:
            asked = {task: np.ones(len(batch.order), dtype=bool) for task in model.hierarchy.names}
            outputs = model(batch, asked)
            for task, output in outputs.items():
                head = model.head(task)
                if isinstance(head, BiaffineHead):
                    scores, counts = head.arc_scores(output), output.layout.tensor("word_counts")
                    words = torch.arange(scores.shape[2], device=scores.device)
                    absent = words > counts[:, None, None]
                    heads = scores.masked_fill(absent, -torch.inf).argmax(-1)
                    heads = heads[words[:-1] < counts[:, None]]
                    starts = output.layout.tensor("word_sentences")
                    first = output.layout.tensor("word_starts").index_select(0, starts)
                    places = torch.where(heads > 0, heads + first, 0)
                    chosen.append(head.label_scores(output, places).argmax(-1))
            trees = [task for task in asked if isinstance(model.head(task), BiaffineHead)]
            model.decode(outputs, [task for task in asked if task not in trees])


def _without_dropout(model: HierarchicalModel) -> HierarchicalModel:
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        elif isinstance(module, PostNormBlock):
            module.attention_dropout = 0.0
    return model


def _bare(training: Training, rows: Sequence[Rows], *, wanted: bool) -> None:
    with compiled(training.encoder, wanted=wanted):
        training.run(rows)


def _unfused(run: Callable[[], object]) -> None:
    with _optimizer_as_it_comes():
        run()


@contextmanager
def _optimizer_as_it_comes() -> Iterator[None]:
    """Inside, the loop's AdamW is torch's default one, with the same groups."""
    loop: Any = hiermtl.training.loop
    fused = loop.make_optimizer

    def made(*given: Any) -> torch.optim.AdamW:
        kept = ("params", "lr", "weight_decay", PEAK)
        groups = [{name: group[name] for name in kept} for group in fused(*given).param_groups]
        return torch.optim.AdamW(groups)

    loop.make_optimizer = made
    try:
        yield
    finally:
        loop.make_optimizer = fused


def matrix_peak(size: int, device: torch.device) -> float:
    """The mean GFLOP/s of square products of random numbers in bf16, one after the other."""
    left, right = (torch.randn(size, size, device=device).bfloat16() for _ in range(2))
    with torch.inference_mode():
        F.linear(left, right)
        synchronise(device)
        began = time.perf_counter()
        for _ in range(_PEAK_REPEATS):
            F.linear(left, right)
        synchronise(device)
        taken = time.perf_counter() - began
    return 2 * size**3 * _PEAK_REPEATS / taken / 1e9
