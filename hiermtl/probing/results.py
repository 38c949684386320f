"""What scores at all depths say: expected layer, a proposed depth, and tables of it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt
from statistics import mean, stdev
from typing import Any

from hiermtl.evaluation.table import in_markdown, laid_out

KEPT = 0.99
"""The share of the best depth's gain over depth 0 that a proposed depth has at least."""

SURE = 3.0
"""How many standard errors the best depth must lie above guessing; it is the best of several."""


def expected_layer(scores: Sequence[float]) -> float | None:
    """The depth at which a task is solved, on average.

    Source: Tenney et al. 2019 (BERT Rediscovers the Classical NLP Pipeline), section 3.2: with the
    gain d_l = score(l) - score(l - 1) of a probe that may mix the depths 0 to l over one that may
    mix those to l - 1,

        sum over l from 1 of l * d_l / sum over l from 1 of d_l

    `scores` are those of mixes up to 0, 1, 2 and so on. `None` where nothing is gained.
    """
    gains = [after - before for before, after in pairwise(scores)]
    total = sum(gains)
    if total <= 0:
        return None
    return sum(depth * gain for depth, gain in enumerate(gains, start=1)) / total


def standard_error(values: Sequence[float]) -> float:
    """Of the mean; 0 of one value."""
    return stdev(values) / sqrt(len(values)) if len(values) > 1 else 0.0


def proposed_depth(
    scores: Sequence[Sequence[float]], *, baseline: float, chance: float
) -> int | None:
    """The lowest depth that reads about as well as the best one, from 1.

    About as well: the mean over seeds is not below that of the best depth by more than the
    standard error of that mean, or by more than a hundredth of what the best depth gains over
    depth 0, whichever is more. `None` where the best depth is not above `baseline` by more than
    `SURE` times the error of the difference; `chance`, the standard error that comes from the
    number of items scored, is a part of that.

    Shapes: scores (depths, seeds), depth 0 first.
    """
    means = [mean(own) for own in scores]
    best = max(range(1, len(means)), key=lambda depth: (means[depth], -depth))
    error = standard_error(scores[best])
    if means[best] - baseline <= SURE * sqrt(error**2 + chance**2):
        return None
    slack = max(error, (1 - KEPT) * (means[best] - means[0]))
    return next(d for d in range(1, len(means)) if means[d] >= means[best] - slack)


