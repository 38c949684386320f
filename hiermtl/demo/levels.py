"""What the page shows of a text: each level, and what it takes to know it."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hiermtl.annotation import Annotator, Pair
from hiermtl.annotation.given import Given
from hiermtl.document import Document, Span
from hiermtl.errors import DataError
from hiermtl.text.bio import is_span_tag

LIMIT = 5_000
"""Characters that a text may have by default."""

ROUNDS = 5
"""How often what a depth costs is measured; the least is shown."""

ENOUGH = 1.0
"""Seconds after which a text is not measured again."""

_WARM = "The dog barks."


class TooLongError(DataError):
    """A text has more characters than the page takes."""


@dataclass(frozen=True, slots=True)
class Step:
    """What is known from one depth on: the tasks, those that are new, and the blocks that run.

    `blocks` counts every copy of a block, of which schemes with columns have several at a depth.
    """

    depth: int
    tasks: tuple[str, ...]
    new: tuple[str, ...]
    blocks: int


class Levels:
    """A model, asked about one text at a time.

    A task is known from the deepest block on that it needs, which for a head that reads other
    levels may be deeper than its own depth.
    """

    def __init__(self, nlp: Annotator, *, limit: int = LIMIT) -> None:
        """Takes the annotator, and how many characters a text may have."""
        self.nlp, self.limit = nlp, limit
        self._turn = threading.Lock()
        routes = nlp.model.routes
        self._units = {task: nlp.model.head(task).unit for task in nlp.levels()}
        self.depths = {task: routes[task].depth for task in nlp.tasks}
        # The first text takes longer than any other, and nobody should see that as its cost.
        self.annotate(_WARM)

    @property
    def blocks(self) -> int:
        """The deepest block that the model has."""
        return max(self.depths.values())

    @property
    def pairs(self) -> bool:
        """Whether some task compares two texts."""
        return "pair" in self._units.values()

    def steps(self, tasks: Sequence[str]) -> list[Step]:
        """For each depth at which something new is known, what is, lowest first."""
        found = []
        for depth in sorted({self.depths[task] for task in tasks}):
            known = tuple(task for task in tasks if self.depths[task] <= depth)
            new = tuple(task for task in known if self.depths[task] == depth)
            found.append(Step(depth, known, new, self.nlp.model.heard().blocks(known)))
        return found

    def about(self) -> dict[str, Any]:
        """The model: its tasks lowest first, their depths, how many blocks there are, the limit."""
        config = self.nlp.model.config
        return {
            "encoder": str(config.encoder.get("family")),
            "sharing": str(config.sharing["name"]),
            "language": self.nlp.language,
            "precision": self.nlp.precision,
            "device": str(self.nlp.model.device),
            "depth": self.blocks,
            "blocks": self.nlp.model.routes.blocks(self.nlp.tasks),
            "limit": self.limit,
            "pairs": self.pairs,
            "segments": self.nlp.segments,
            "tasks": [
                {
                    "task": task.name,
                    "level": self.nlp.hierarchy.level(task.name),
                    "depth": task.depth,
                    "known": self.depths[task.name],
                    "head": self.nlp.model.head(task.name).kind,
                }
                for task in self.nlp.hierarchy
            ],
        }

    def annotate(self, text: str, second: str = "") -> dict[str, Any]:
        """Every level of a text, or of a pair, and what each depth costs.

        Keys: `words`, `sentences` ([start, end] of each), `levels` (for each task its `depth`, its
        `kind` and its `value`, see `_value`), and `steps`: for each depth at which something new is
        known its `tasks`, those that are `new`, the `blocks` that run up to it, and the measured
        `ms`, from words to labels, the least of up to `ROUNDS`. `split_ms` is what finding words
        and sentences took.

        Raises:
            TooLongError: The text is longer than allowed.
        """
        for given in (text, second):
            if len(given) > self.limit:
                raise self.too_long(f"{len(given):,} characters")
        with self._turn:
            return self._annotate(text, second)

    def too_long(self, size: str) -> "TooLongError":
        """The error about a text of this size."""
        return TooLongError(
            f"the text has {size}; allowed are {self.limit:,} characters: shorten it, or start the "
            "demo with a higher --limit"
        )

    def _annotate(self, text: str, second: str) -> dict[str, Any]:
        began = time.perf_counter()
        parts = [self.nlp(one, []).source for one in (text, second)]
        split = time.perf_counter() - began
        given: Given = parts[0]
        able = {"word", "text", "document"}
        if self.pairs and all(parts):
            first, other = ([word for s in part for word in s.words] for part in parts)
            given, able = Pair(first, other), {"word", "pair"}
        document = self.nlp(given, [])
        steps = self.steps([task for task, unit in self._units.items() if unit in able])
        took = [float("inf")] * len(steps)
        for number in range(ROUNDS):
            if number and time.perf_counter() - began > ENOUGH:
                break
            for place, step in enumerate(steps):
                start = time.perf_counter()
                document = self.nlp(given, step.tasks)
                took[place] = min(took[place], time.perf_counter() - start)
        return {
            "words": list(document.words),
            "sentences": [[s.start, s.end] for s in document.sentences],
            "levels": [
                {"task": task, "depth": self.depths[task], **self._value(document, task)}
                for task in document.levels
            ],
            "steps": [
                {
                    "depth": step.depth,
                    "tasks": list(step.tasks),
                    "new": list(step.new),
                    "blocks": step.blocks,
                    "ms": round(1000 * seconds, 2),
                }
                for step, seconds in zip(steps, took, strict=True)
            ],
            "split_ms": round(1000 * split, 2),
        }

    def _value(self, document: Document, task: str) -> dict[str, Any]:
        """A level's `kind` and `value`, places counted in words of the document.

        `tags` has a label for each word, `spans` [start, end, label] of each, `tree` the heads (-1
        is a root) and relations, `frames` the predicate, sense and arguments of each, `relations`
        [start, end, start, end, label], `mentions` the [start, end] of each thing's, and `label`
        what is said of the whole.
        """
        kind = document.kinds.get(task, "label")
        if kind == "tags" and all(map(is_span_tag, self.nlp.model.head(task).labels)):
            kind = "spans"
        value: Any
        match kind:
            case "label":
                value = document.labels[task]
            case "tags":
                value = [tag or "" for tag in document.tags(task)]
            case "spans":
                value = [[*_ends(span), span.label] for span in document.spans(task)]
            case "tree":
                arcs = document.arcs(task)
                value = {"heads": list(arcs.heads), "relations": list(arcs.relations)}
            case "frames":
                value = [
                    {
                        "predicate": one.word,
                        "sense": one.sense or "",
                        "arguments": [[*_ends(span), span.label] for span in one.arguments],
                    }
                    for one in document.predicates(task)
                ]
            case "relations":
                value = [
                    [*_ends(one.head), *_ends(one.tail), one.label]
                    for one in document.related(task)
                ]
            case _:
                value = [[list(_ends(s)) for s in chain] for chain in document.chains(task)]
        return {"kind": kind, "value": value}


def _ends(span: Span) -> tuple[int, int]:
    return span.start, span.end
