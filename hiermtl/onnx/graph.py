"""A model as a graph of padded tensors: sentences in rows, words in columns, scores out.

The walk is that of `HierarchicalModel.forward` with every task asked of every sentence; blocks,
mixing and heads are the model's own modules. What they ask of a layout is answered by a `Grid`,
whose sizes may be symbols.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hiermtl.encoders.bilstm import TimeSteps
from hiermtl.errors import ModelError, listing
from hiermtl.heads import BiaffineHead, Head, TextHead
from hiermtl.heads.biaffine import with_one
from hiermtl.model import HierarchicalModel
from hiermtl.records import Layout, Stream, Tap

Made = TypeVar("Made")

FAMILIES = ("bert", "roberta", "xlm-roberta", "camembert", "electra", "distilbert", "bilstm")
"""Encoder families whose graphs keep batch and length free."""

REASONS = {
    "mpnet": "torch cannot write its attention with a bias for free lengths",
    "deberta-v2": "which rows of its table of relative positions it reads depends on the length",
    "modernbert": "torch cannot write its rotary positions for free lengths",
}
"""Why there are no graphs of the other families."""

EVERYONE = np.zeros(1, dtype=np.int64)
"""All sentences, whose number the graph does not know: as one, which is never narrowed."""


class Grid(Layout):
    """Rows of one length, one for each sentence, and as many words in each.

    Shapes: real (rows, length) bool; starts, ends (rows, words): the place of a word's first piece
    and the place behind its last, starts below 0 where there is no word.
    """

    def __init__(self, real: Tensor, starts: Tensor, ends: Tensor | None) -> None:
        rows, length = real.shape
        own = {"real": real, "starts": starts, "ends": ends, "padded": length}
        for name, value in {**own, "units": rows * length, "device": real.device}.items():
            object.__setattr__(self, name, value)

    real: Tensor
    starts: Tensor
    ends: Tensor | None

    @property
    def rows(self) -> int:
        """The number of rows."""
        return self.real.shape[0]

    @property
    def sentences(self) -> int:
        """One: see `EVERYONE`."""
        return 1

    @property
    def there(self) -> Tensor:
        """(rows, words) bool: whether there is a word."""
        return self.starts >= 0

    def cached(self, key: object, make: Callable[[], Made]) -> Made:
        """`make()`, or what is known already; sizes that are symbols cannot be kept."""
        if key == "real units":
            return self.real  # pyright: ignore[reportReturnType] - what `make` would give
        if key == "time steps":
            return self._steps()  # pyright: ignore[reportReturnType] - as above
        return make()

    def tensor(self, name: str) -> Tensor:
        """The lengths of rows; of other arrays there are none."""
        if name != "row_lengths":
            raise ModelError(f"the graph of a model has no {name!r}: its blocks cannot be exported")
        return self.real.sum(-1)

    def gather(self, values: Tensor, pooling: str) -> Tensor:
        """(units, width) to (rows * words, width); see `Layout.gather`."""
        states = values.view(*self.real.shape, values.shape[-1])
        if pooling == "first":
            places = self.starts.clamp(min=0).unsqueeze(-1).expand(-1, -1, states.shape[-1])
            return states.gather(1, places).flatten(0, 1)
        inside = self._inside().to(states.dtype)
        counts = inside.sum(-1, keepdim=True).clamp(min=1)
        return (inside @ states / counts).flatten(0, 1)

    def scatter(self, words: Tensor) -> Tensor:
        """(rows * words, width) to (units, width); see `Layout.scatter`."""
        inside = self._inside().to(words.dtype)
        vectors = words.view(*self.starts.shape, words.shape[-1])
        return (inside.transpose(1, 2) @ vectors).flatten(0, 1)

    def _steps(self) -> TimeSteps:
        """Rows side by side; behind the end of a row it reads its first unit, backwards."""
        row = torch.arange(self.rows, device=self.device)
        step = torch.arange(self.padded, device=self.device)[:, None]
        back = (self.real.sum(-1) - 1 - step).clamp(min=0)
        units, reversed_units = (row * self.padded + at for at in (step, back))
        places, reversed_places = ((at * self.rows + row).T for at in (step, back))
        tables = (units, reversed_units, places, reversed_places)
        return TimeSteps(self.padded, self.rows, *(table.flatten() for table in tables))

    def _inside(self) -> Tensor:
        """(rows, words, length) bool: whether a piece is one of the word's."""
        assert self.ends is not None
        places = torch.arange(self.padded, device=self.device)
        return (places >= self.starts[..., None]) & (places < self.ends[..., None])


