"""What the upper levels score, by themselves and joint, beside rules without learning."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from benchmarks.grids import EMPTY, kept_results
from benchmarks.tables import piped
from hiermtl.evaluation.results import RunResult
from hiermtl.evaluation.scores import ScoreRow

JOINT = ("levels", "hmtl", "ladder")
"""The arms with many tasks, in the order of their columns."""

REST = 0.2
"""The part of a rule's remaining error that a head is to take away at least."""


@dataclass(frozen=True, slots=True)
class Rung:
    """A task on a corpus: the arm that learns it by itself, its metrics, and what they aim at.

    `data` is what the rule was scored on; joined to others the corpus may be called `joined`.
    """

    task: str
    data: str
    alone: str
    metrics: tuple[str, ...]
    aims: Mapping[str, float]
    joined: str = ""


RUNGS = (
    Rung("segment", "ewt", "segment", ("words", "sentences"), {"words": 98, "sentences": 80}),
    Rung("entity", "crossre", "entity", ("f1",), {}),
    Rung("mention", "gum", "mention", ("f1",), {"f1": 72}),
    Rung("srl", "propbank", "roles", ("f1", "f1_given", "accuracy"), {"f1_given": 74}, "ewt"),
    Rung("relation", "crossre", "relation", ("f1", "f1_strict", "f1_given"), {}),
    Rung("relation", "semeval", "nominals", ("f1_given", "macro_f1"), {"macro_f1": 80}),
    Rung(
        "coref",
        "gum",
        "coref",
        ("conll", "muc", "b3", "ceafe", "lea", "conll_no_singletons"),
        {"conll": 50},
    ),
)
"""The rows of the table."""


@dataclass(frozen=True, slots=True)
class LevelScores:
    """The grid of the upper levels, and the scores of rules that are set beside it."""

    grid: Path
    rules: Path

    def markdown(self) -> str:
        """A row per task, corpus and metric; nothing where there is no result."""
        results = kept_results(self.grid.with_suffix(""))
        if not results:
            return ""
        rules = json.loads(self.rules.read_text(encoding="utf-8"))["rules"]
        columns = ("scorer", "rule", "needed", "alone", *(f"`{arm}`" for arm in JOINT), "aim")
        rows = [row for rung in RUNGS for row in _rows(rung, results, rules)]
        seeds = sorted({result.seed for result in results})
        told = f"Test, {'seed' if len(seeds) == 1 else 'mean and deviation over seeds'} "
        told += f"{', '.join(map(str, seeds))}; {_formats(results)}:"
        head = ("task", "data", "metric")
        return f"{told}\n\n{piped((*head, *columns), rows, texts=(*head, 'scorer'))}"


def _formats(results: Sequence[RunResult]) -> str:
    """The number formats that results were made in."""
    return ", ".join(sorted({row.dtype for result in results for row in result.rows}))


def _rows(
    rung: Rung, results: Sequence[RunResult], rules: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[str, ...]]:
    for metric in rung.metrics:
        rule = max(
            (
                one["scores"][metric]
                for one in rules
                if (one["task"], one["data"]) == (rung.task, rung.data) and not one["told"]
                if metric in one["scores"]
            ),
            default=None,
        )
        found = [_found(rung, metric, arm, results) for arm in (rung.alone, *JOINT)]
        yield (
            rung.task,
            rung.data,
            metric,
            ", ".join(sorted({row.scorer for rows in found for row in rows})) or EMPTY,
            *([EMPTY] * 2 if rule is None else [f"{s:.1f}" for s in (rule, needed(rule))]),
            *map(_score, found),
            f"{rung.aims[metric]:g}" if metric in rung.aims else "",
        )


def needed(rule: float) -> float:
    """What a head is to reach at least: the rule's score and a fifth of what it misses."""
    return rule + REST * (100 - rule)


def _found(rung: Rung, metric: str, arm: str, results: Sequence[RunResult]) -> list[ScoreRow]:
    """The rows of an arm, one per seed."""
    return [
        row
        for result in results
        if result.arm == arm
        for row in result.rows
        if (row.task, row.metric) == (rung.task, metric)
        if row.data in (rung.data, rung.joined)
    ]


def _score(rows: Sequence[ScoreRow]) -> str:
    if not rows:
        return EMPTY
    scores = [row.score for row in rows]
    return f"{fmean(scores):.1f}" + (f" ± {stdev(scores):.1f}" if len(scores) > 1 else "")
