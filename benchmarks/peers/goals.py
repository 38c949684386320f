"""Goals, and whether a run's figures reach them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import mean, median
from typing import Any

from benchmarks.peers.subjects import BARE, LOOP, OWN, PEER

ANNOTATE_OVER_BARE = 1.2
TRAIN_OVER_BARE = 1.3
SORTED_LOOP = 3.2
FILE_ORDER_LOOP = {"bf16": 20.0, "fp32": 8.0}
"""By the best format of the processor."""
PEER_SPEEDUP = 5.0
ACCURACY = {("upos", "accuracy"): 93.0, ("dep", "las"): 72.0}

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What was to be reached, and what was.

    `value` is the median over rounds, `least` and `greatest` those of rounds; of scores they are
    over seeds, and `value` the mean. `None`: nothing was measured, and `held` says why. Otherwise
    `held` says against whom. `in_time`: what has its seconds given did not take more.
    """

    work: str
    what: str
    goal: float
    at_most: bool
    value: float | None
    least: float | None
    greatest: float | None
    held: str
    in_time: bool = True

    @property
    def met(self) -> bool | None:
        """Whether it is reached; `None` where nothing was measured."""
        if self.value is None:
            return None
        reached = self.value <= self.goal if self.at_most else self.value >= self.goal
        return reached and self.in_time

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "met": self.met}


def own_row(rows: Iterable[Row], tasks: Sequence[str]) -> Row | None:
    """Hiermtl's row with just these tasks, in any order."""
    for row in rows:
        if row["kind"] == OWN and set(row["tasks"]) == set(tasks) and not row["failed"]:
            return row
    return None


def speedups(rows: Sequence[Row], row: Row) -> list[float] | None:
    """How many times hiermtl is faster on the same tasks, round by round."""
    own = own_row(rows, row["tasks"])
    if own is None or row["failed"] or not row["seconds"]:
        return None
    return [other / mine for other, mine in zip(row["seconds"], own["seconds"], strict=True)]


def goals(works: Mapping[str, Sequence[Row]], *, precision: str) -> list[Goal]:
    """All goals that the works of a run decide.

    `precision` is the best format of the processor: one of the goals depends on it.
    """
    found: list[Goal] = []
    annotate, epoch = works.get("annotate"), works.get("epoch")
    if annotate:
        found += [
            _over_bare("annotate", annotate, ANNOTATE_OVER_BARE),
            _over_loop(annotate, "sorted by length", SORTED_LOOP),
            _over_loop(annotate, "file order", FILE_ORDER_LOOP[precision]),
            _over_peers("annotate", annotate),
        ]
    if epoch:
        found += [_over_bare("epoch", epoch, TRAIN_OVER_BARE), _over_peers("epoch", epoch)]
    if "accuracy" in works:
        found += _accuracy(works["accuracy"])
    return found


def _over_bare(work: str, rows: Sequence[Row], goal: float) -> Goal:
    what = {
        "annotate": "time of four tasks over the bare encoder's",
        "epoch": "time of four tasks over forward, backward and update of the bare encoder",
    }[work]
    bare = next((row for row in rows if row["kind"] == BARE), None)
    own = None if bare is None else own_row(rows, bare["tasks"])
    if bare is None or own is None or bare["failed"]:
        return _unknown(work, what, goal, "one of the two was not measured", at_most=True)
    found = [mine / other for mine, other in zip(own["seconds"], bare["seconds"], strict=True)]
    return _goal(work, what, goal, found, bare["subject"], at_most=True)


def _over_loop(rows: Sequence[Row], order: str, goal: float) -> Goal:
    what = f"times faster than one model per task, {order}"
    row = next((r for r in rows if r["kind"] == LOOP and order in r["subject"]), None)
    found = None if row is None else speedups(rows, row)
    if row is None or not found:
        return _unknown("annotate", what, goal, "the loop was not measured")
    return _goal("annotate", what, goal, found, row["subject"])


def _over_peers(work: str, rows: Sequence[Row]) -> Goal:
    """Against the peer over which hiermtl gains least on the tasks that both do."""
    what = "times faster than the fastest peer on its tasks"
    peers = [row for row in rows if row["kind"] == PEER]
    found = [(row, ratios) for row in peers if (ratios := speedups(rows, row))]
    if not found:
        return _unknown(work, what, PEER_SPEEDUP, "no peer was measured")
    row, ratios = min(found, key=lambda pair: median(pair[1]))
    missing = [other["subject"] for other in peers if other["failed"]]
    held = f"{row['subject']} ({', '.join(row['tasks'])})"
    if missing:
        held += f"; not measured: {', '.join(missing)}"
    return _goal(work, what, PEER_SPEEDUP, ratios, held)


def _accuracy(rows: Sequence[Row]) -> list[Goal]:
    """Scores of hiermtl in the time of the peer that sets it; more time reaches no goal."""
    out = []
    own = next((row for row in rows if row["kind"] == OWN), None)
    for (task, metric), goal in ACCURACY.items():
        what = f"{task} {metric} in the same time"
        runs = own["runs"] if own is not None and not own["failed"] else []
        if own is None or not runs or task not in runs[0]["scores"]:
            out.append(_unknown("accuracy", what, goal, "was not measured"))
            continue
        seconds = mean(run["seconds"] for run in runs)
        budget = mean(run["budget"] for run in runs)
        scores = [run["scores"][task][metric] for run in runs]
        out.append(
            Goal(
                work="accuracy",
                what=what,
                goal=goal,
                at_most=False,
                value=mean(scores),
                least=min(scores),
                greatest=max(scores),
                held=f"{own['reference']}, {len(runs)} seeds, {seconds:.1f} s of {budget:.1f} s",
                in_time=seconds <= budget,
            )
        )
    return out


def _goal(
    work: str, what: str, goal: float, found: Sequence[float], held: str, *, at_most: bool = False
) -> Goal:
    return Goal(
        work=work,
        what=what,
        goal=goal,
        at_most=at_most,
        value=median(found),
        least=min(found),
        greatest=max(found),
        held=held,
    )


def _unknown(work: str, what: str, goal: float, why: str, *, at_most: bool = False) -> Goal:
    return Goal(
        work=work,
        what=what,
        goal=goal,
        at_most=at_most,
        value=None,
        least=None,
        greatest=None,
        held=why,
    )
