"""`hiermtl benchmark`: how fast a model annotates, and with how much memory, per set of tasks."""

import contextlib
import os
import statistics
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

from hiermtl.annotation import Annotator, load
from hiermtl.annotation.given import Given, Pair
from hiermtl.annotation.reading import format_of, read_records
from hiermtl.errors import DataError, ModelError, RecipeError, listing
from hiermtl.precision import resolve_device
from hiermtl.sample.write import sample_corpus
from hiermtl.text.plain import split_text
from hiermtl.text.segment import SEGMENT
from hiermtl.text.sentence import Sentence

SENTENCES = 400
"""Sample sentences that are repeated until there are words enough."""


@dataclass(frozen=True, slots=True)
class Speed:
    """One set of tasks.

    `blocks` is the deepest block that runs; `words_per_second` the median over the rounds;
    `slowest` and `fastest` bound it; `peak` is the process's most memory while it ran, in bytes, or
    `None` where the system does not tell.
    """

    tasks: tuple[str, ...]
    blocks: int
    words_per_second: float
    slowest: float
    fastest: float
    peak: int | None


@dataclass(frozen=True, slots=True)
class BenchmarkReport:
    """What was measured, on how many words, with which number type, and how long loading took.

    `start` are the seconds from nothing to the first document, if the model was loaded here;
    `left_out` the tasks that were asked for and judge pairs, which are not timed.
    """

    rows: tuple[Speed, ...]
    words: int
    sentences: int
    precision: str
    threads: int
    rounds: int
    start: float | None
    source: str
    left_out: tuple[str, ...] = ()

    def to_text(self, *, about: bool = True) -> str:
        """A table for a terminal, and below it what was timed how."""
        header = ("tasks", "blocks", "words/s", "slowest", "fastest", "peak memory")
        cells = [
            (
                " ".join(row.tasks),
                str(row.blocks),
                f"{row.words_per_second:,.0f}",
                f"{row.slowest:,.0f}",
                f"{row.fastest:,.0f}",
                "-" if row.peak is None else f"{row.peak / 2**20:,.0f} MiB",
            )
            for row in self.rows
        ]
        widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
        lines = [
            "  ".join(
                text.ljust(width) if not at else text.rjust(width)
                for at, (text, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in (header, *cells)
        ]
        if not about:
            return "\n".join(lines)
        how = (
            f"{self.words:,} words in {self.sentences:,} sentences ({self.source}), from words to "
            f"documents; median of {self.rounds} rounds; {self.precision}; {self.threads} threads"
        )
        started = [] if self.start is None else [f"loading and first document: {self.start:.2f} s"]
        if any(SEGMENT in row.tasks for row in self.rows):
            how += f"; {SEGMENT} from text, the words with spaces between"
        pairs = [f"not timed, since they judge pairs: {', '.join(self.left_out)}"]
        return "\n".join([*lines, "", how, *started, *(pairs if self.left_out else [])])


def benchmark(
    model: str | Path | Annotator,
    data: str | Path | None = None,
    *,
    tasks: Iterable[str] | None = None,
    words: int = 20_000,
    rounds: int = 3,
    precision: str | None = None,
    device: str | None = None,
) -> BenchmarkReport:
    """Times a model from words to documents: each task alone, then all of them.

    Rounds are interleaved, so that a busy machine slows all sets alike.

    Args:
        model: A model, or where one lies.
        data: Text to annotate, `.txt`, `.conllu` or `.jsonl`; repeated if it is short. Default:
            sentences of the sample corpora.
        tasks: The tasks to time; default all.
        words: How many words a round annotates.
        rounds: How often each set is timed.
        precision: `fp32` or `bf16` for a model that is loaded here. Default: the model's.
        device: Where a model that is loaded here computes, such as `cpu` or `cuda`. Default:
            `cuda` where there is one.

    Raises:
        ModelError: The model, a task or the precision is not there.
        DataError: The text is missing, malformed or empty.
        RecipeError: A number is below 1.
    """
    import torch

    for name, value in (("words", words), ("rounds", rounds)):
        if value < 1:
            raise RecipeError(f"{name} is {value}; allowed is 1 or more")
    began = time.perf_counter()
    nlp = model
    if not isinstance(nlp, Annotator):
        nlp = load(nlp, device=resolve_device(device), precision=precision)
    loading = time.perf_counter() - began
    every = nlp.model.hierarchy.select(tasks)
    names = tuple(task for task in every if nlp.heads[task].unit != "pair")
    if not names:
        raise ModelError(
            f"{listing(every)} judge pairs of texts, which this command does not time; choose "
            "other tasks with --tasks"
        )
    left_out = tuple(task for task in every if task not in names)
    given, source = _text(data, nlp.language)
    began = time.perf_counter()
    nlp(given[0], names)
    first = time.perf_counter() - began
    start = None if isinstance(model, Annotator) else loading + first
    sentences = _enough(given, words)
    sets = [*((task,) for task in names), *([names] if len(names) > 1 else [])]
    count = sum(map(len, sentences))
    times: dict[tuple[str, ...], list[float]] = {chosen: [] for chosen in sets}
    peaks: dict[tuple[str, ...], int | None] = {}
    for chosen in sets:  # a round that is not counted: caches fill, kernels are chosen
        _run(nlp, sentences[: max(1, len(sentences) // 10)], chosen)
    for _ in range(rounds):
        for chosen in sets:
            _forget_peak()
            began = time.perf_counter()
            _run(nlp, sentences, chosen)
            times[chosen].append(time.perf_counter() - began)
            peak = _peak()
            peaks[chosen] = peak if peak is None else max(peak, peaks.get(chosen) or 0)
    rows = tuple(
        Speed(
            chosen,
            max(nlp.model.routes[task].depth for task in chosen),
            count / statistics.median(times[chosen]),
            count / max(times[chosen]),
            count / min(times[chosen]),
            peaks[chosen],
        )
        for chosen in sets
    )
    return BenchmarkReport(
        rows,
        count,
        len(sentences),
        nlp.precision,
        torch.get_num_threads(),
        rounds,
        start,
        source,
        left_out,
    )


def _run(nlp: Annotator, sentences: Sequence[Sequence[str]], tasks: Sequence[str]) -> None:
    texts: Iterable[Given] = sentences
    if tuple(tasks) == (SEGMENT,):  # of words that are given there is nothing to find
        texts = map(" ".join, sentences)
    for _ in nlp.pipe(texts, tasks):
        pass


def _enough(given: Sequence[tuple[str, ...]], words: int) -> list[tuple[str, ...]]:
    """Sentences until there are so many words, repeated if need be."""
    found: list[tuple[str, ...]] = []
    count = 0
    for sentence in cycle(given):
        found.append(sentence)
        count += len(sentence)
        if count >= words:
            return found
    raise DataError("there is no word to annotate; give a file with text")


def _text(data: str | Path | None, language: str) -> tuple[list[tuple[str, ...]], str]:
    """Sentences as words, and what they are."""
    if data is None:
        corpus = sample_corpus(0, 0, dev=SENTENCES, test=0)
        sentences = (s for document in corpus.documents("dev") for s in document.sentences)
        return [tuple(sentence.words) for sentence in islice(sentences, SENTENCES)], "sample"
    path = Path(data)
    kind = format_of(path)
    if kind is None:
        raise DataError("no text that can be read; give .txt, .conllu or .jsonl", path)
    found: list[tuple[str, ...]] = []
    for record in read_records(path, kind):
        found += [words for words in _words(record.given, language) if words]
    if not found:
        raise DataError("there is no word to annotate; give a file with text", path)
    return found, path.name


def _words(given: Given, language: str) -> Iterator[tuple[str, ...]]:
    """The words of each sentence of a record."""
    if isinstance(given, Pair):
        for side in (given.first, given.second):
            yield from _words(side, language)
    elif isinstance(given, str):
        yield from (sentence.words for sentence in split_text(given, language))
    elif all(isinstance(item, str) for item in given):
        yield tuple(str(word) for word in given)
    else:
        yield from (item.words for item in given if isinstance(item, Sentence))


def _forget_peak() -> None:
    """Lets the system count the most memory anew, where it can."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            Path(f"/proc/{os.getpid()}/clear_refs").write_text("5", encoding="ascii")


def _peak() -> int | None:
    """The most memory since `_forget_peak`, in bytes."""
    if sys.platform != "linux":
        return None
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{os.getpid()}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    return None
