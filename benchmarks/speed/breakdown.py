"""Where the time goes: functions wrapped with clocks, in passes of their own beside the timed ones.

Each clock counts its own function without the wrapped functions it calls, so that the shares add
up. For that, batches are annotated one after the other, not side by side. The clocks themselves
are too cheap to be seen.
"""

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import torch
from accelerate import Accelerator

import hiermtl.annotation.streams
import hiermtl.heads.biaffine
import hiermtl.heads.crf
from benchmarks.timing import synchronise
from hiermtl.document import Document
from hiermtl.model import HierarchicalModel
from hiermtl.structures.tree import is_tree
from hiermtl.tokens import Collator, Tokenizer

REST = "all else"


class Clocks:
    """Seconds by label, of functions that may call each other."""

    def __init__(self, device: torch.device) -> None:
        """On a graphics processor each clock waits for it, which slows the whole down."""
        self.device = device
        self.seconds: dict[str, float] = {}
        self._running: list[list[float]] = []

    def wrap(self, function: Callable[..., Any], label: str) -> Callable[..., Any]:
        """The function with a clock."""
        self.seconds.setdefault(label, 0.0)

        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            inner = [0.0]
            self._running.append(inner)
            began = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                synchronise(self.device)
                taken = time.perf_counter() - began
                self._running.pop()
                self.seconds[label] += taken - inner[0]
                if self._running:
                    self._running[-1][0] += taken

        return timed

    @contextmanager
    def on(self, places: Sequence[tuple[Any, str, str]]) -> Iterator[None]:
        """Inside, the functions (owner, name, label) have clocks."""
        with ExitStack() as stack:
            for owner, name, label in places:
                stack.enter_context(_replaced(owner, name, self.wrap(getattr(owner, name), label)))
            yield


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    own = name in vars(owner)
    before = vars(owner).get(name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if own:
            setattr(owner, name, before)
        else:
            delattr(owner, name)


def _one_stream() -> AbstractContextManager[None]:
    return _replaced(hiermtl.annotation.streams, "STREAMS", 1)


def annotation_shares(
    model: HierarchicalModel,
    tokenizer: Tokenizer,
    run: Callable[[], object],
    device: torch.device,
) -> dict[str, float]:
    """Share of the time of `run`, which annotates with `model`, by part; together 1."""
    places = [
        (tokenizer, "encode", "tokenize words"),
        (Collator, "__call__", "make batches"),
        *_encoder(model),
        *_heads(model, "heads"),
        (hiermtl.heads.crf, "viterbi", "decode chains"),
        (hiermtl.heads.biaffine, "maximum_spanning_trees", "decode spanning trees"),
        (model, "decode", "other decoding: arc and relation scores, best labels"),
        (model, "forward", "routing between blocks and heads"),
        (Document, "__init__", "build documents"),
    ]
    return _shares(places, run, device, rest=f"{REST}: sorting, labels, order")


def training_shares(
    model: HierarchicalModel,
    accelerator: Accelerator,
    run: Callable[[], object],
    device: torch.device,
) -> dict[str, float]:
    """Share of the time of `run`, which trains `model`, by part; together 1."""
    losses = [
        (model.head(task), "loss", f"loss of {model.head(task).kind} heads")
        for task in model.hierarchy.names
    ]
    places = [
        (Collator, "__call__", "make batches"),
        *_encoder(model),
        *_heads(model, "heads forward"),
        *losses,
        (model, "forward", "routing between blocks and heads"),
        (accelerator, "backward", "backward"),
        (accelerator, "clip_grad_norm_", "clip the gradient"),
        (torch.optim.AdamW, "step", "update"),
    ]
    return _shares(places, run, device, rest=REST)


def _encoder(model: HierarchicalModel) -> list[tuple[Any, str, str]]:
    modules = [*model.stack.embeddings.values()]
    for depth in range(1, model.stack.depth + 1):
        modules += model.stack.copies(depth).values()
    return [(module, "forward", "encoder") for module in modules]


def _heads(model: HierarchicalModel, label: str) -> list[tuple[Any, str, str]]:
    return [(model.head(task), "forward", label) for task in model.hierarchy.names]


def _shares(
    places: Sequence[tuple[Any, str, str]],
    run: Callable[[], object],
    device: torch.device,
    *,
    rest: str,
) -> dict[str, float]:
    clocks = Clocks(device)
    with clocks.on(places), _one_stream():
        clocks.wrap(run, rest)()
    total = sum(clocks.seconds.values())
    return {label: seconds / total for label, seconds in clocks.seconds.items()}


def greedy_trees(run: Callable[[], object]) -> float | None:
    """The share of sentences whose best heads, word by word, form a tree.

    `None` without a parser.
    """
    trees = sentences = 0
    decode = hiermtl.heads.biaffine.maximum_spanning_trees

    def count(scores: Any, lengths: Any, **options: Any) -> Any:
        nonlocal trees, sentences
        for own, length in zip(scores, lengths, strict=True):
            permitted = own[1 : length + 1, : length + 1].copy()
            permitted[range(length), range(1, length + 1)] = float("-inf")
            trees += is_tree(permitted.argmax(1))
            sentences += 1
        return decode(scores, lengths, **options)

    with _replaced(hiermtl.heads.biaffine, "maximum_spanning_trees", count), _one_stream():
        run()
    return trees / sentences if sentences else None
