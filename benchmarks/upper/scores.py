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
        columns = ("rule", "needed", "alone", *(f"`{arm}`" for arm in JOINT), "aim")
        rows = [row for rung in RUNGS for row in _rows(rung, results, rules)]
        seeds = sorted({result.seed for result in results})
        told = f"Test, {'seed' if len(seeds) == 1 else 'mean and deviation over seeds'} "
        told += f"{', '.join(map(str, seeds))}:"
        head = ("task", "data", "metric")
        return f"{told}\n\n{piped((*head, *columns), rows, texts=head)}"


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
        scores = [_score(rung, metric, arm, results) for arm in (rung.alone, *JOINT)]
        yield (
            rung.task,
            rung.data,
            metric,
            *([EMPTY] * 2 if rule is None else [f"{s:.1f}" for s in (rule, needed(rule))]),
            *scores,
            f"{rung.aims[metric]:g}" if metric in rung.aims else "",
        )


def needed(rule: float) -> float:
    """What a head is to reach at least: the rule's score and a fifth of what it misses."""
    return rule + REST * (100 - rule)


def _score(rung: Rung, metric: str, arm: str, results: Sequence[RunResult]) -> str:
    found = [
        row.score
        for result in results
        if result.arm == arm
        for row in result.rows
        if (row.task, row.metric) == (rung.task, metric)
        if row.data in (rung.data, rung.joined)
    ]
    if not found:
        return EMPTY
    return f"{fmean(found):.1f}" + (f" ± {stdev(found):.1f}" if len(found) > 1 else "")
