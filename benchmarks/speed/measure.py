"""The variants, the run over them, and the result as plain data."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks import facts
from benchmarks.speed.bare import (
    Blocks,
    Library,
    Rows,
    Training,
    check_agreement,
    flat_rows,
    infer,
    naive_rows,
    operations,
    padded_rows,
)
from benchmarks.speed.breakdown import annotation_shares, greedy_trees, training_shares
from benchmarks.speed.subjects import (
    DEPTHS,
    LOW_DEPTHS,
    Corpus,
    Epoch,
    Source,
    batches_of,
    examples,
    exhaust,
    train_briefly,
    trained_model,
)
from benchmarks.timing import Variant, interleave, matrix_peak, ratios
from hiermtl import Annotator
from hiermtl.model import HierarchicalModel
from hiermtl.tokens import Tokenizer
from hiermtl.training import Settings

ANNOTATE_GOAL = 1.35
LOW_GOAL = 1.5
TRAIN_GOAL = 1.4
TREE_GOAL = 0.05
NAIVE_GOALS = {"fp32": 1 / 2.5, "bf16": 1 / 6}
NAIVE_SIZE = 32
_SHARE_PASSES = 3
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a run measures.

    `sentences` of dev are annotated (`None`: all), `train_sentences` make an epoch, the first
    `brief` of them prepare the heads unless `model` names a trained one.
    """

    data: str
    encoder: str
    model: str | None
    rounds: int
    sentences: int | None
    train_sentences: int
    brief: int
    device: str
    dtypes: tuple[str, ...]


def measure(options: Options, say: Callable[[str], object]) -> dict[str, Any]:
    """Builds everything, runs all rounds, and gives the result as plain data for JSON."""
    device = torch.device(options.device)
    corpus = Corpus.read(
        Path(options.data),
        train=max(options.train_sentences, options.brief),
        dev=options.sentences,
    )
    bench = Bench(options, corpus, device, say)
    peaks: dict[str, list[float]] = {dtype: [] for dtype in options.dtypes}

    def between(*_: object) -> None:
        for dtype in options.dtypes:
            peaks[dtype].append(matrix_peak(_DTYPES[dtype], device))

    variants = bench.variants()
    loads = [facts.load()]
    seconds = interleave(variants, options.rounds, device=device, between=between, say=say)
    loads.append(facts.load())
    say("where the time goes")
    return {
        "benchmark": "speed",
        "machine": facts.machine(device),
        "commit": facts.commit(),
        "load": loads,
        "parameters": {k: v for k, v in asdict(options).items() if k not in ("data", "model")}
        | {"model": "given" if options.model else "trained briefly"},
        "corpus": bench.sizes(),
        "variants": [
            {
                "name": variant.name,
                "group": variant.group,
                "dtype": variant.dtype,
                "words": variant.words,
                "operations": variant.operations,
                "seconds": seconds[variant.name],
            }
            for variant in variants
        ],
        "ratios": [
            {
                "variant": variant.name,
                "reference": reference,
                "goal": goal,
                "rounds": ratios(seconds, variant.name, reference),
            }
            for variant in variants
            for reference, goal in variant.against.items()
        ],
        "peaks": peaks,
        "shares": bench.shares(),
        "greedy_trees": bench.greedy_trees(),
    }