@dataclass(frozen=True, slots=True)
class Output:
    """A tensor that the graph gives: its name, what it is, and which of its axes are free."""

    name: str
    about: str
    axes: tuple[str, ...]


class Graph(nn.Module):
    """Some tasks of a model; called with `inputs`, in this order, it gives `outputs`.

    Shapes: `input_ids`, `attention_mask` and, if it is read, `casing` (rows, length) int64;
    `word_starts` and, if they are read, `word_ends` (rows, words) int64, -1 and 0 behind a row's
    last word. Of a BiLSTM: `word_ids` (rows, words) int64, -1 behind a row's last word;
    `ngrams` (all,) and `ngram_starts` (rows, words) int64, words of all rows one after the other,
    those that are none without n-grams.
    """

    def __init__(self, model: HierarchicalModel, tasks: Sequence[str]) -> None:
        """Takes a model in evaluation mode.

        Raises ModelError for a family, a head or a scheme of which no such graph is made.
        """
        super().__init__()
        check(model, tasks)
        self.model, self.tasks = model, tuple(tasks)
        routes = [model.routes[task] for task in tasks]
        self.raw = frozenset().union(*(route.raw for route in routes))
        self.mixed = frozenset().union(*(route.mixed for route in routes))
        needed = frozenset().union(*(route.tasks for route in routes))
        self.walked = [task for task in model.hierarchy.names if task in needed]
        self.feeding = any(model.sharing.feeds(depth) for depth in range(1, self.top + 1))
        ends = self.feeding or model.config.pooling != "first"
        casing = bool(model.config.encoder.get("casing"))
        self.inputs = (
            "input_ids",
            "attention_mask",
            "word_starts",
            *(["word_ends"] if ends else []),
            *(["casing"] if casing else []),
        )
        if model.config.encoder["family"] == "bilstm":
            self.inputs = ("word_ids", "ngrams", "ngram_starts")

    @property
    def top(self) -> int:
        """The deepest block there is."""
        return max(depth for depth, _ in self.raw)

    @property
    def outputs(self) -> list[Output]:
        """What it gives, task after task."""
        return [output for task in self.tasks for output in outputs_of(task, self.model.head(task))]

    def forward(self, *tensors: Tensor) -> list[Tensor]:
        """The scores named by `outputs`."""
        given = dict(zip(self.inputs, tensors, strict=True))
        inputs, grid = _of_words(given) if "word_ids" in given else _of_pieces(given)
        scores = self._scores(inputs, grid)
        return [
            tensor
            for task in self.tasks
            for tensor in program_of(self.model.head(task))(
                self.model.head(task), scores[task], grid
            )
        ]

    def _scores(self, inputs: Mapping[str, Tensor], grid: Grid) -> dict[str, dict[str, Tensor]]:
        """For each task the scores of its head, words of all rows first."""
        model, sharing = self.model, self.model.sharing
        last = {task: max(depth for depth, _ in sharing.reads(task)) for task in self.walked}
        kept: dict[tuple[int, str], Tensor] = {}
        scores: dict[str, dict[str, Tensor]] = {}
        below: Mapping[str, Stream] = {}
        for depth in range(self.top + 1):
            streams = {}
            for branch, parent in sharing.branches(depth).items():
                if (depth, branch) not in self.raw:
                    continue
                if parent is None:
                    values = model.stack.embedding(branch)(inputs, grid)
                else:
                    stream = below[parent]
                    fed = {
                        task: scores[task]["labels"].softmax(-1) for task in sharing.feeds(depth)
                    }
                    seen = [kept[state] for state in sharing.sees(depth)]
                    extra = sharing.extra(depth, stream, fed=fed, seen=seen)
                    values = model.stack.block(depth, branch)(stream.values, grid, extra)
                streams[branch] = Stream(values, grid, EVERYONE)
            receivers = {branch: EVERYONE for at, branch in self.mixed if at == depth}
            below = sharing.mix(depth, streams, receivers=dict(sorted(receivers.items())))
            kept.update({(depth, name): stream.values for name, stream in below.items()})
            for task in self.walked:
                if last[task] == depth:
                    scores[task] = self._read(task, kept, grid)
        return scores

    def _read(
        self, task: str, kept: Mapping[tuple[int, str], Tensor], grid: Grid
    ) -> dict[str, Tensor]:
        model = self.model
        values = [
            grid.gather(kept[state], model.config.pooling) for state in model.sharing.reads(task)
        ]
        if task in model.taps:
            values = [model.taps[task](value) for value in values]
        read, head = model.sharing.read(task, values), model.head(task)
        if isinstance(head, TextHead):
            return {"words": read}
        return head(Tap(read, grid))