@dataclass(frozen=True, slots=True)
class Curve:
    """What was found of one task.

    Shapes: scores (depths, seeds), depth 0 first; mixes (depths, seeds) of probes that may mix the
    depths up to each, empty where none were trained; centres (seeds,); control (depths, seeds) of
    labels drawn for each kind of word, empty where there are none; variability (depths,) or empty.
    `baseline` is what the most frequent answer of training scores; `chance` the standard error of
    a score that comes from the number of items scored.
    """

    task: str
    metric: str
    scores: tuple[tuple[float, ...], ...]
    baseline: float
    chance: float
    train_items: int
    items: int
    mixes: tuple[tuple[float, ...], ...] = ()
    centres: tuple[float, ...] = ()
    control: tuple[tuple[float, ...], ...] = ()
    variability: tuple[float, ...] = ()

    @property
    def means(self) -> list[float]:
        """The mean over seeds at each depth."""
        return [mean(own) for own in self.scores]

    @property
    def spreads(self) -> list[float | None]:
        """The standard deviation over seeds at each depth; none of one seed."""
        return [stdev(own) if len(own) > 1 else None for own in self.scores]

    @property
    def depth(self) -> int | None:
        """The proposed depth; `None` where nothing is read."""
        return proposed_depth(self.scores, baseline=self.baseline, chance=self.chance)

    @property
    def centre(self) -> float | None:
        """The centre of gravity of the mix of all depths, the mean over seeds."""
        return mean(self.centres) if self.centres else None

    @property
    def expected(self) -> float | None:
        """The expected layer, of the means over seeds; `None` where nothing is read."""
        if not self.mixes or self.depth is None:
            return None
        return expected_layer([mean(own) for own in self.mixes])

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row for each depth."""
        for depth, own in enumerate(self.scores):
            yield {
                "task": self.task,
                "depth": depth,
                "metric": self.metric,
                "score": mean(own),
                "spread": self.spreads[depth],
                "seeds": len(own),
                "items": self.items,
                "mix": mean(self.mixes[depth]) if self.mixes else None,
                "control": mean(self.control[depth]) if self.control else None,
                "variability": self.variability[depth] if self.variability else None,
            }

    def summary(self) -> dict[str, Any]:
        """What holds of the task as a whole."""
        return {
            "task": self.task,
            "metric": self.metric,
            "depth": self.depth,
            "best": max(range(1, len(self.scores)), key=lambda depth: self.means[depth]),
            "centre": self.centre,
            "centre_spread": stdev(self.centres) if len(self.centres) > 1 else None,
            "expected": self.expected,
            "baseline": self.baseline,
            "items": self.items,
            "train_items": self.train_items,
        }


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """Curves of tasks, and what they were made from.

    `depths` are those proposed, for tasks with any; `about` says of which states, data and seeds;
    `notes` what could not be probed, and why.
    """

    curves: tuple[Curve, ...]
    depths: Mapping[str, int]
    about: str
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> tuple[dict[str, Any], ...]:
        """A row for each task and depth."""
        return tuple(row for curve in self.curves for row in curve.rows())

    @property
    def tasks(self) -> tuple[dict[str, Any], ...]:
        """A row for each task, with the depth that is proposed in the end."""
        return tuple(
            {**curve.summary(), "proposed": self.depths.get(curve.task)} for curve in self.curves
        )

    def to_json(self) -> str:
        """All of it, scores of each seed included."""
        curves = [
            {
                **summary,
                "scores": curve.scores,
                "mixes": curve.mixes,
                "centres": curve.centres,
                "control": curve.control,
                "variability": curve.variability,
            }
            for curve, summary in zip(self.curves, self.tasks, strict=True)
        ]
        whole = {
            "about": self.about,
            "depths": self.depths,
            "rows": self.rows,
            "tasks": curves,
            "notes": self.notes,
        }
        return json.dumps(whole, indent=2, ensure_ascii=False)

    def to_text(self) -> str:
        """Tables for a terminal."""
        tables = [laid_out(table, _left(table)) for table in self._tables()]
        lines = [self.about, *(f"note: {note}" for note in self.notes)]
        return "\n\n".join([*tables, "\n".join(lines)])

    def to_markdown(self) -> str:
        """The same as Markdown."""
        tables = [in_markdown(table, _left(table)) for table in self._tables()]
        notes = "\n".join(f"- {note}" for note in self.notes)
        return "\n\n".join([*tables, self.about, *([notes] if notes else [])])

    def _tables(self) -> Iterator[list[list[str]]]:
        """A table of scores by depth, and one of what follows from them."""
        depths = max((len(curve.scores) for curve in self.curves), default=0)
        if not depths:
            return
        table = [["task", "what", *map(str, range(depths))]]
        for curve in self.curves:
            digits = digits_of(curve.metric)
            scores = zip(curve.means, curve.spreads, strict=True)
            told = [
                f"{own:.{digits}f}" + ("" if spread is None else f" ± {spread:.{digits}f}")
                for own, spread in scores
            ]
            table.append([curve.task, curve.metric, *told])
            if curve.control:
                table.append(["", "control", *(f"{mean(own):.{digits}f}" for own in curve.control)])
            if curve.variability:
                table.append(["", "variability", *(f"{own:.3g}" for own in curve.variability)])
        yield table
        table = [["task", "proposed", "best", "centre", "expected", "baseline", "items"]]
        for row in self.tasks:
            digits = digits_of(row["metric"])
            centre = "-" if row["centre"] is None else f"{row['centre']:.2f}"
            if row["centre_spread"] is not None:
                centre += f" ± {row['centre_spread']:.2f}"
            table.append(
                [
                    row["task"],
                    "-" if row["proposed"] is None else str(row["proposed"]),
                    str(row["best"]),
                    centre,
                    "-" if row["expected"] is None else f"{row['expected']:.2f}",
                    f"{row['baseline']:.{digits}f}",
                    f"{row['items']:,}",
                ]
            )
        yield table

    def __str__(self) -> str:
        """As `to_text`."""
        return self.to_text()


def digits_of(metric: str) -> int:
    """How many digits of a probe's score are told after the point."""
    return 3 if metric == "pearson" else 1


def _left(table: Sequence[Sequence[str]]) -> range:
    """Columns that hold no numbers."""
    return range(2 if table[0][1] == "what" else 1)