class Bench:
    """Models and batches, built once for all rounds."""

    def __init__(
        self,
        options: Options,
        corpus: Corpus,
        device: torch.device,
        say: Callable[[str], object],
    ) -> None:
        """Builds the models, and trains one of them briefly if none is given."""
        self.options, self.corpus, self.device = options, corpus, device
        self.words = [sentence.words for sentence in corpus.dev]
        labels = corpus.inventory()
        source = Source.of(options.encoder)
        train, brief = (corpus.train[:n] for n in (options.train_sentences, options.brief))
        self.train_words = sum(len(sentence.words) for sentence in train)
        self.train_tokenizer = source.tokenizer()
        self.train_data = examples(self.train_tokenizer, train, labels)
        if options.model is None:
            model, self.tokenizer = source.model(labels, DEPTHS), source.tokenizer
            say(f"training on {len(brief)} sentences, so that decoding is not of random scores")
            train_briefly(
                model, self.train_tokenizer, examples(self.train_tokenizer, brief, labels), device
            )
        else:
            model, self.tokenizer = trained_model(Path(options.model))
        self.annotating = self._in_dtypes(model)
        self.low_tokenizer = source.tokenizer
        self.low = self._in_dtypes(source.model(labels, LOW_DEPTHS))
        self.epochs = {
            dtype: Epoch(
                source.model(labels, DEPTHS).to(device),
                self.train_tokenizer,
                self.train_data,
                Settings(epochs=1, precision=dtype),
                device=device,
            )
            for dtype in options.dtypes
        }

    def _in_dtypes(self, model: HierarchicalModel) -> dict[str, HierarchicalModel]:
        model = model.to(self.device).eval()
        return {dtype: copy.deepcopy(model).to(_DTYPES[dtype]) for dtype in self.options.dtypes}

    def sizes(self) -> dict[str, int]:
        """How much is annotated and trained on."""
        return {
            "sentences": len(self.words),
            "words": sum(map(len, self.words)),
            "train_sentences": len(self.train_data),
            "train_words": self.train_words,
        }

    def variants(self) -> list[Variant]:
        """All of them, references before those that are held against them."""
        out: list[Variant] = []
        for dtype in self.options.dtypes:
            out += self._annotation(dtype)
            out += self._low(dtype)
        out += self._training()
        return out

    def _annotation(self, dtype: str) -> list[Variant]:
        """All tasks against all blocks those need; and, in fp32, against the naive loop."""
        model = self.annotating[dtype]
        annotating = _Annotating(model, self.tokenizer, dtype, self.words, None)
        flat = annotating.rows()
        depth, count = model.stack.depth, len(model.hierarchy.names)
        blocks, library = Blocks(model, depth), Library(model, depth).to(model.dtype)
        library = library.to(self.device)
        shared: dict[str, Any] = {
            "group": f"annotate, {dtype}",
            "dtype": dtype,
            "words": sum(map(len, self.words)),
            "operations": operations(model, flat, depth),
        }
        padded = [padded_rows(rows) for rows in flat]
        if dtype == "fp32":
            check_agreement(blocks, library, flat[0])
        bare = Variant(f"blocks, flat, {dtype}", run=infer(blocks, flat), **shared)
        others = [
            Variant(f"blocks, padded, {dtype}", run=infer(blocks, padded), **shared),
            Variant(f"library, padded, {dtype}", run=infer(library, padded), **shared),
        ]
        against: dict[str, float | None] = {bare.name: ANNOTATE_GOAL, others[1].name: None}
        if dtype == "fp32":
            naive = Variant(
                f"library, file order, batches of {NAIVE_SIZE}, fp32",
                run=infer(library, self._naive(flat)),
                **shared,
            )
            others.append(naive)
        if "fp32" in self.options.dtypes:
            against[f"library, file order, batches of {NAIVE_SIZE}, fp32"] = NAIVE_GOALS[dtype]
        whole = Variant(
            f"annotate, {count} tasks, {dtype}",
            run=annotating.run,
            prepare=annotating.prepare,
            against=against,
            **shared,
        )
        return [bare, *others, whole]

    def _naive(self, like: Sequence[Rows]) -> list[Rows]:
        tokenizer = self.tokenizer()
        pieces = tokenizer.encode([words for words in self.words if words])["pieces"]
        rows = [
            [*tokenizer.prefix, *own.tolist()[: tokenizer.limit], *tokenizer.suffix]
            for own in pieces
        ]
        return naive_rows(rows, NAIVE_SIZE, like[0].layout)

    def _low(self, dtype: str) -> list[Variant]:
        """Parts of speech alone, read low, against the blocks below them."""
        model = self.low[dtype]
        depth = model.hierarchy["upos"].depth
        annotating = _Annotating(model, self.low_tokenizer, dtype, self.words, ["upos"])
        flat = annotating.rows()
        shared: dict[str, Any] = {
            "group": f"one low task, {dtype}",
            "dtype": dtype,
            "words": sum(map(len, self.words)),
            "operations": operations(model, flat, depth),
        }
        bare = Variant(
            f"blocks 1 to {depth}, flat, {dtype}", run=infer(Blocks(model, depth), flat), **shared
        )
        whole = Variant(
            f"annotate, upos at depth {depth}, {dtype}",
            run=annotating.run,
            prepare=annotating.prepare,
            against={bare.name: LOW_GOAL},
            **shared,
        )
        return [bare, whole]

    def _training(self) -> list[Variant]:
        """An epoch of the loop against bare steps over the same batches."""
        out = []
        fastest = self.epochs[self.options.dtypes[-1]]
        fastest.prepare()
        flat = [flat_rows(batch) for batch in batches_of(fastest.model, fastest.run)]
        padded = [padded_rows(rows) for rows in flat]
        for dtype, epoch in self.epochs.items():
            model = epoch.model
            depth = model.stack.depth
            shared: dict[str, Any] = {
                "group": f"train, {dtype}",
                "dtype": dtype,
                "words": self.train_words,
                "operations": 3 * operations(model, flat, depth),
            }
            settings = epoch.settings
            copied = copy.deepcopy(model).float()
            blocks, library = (
                Training(
                    encoder.to(self.device),
                    model.heads["dep"].root.shape[1],
                    lr=settings.lr,
                    dtype=dtype,
                    device=self.device,
                )
                for encoder in (Blocks(copied, depth), Library(copied, depth))
            )
            bare = [
                Variant(
                    f"step of blocks, flat, {dtype}",
                    run=lambda training=blocks: training.run(flat),
                    prepare=blocks.prepare,
                    **shared,
                ),
                Variant(
                    f"step of library, padded, {dtype}",
                    run=lambda training=library: training.run(padded),
                    prepare=library.prepare,
                    **shared,
                ),
            ]
            whole = Variant(
                f"train epoch, {len(model.hierarchy.names)} tasks, {dtype}",
                run=epoch.run,
                prepare=epoch.prepare,
                against={bare[0].name: TRAIN_GOAL, bare[1].name: None},
                **shared,
            )
            out += [*bare, whole]
        return out

    def shares(self) -> dict[str, dict[str, list[float]]]:
        """Of annotation and of training in each precision: parts, and their share in each pass."""
        out: dict[str, dict[str, list[float]]] = {}
        for dtype in self.options.dtypes:
            for _ in range(_SHARE_PASSES):
                annotating = _Annotating(
                    self.annotating[dtype], self.tokenizer, dtype, self.words, None
                )
                annotating.prepare()
                found = annotation_shares(
                    annotating.model, annotating.tokenizer, annotating.run, self.device
                )
                _append(out.setdefault(f"annotate, {dtype}", {}), found)
            epoch = self.epochs[dtype]
            epoch.prepare()
            assert epoch.accelerator is not None
            found = training_shares(epoch.model, epoch.accelerator, epoch.run, self.device)
            _append(out.setdefault(f"train, {dtype}", {}), found)
        return out

    def greedy_trees(self) -> float | None:
        """How easy the trees were to decode."""
        dtype = self.options.dtypes[0]
        annotating = _Annotating(self.annotating[dtype], self.tokenizer, dtype, self.words, None)
        annotating.prepare()
        return greedy_trees(annotating.run)


class _Annotating:
    """Words to documents, each time with a tokenizer that has seen no word."""

    def __init__(
        self,
        model: HierarchicalModel,
        tokenizer: Callable[[], Tokenizer],
        dtype: str,
        words: Sequence[Sequence[str]],
        tasks: Sequence[str] | None,
    ) -> None:
        self.model, self.make, self.dtype = model, tokenizer, dtype
        self.words, self.tasks = words, tasks
        self.tokenizer = tokenizer()
        self.annotator: Annotator | None = None

    def prepare(self) -> None:
        """A new tokenizer; the model is in its precision already."""
        self.tokenizer = self.make()
        precision = "bf16" if self.dtype == "bf16" else "fp32"
        self.annotator = Annotator(self.model, self.tokenizer, precision=precision)

    def run(self) -> int:
        """Annotates all sentences; the number of documents."""
        assert self.annotator is not None
        return exhaust(self.annotator.pipe(self.words, self.tasks))

    def rows(self) -> list[Rows]:
        """What the encoder is given on the way."""
        self.prepare()
        return [flat_rows(batch) for batch in batches_of(self.model, self.run)]


def _append(table: dict[str, list[float]], found: dict[str, float]) -> None:
    for label, share in found.items():
        table.setdefault(label, []).append(share)