def _of_pieces(given: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Grid]:
    """What an embedding of pieces reads, and where words are."""
    ids, real = given["input_ids"], given["attention_mask"].bool()
    places = torch.arange(ids.shape[1], device=ids.device).expand(ids.shape)
    inputs = {"ids": ids.flatten(), "positions": (places * real).flatten()}
    if "casing" in given:
        inputs["casing"] = given["casing"].flatten()
    return inputs, Grid(real, given["word_starts"], given.get("word_ends"))


def _of_words(given: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Grid]:
    """What an embedding of words reads; each is its own piece."""
    ids = given["word_ids"]
    real = ids >= 0
    places = torch.arange(ids.shape[1], device=ids.device).expand(ids.shape)
    inputs = {
        "ids": ids.clamp(min=0).flatten(),
        "ngrams": given["ngrams"],
        "ngram_starts": given["ngram_starts"].flatten(),
    }
    return inputs, Grid(real, torch.where(real, places, -1), (places + 1) * real)


def _labels(head: Head, scores: Mapping[str, Tensor], grid: Grid) -> list[Tensor]:
    """(rows, words, labels)."""
    del head
    found = scores["labels"]
    return [found.view(*grid.starts.shape, found.shape[-1])]


def _tree(head: Head, scores: Mapping[str, Tensor], grid: Grid) -> list[Tensor]:
    """Scores of heads (rows, words, 1 + words), and of relations for each head.

    -inf for the word itself and for heads behind the sentence's end; the root comes first.
    """
    assert isinstance(head, BiaffineHead)
    shape = grid.starts.shape

    def rooted(name: str) -> Tensor:
        root = scores[f"root_{name}"].expand(shape[0], 1, -1)
        return torch.cat([root, scores[name].view(*shape, -1)], dim=1)

    dependents = with_one(scores["arc_dep"]) @ head.arc
    arcs = dependents.view(*shape, -1) @ rooted("arc_head").transpose(1, 2)
    places = torch.arange(shape[1], device=arcs.device)
    own = F.pad(places[:, None] == places, (1, 0), value=False)
    behind = F.pad(~grid.there, (1, 0), value=False)
    arcs = arcs.masked_fill(own | behind[:, None], float("-inf"))
    size, labels, _ = head.label.shape
    mixed = with_one(scores["label_dep"]) @ head.label.view(size, -1)
    mixed = mixed.view(shape[0], shape[1] * labels, size)
    relations = mixed @ with_one(rooted("label_head")).transpose(1, 2)
    return [arcs, relations.view(*shape, labels, -1).transpose(2, 3)]


