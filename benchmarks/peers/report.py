"""A result as text: aligned for a terminal, or as Markdown."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import mean, median
from typing import Any

from benchmarks.facts import circumstances
from benchmarks.peers.goals import speedups
from benchmarks.peers.subjects import BARE, OWN
from benchmarks.tables import aligned, piped

TITLES = {
    "annotate": "Annotating",
    "epoch": "Training for one epoch",
    "accuracy": "Scores in the same time",
}
TEXTS = {"subject", "tasks", "scores", "work", "goal", "against", "met", "it", "precision"}
TEXTS |= {"batching", "encoder", "decoder", "versions"}
"""Columns that are no numbers."""

_TIMES = (
    *("subject", "tasks", "seconds", "words/s", "of peak"),
    *("hiermtl is faster", "least", "greatest", "scores"),
)
_RUNS = ("subject", "tasks", "epochs", "seconds", "allowed", "scores")
_GOALS = ("work", "it", "reached", "least", "greatest", "goal", "met", "against")
_SUBJECTS = ("subject", "precision", "batching", "encoder", "decoder", "GB", "versions")

Table = tuple[Sequence[str], Iterable[Sequence[str]]]


def text(result: Mapping[str, Any]) -> str:
    """Everything, for a terminal."""
    parts = [caption(result)]
    for title, (head, rows) in tables(result):
        parts.append(f"{title}\n{aligned(head, rows, texts=TEXTS)}")
    return "\n\n".join(parts) + "\n"


def markdown(result: Mapping[str, Any]) -> str:
    """The same for a page."""
    parts = [caption(result)]
    for title, (head, rows) in tables(result):
        parts.append(f"{title}:\n\n{piped(head, rows, texts=TEXTS)}")
    return "\n\n".join(parts)


def tables(result: Mapping[str, Any]) -> list[tuple[str, Table]]:
    """Title, head and rows of each: goals, the works, and what differs between subjects."""
    works, peak = result["works"], max(map(max, filter(None, result["peaks"].values())), default=0)
    found: list[tuple[str, Table]] = [("Goals", (_GOALS, list(goal_rows(result))))]
    found += [
        (TITLES[work], (_TIMES, list(time_rows(works[work], peak))))
        for work in ("annotate", "epoch")
        if work in works
    ]
    if "accuracy" in works:
        found.append((TITLES["accuracy"], (_RUNS, list(run_rows(works["accuracy"])))))
    return [*found, ("What is not equal", (_SUBJECTS, list(subject_rows(result))))]


def caption(result: Mapping[str, Any]) -> str:
    """What was measured, on what."""
    sizes, given = result["corpus"], result["parameters"]
    works = result["works"]
    said = [f"{circumstances(result)};", f"{given['rounds']} rounds, {given['threads']} threads;"]
    if "annotate" in works:
        said.append(
            f"annotated: {sizes['sentences']:,} sentences, {sizes['words']:,} words, by models "
            f"trained on {given['brief']:,} sentences for an epoch;"
        )
    if "epoch" in works:
        said.append(
            f"an epoch: {sizes['train_sentences']:,} sentences, {sizes['train_words']:,} words;"
        )
    if "accuracy" in works:
        said.append(
            f"scores in the same time: {sizes['accuracy_sentences']:,} sentences, "
            f"{sizes['accuracy_words']:,} words, {given['seeds']} seeds;"
        )
    peaks = ", ".join(
        f"{dtype} {max(found):,.0f}" for dtype, found in result["peaks"].items() if found
    )
    said.append(
        f"encoder {given['encoder']}. Largest rate of one matrix product, GFLOP/s: "
        f"{peaks or 'not measured'}."
    )
    return "\n".join(said)


def goal_rows(result: Mapping[str, Any]) -> Iterable[Sequence[str]]:
    """Each goal, what was reached, against whom, and whether that is enough."""
    for goal in result["goals"]:
        bound = "at most" if goal["at_most"] else "at least"
        values = (goal["value"], goal["least"], goal["greatest"])
        met = {True: "yes", False: "no", None: "not measured"}[goal["met"]]
        yield (
            goal["work"],
            goal["what"],
            *("" if value is None else f"{value:.2f}" for value in values),
            f"{bound} {goal['goal']:g}",
            met,
            goal["held"],
        )


def time_rows(rows: Sequence[Mapping[str, Any]], peak: float) -> Iterable[Sequence[str]]:
    """Seconds are the median over rounds, ratios are of one round each.

    The share of `peak`, GFLOP/s of a matrix product, is of what the four tasks' pass through the
    encoder needs, in the format of the peak: of the bare encoder, and of hiermtl with all four.
    """
    bare = next((row for row in rows if row["kind"] == BARE), None)
    for row in rows:
        name, tasks = row["subject"], _tasks(row)
        if row["failed"] or not row["seconds"]:
            yield (name, tasks, *[""] * 6, f"not measured: {row['failed']}")
            continue
        seconds = median(row["seconds"])
        ratios = speedups(rows, row) or []
        shown = (median(ratios), min(ratios), max(ratios)) if ratios else ()
        yield (
            name,
            tasks,
            f"{seconds:.2f}",
            f"{row['words'] / seconds:,.0f}",
            _share(row, bare, seconds, peak),
            *(f"{ratio:.2f}" for ratio in shown),
            *([""] * (3 - len(shown))),
            _scores(row["scores"]),
        )


def run_rows(rows: Sequence[Mapping[str, Any]]) -> Iterable[Sequence[str]]:
    """Means over seeds."""
    for row in rows:
        runs = row["runs"]
        if row["failed"] or not runs:
            yield (row["subject"], _tasks(row), "", "", "", f"not measured: {row['failed']}")
            continue
        scores = {
            task: {name: mean(run["scores"][task][name] for run in runs) for name in found}
            for task, found in runs[0]["scores"].items()
        }
        yield (
            row["subject"],
            _tasks(row),
            str(row["epochs"]),
            *(f"{mean(run[part] for run in runs):.1f}" for part in ("seconds", "budget")),
            _scores(scores),
        )


def subject_rows(result: Mapping[str, Any]) -> Iterable[Sequence[str]]:
    """What differs between subjects beside their speed."""
    for subject in result["subjects"]:
        versions = ", ".join(f"{name} {number}" for name, number in subject["versions"].items())
        memory = subject["memory"]
        yield (
            subject["name"],
            *(subject[part] for part in ("precision", "batching", "encoder", "decoder")),
            "" if memory is None else f"{memory / 1e9:.1f}",
            f"not started: {subject['failed']}" if subject["failed"] else versions,
        )


def _share(
    row: Mapping[str, Any], bare: Mapping[str, Any] | None, seconds: float, peak: float
) -> str:
    if bare is None or not peak or row["kind"] not in (BARE, OWN):
        return ""
    if set(row["tasks"]) != set(bare["tasks"]):
        return ""
    return f"{bare['operations'] / seconds / 1e9 / peak:.0%}"


def _tasks(row: Mapping[str, Any]) -> str:
    return ", ".join(row["tasks"])


def _scores(scores: Mapping[str, Mapping[str, float]]) -> str:
    return ", ".join(
        f"{task} {score:.1f}" if name in ("accuracy", "f1") else f"{name} {score:.1f}"
        for task, found in scores.items()
        for name, score in found.items()
    )
