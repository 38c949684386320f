"""The results of `benchmarks.exits` as text and as Markdown."""

from collections.abc import Iterator, Mapping
from statistics import median
from typing import Any

from benchmarks.facts import circumstances
from benchmarks.tables import aligned, piped
from benchmarks.timing import ratios

WHOLE = "whole"
"""The model without exits, among those that are timed."""

NOTHING = "saves nothing"


def saved_head(result: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the columns of what is saved."""
    return ("task", "depth", "metric", "whole", *(f"loss {loss}" for loss in result["settings"]))


def saved_rows(result: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """A row per task: its score with exits and the blocks that are saved, for each loss.

    The last row has the pieces that all blocks read where all tasks are asked.
    """
    settings = result["settings"]
    found = {loss: {one["task"]: one for one in own["tasks"]} for loss, own in settings.items()}
    known: dict[str, Mapping[str, Any]] = {}
    for own in found.values():
        known |= own
    for task, one in known.items():
        cells = []
        for own in found.values():
            with_exits = own.get(task)
            saved = with_exits["saved"] if with_exits else 0.0
            score = with_exits["score_with"] if with_exits else one["score"]
            cells.append(f"{score:.2f}, {_saved(saved)}")
        yield task, str(one["depth"]), one["metric"], f"{one['score']:.2f}", *cells
    whole = max(sum(row["whole"] for row in own["blocks"]) for own in settings.values())
    if not whole:  # nobody may leave at any loss
        return
    cells = []
    for own in settings.values():
        left = sum(row["left"] for row in own["blocks"]) or whole
        cells.append(f"{left:,}, {_saved(100 * (1 - left / whole))}")
    yield "all together: pieces that blocks read", "", "", f"{whole:,}", *cells


def _saved(share: float) -> str:
    return f"saves {share:.1f} %" if share else NOTHING


def time_head(result: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the columns of times."""
    return ("asked", "whole, ms per 1,000 words", *(f"loss {loss}" for loss in result["settings"]))


def time_rows(result: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """A row per question: the time of the whole model, and what each setting takes of it."""
    for asked, seconds in result["seconds"].items():
        whole = f"{1e6 * median(seconds[WHOLE]) / result['words']:.1f}"
        cells = (
            f"{median(ratios(seconds, loss, WHOLE)):.2f}" if loss in seconds else "–"
            for loss in result["settings"]
        )
        yield asked, whole, *cells


def about(result: Mapping[str, Any]) -> str:
    """What the figures depend on, in one paragraph."""
    rounds = len(next(iter(result["seconds"].values()))[WHOLE])
    return (
        f"{circumstances(result)}; {result['precision']}, {result['sentences']:,} sentences of "
        f"{result['words']:,} words, {rounds} rounds"
    )


def markdown(result: Mapping[str, Any]) -> str:
    """What is saved in blocks, then in time."""
    saved = piped(saved_head(result), saved_rows(result), texts=("task", "metric"))
    times = piped(time_head(result), time_rows(result), texts=("asked",))
    return f"{saved}\n\nTime over that of the whole model. {about(result)}.\n\n{times}"


def text(result: Mapping[str, Any]) -> str:
    """The same for a terminal."""
    saved = aligned(saved_head(result), saved_rows(result), texts=("task", "metric"))
    times = aligned(time_head(result), time_rows(result), texts=("asked",))
    return f"{saved}\n\n{times}\n\n{about(result)}\n"