def _text(head: Head, scores: Mapping[str, Tensor], grid: Grid) -> list[Tensor]:
    """(rows, labels)."""
    assert isinstance(head, TextHead)
    words = scores["words"].masked_fill(~grid.there.view(-1, 1), float("-inf"))
    return [head.output(words.view(*grid.starts.shape, -1).amax(1))]


Program = Callable[[Head, Mapping[str, Tensor], Grid], list[Tensor]]

PROGRAMS: dict[str, Program] = {
    "tagging": _labels,
    "crf": _labels,
    "edits": _labels,
    "hint": _labels,
    "biaffine": _tree,
    "text_classification": _text,
}
"""Kinds of heads whose scores a graph gives."""


def program_of(head: Head) -> Program:
    """What makes the outputs of a head of its scores."""
    return PROGRAMS[head.kind]


def outputs_of(task: str, head: Head) -> list[Output]:
    """The tensors a graph gives of a task."""
    match head.kind:
        case "biaffine":
            return [
                Output(f"{task}.heads", "score of each head, the root first", _HEADS),
                Output(f"{task}.relations", "score of each relation for each head", _RELATIONS),
            ]
        case "text_classification":
            return [Output(task, "score of each label", ("rows", "labels"))]
        case _:
            return [Output(task, "score of each label", ("rows", "words", "labels"))]


_HEADS = ("rows", "words", "heads")
_RELATIONS = ("rows", "words", "heads", "labels")


def exportable(model: HierarchicalModel) -> list[str]:
    """The tasks whose heads have a program."""
    return [task for task in model.hierarchy.names if model.head(task).kind in PROGRAMS]


def check(model: HierarchicalModel, tasks: Sequence[str]) -> None:
    """Raises ModelError for a family or a head of which no graph is made."""
    family = str(model.config.encoder.get("family"))
    if family not in FAMILIES:
        why = REASONS.get(family, "nobody has tried it")
        raise ModelError(
            f"an encoder of family {family!r} cannot be exported: {why}; the families that can are "
            f"{listing(FAMILIES)}"
        )
    for task in tasks:
        head = model.head(task)
        if head.kind not in PROGRAMS:
            able = exportable(model)
            why = _NOT_WORDS.get(head.unit, f"it finds {head.layer} by a search over the words")
            raise ModelError(
                f"task {task!r} has a head of kind {head.kind!r}, which cannot be exported: {why}; "
                f"the kinds that can are {listing(PROGRAMS)}"
                + (f": name tasks of {listing(able)} alone" if able else "")
            )


_NOT_WORDS = {
    "pair": "it compares two sentences",
    "document": "it joins the sentences of a document",
}


def example(graph: Graph) -> tuple[tuple[Tensor, ...], tuple[dict[int, Any], ...]]:
    """Inputs of the right shapes, and which of their axes are free."""
    rows, length, words = 2, 7, 3
    starts = torch.tensor([[1, 2, 4], [1, 3, -1]])
    made = {
        "input_ids": torch.ones(rows, length, dtype=torch.int64),
        "attention_mask": torch.tensor([[1] * length, [1] * 5 + [0] * 2]),
        "word_starts": starts,
        "word_ends": torch.tensor([[2, 4, 6], [3, 4, 0]]),
        "casing": torch.zeros(rows, length, dtype=torch.int64),
        "word_ids": torch.tensor([[0, 0, 0], [0, 0, -1]]),
        "ngrams": torch.zeros(11, dtype=torch.int64),
        "ngram_starts": torch.tensor([[0, 2, 4], [6, 9, 11]]),
    }
    assert starts.shape == (rows, words)
    row, piece, word, every = (
        torch.export.Dim(name, min=1) for name in ("rows", "pieces", "words", "ngrams")
    )
    free = {"word_starts": word, "word_ends": word, "word_ids": word, "ngram_starts": word}
    axes = tuple(
        {0: every} if name == "ngrams" else {0: row, 1: free.get(name, piece)}
        for name in graph.inputs
    )
    return tuple(made[name] for name in graph.inputs), axes
