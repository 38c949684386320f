"""Exits: heads below a task's depth that are asked whether a sentence may leave for it there.

Source: Schwartz et al. 2020 (The Right Tool for the Job: Matching Model and Instance Complexities),
section 3: a classifier at some depths, the first that is sure enough answers. Departs: a sentence
leaves for each of many tasks by itself, and each exit has a threshold of its own. The model asks on
its way up; `hiermtl.early_exit` trains these heads and chooses their thresholds.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor, nn

from hiermtl.config import row_of
from hiermtl.errors import ModelError, listing, nearest
from hiermtl.heads import HEADS, Head
from hiermtl.heads.base import gold_of
from hiermtl.hierarchy import Task
from hiermtl.precision import full_precision
from hiermtl.records import Batch, HeadOutput
from hiermtl.seeding import seeded
from hiermtl.sharing import Route
from hiermtl.text.segment import SEGMENT


class NoExitsError(ModelError):
    """No sentence can leave for a task below its depth; `why`, said of the task."""

    def __init__(self, task: str, why: str) -> None:
        super().__init__(
            f"task {task!r} {why}, so that no sentence can leave for it below its depth; name "
            "other tasks"
        )
        self.why = why


@dataclass(frozen=True, eq=False, slots=True)
class Left:
    """Sentences that left for a task below its depth.

    `output` is the exit head's; `sure` (sentences,) how sure it was of each of them, 0 to 1.
    """

    depth: int
    output: HeadOutput
    sure: np.ndarray


class ExitHeads(nn.ModuleDict):
    """Task, then depth as text, to the head that is asked there: of the task's kind."""

    def __init__(
        self,
        exits: Mapping[str, Mapping[str, Any]],
        tasks: Mapping[str, Mapping[str, Any]],
        widths: Sequence[int],
        states: Callable[[str], Mapping[int, tuple[int, str]]],
    ) -> None:
        """Makes them, as wide as states at their depth.

        `exits` and `tasks` are those of the model's config; `states` tells at which depths
        sentences could leave for a task, as `exit_states`.

        Raises:
            ModelError: There is no such task, or sentences cannot leave there.
        """
        super().__init__()
        for task, own in exits.items():
            if task not in tasks:
                raise ModelError(
                    f"exits.{task} is of no task of the model; it has "
                    f"{listing(tasks)}{nearest(task, tasks)}"
                )
            able, given = states(task), tasks[task]
            heads = nn.ModuleDict()
            for depth in thresholds_of(task, own):
                if depth not in able:
                    raise ModelError(
                        f"exits.{task} names depth {depth}; sentences can leave for a task at "
                        f"depths from 1 that are below its own, here {listing(able)}"
                    )
                with seeded(0, "exits", task, depth):
                    heads[str(depth)] = row_of(HEADS, given["head"], "head")(
                        widths[depth], given["labels"], **given.get("options", {})
                    )
            self[task] = heads

    def head(self, task: str, depth: int) -> Head:
        """The head that is asked whether a sentence may leave for a task at a depth."""
        of_task = self[task]
        assert isinstance(of_task, nn.ModuleDict)
        found = of_task[str(depth)]
        assert isinstance(found, Head)
        return found

    def start(self, old: Mapping[str, Tensor], heads: Callable[[str], Head]) -> None:
        """Each starts as it was in an `old` state; else as the task's own, if it is as wide."""
        for task, of_task in self.items():
            assert isinstance(of_task, nn.ModuleDict)
            for depth, head in of_task.items():
                place = f"{task}.{depth}."
                start = heads(task).state_dict()
                start |= {n.removeprefix(place): v for n, v in old.items() if n.startswith(place)}
                if all(start[name].shape == own.shape for name, own in head.state_dict().items()):
                    head.load_state_dict(start)


def thresholds_of(task: str, exits: Mapping[str, Any]) -> dict[int, float]:
    """Depth to how sure a sentence must be that leaves there, of a task's entry in `config.exits`.

    Raises:
        ModelError: The entry does not say so.
    """
    given: Any = exits.get("thresholds")
    try:
        return {int(depth): float(sure) for depth, sure in dict(given).items()}
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"exits.{task}.thresholds is {given!r}; it maps depths to numbers, such as "
            "{'1': 0.9}: mend it, or copy the model's folder again"
        ) from error


def exit_states(
    task: Task, head: Head, route: Route, *, reads: Sequence[str], sharing: str
) -> dict[int, tuple[int, str]]:
    """The depths at which sentences could leave for a task, each with the state read there.

    `head` is the task's own, `reads` the tasks whose predictions it reads, `sharing` the scheme.

    Raises:
        NoExitsError: They could at none.
    """
    why = ""
    if task.name == SEGMENT:
        why = "finds the words that all others judge"
    elif not head.probable:
        why = f"has a head ({head.kind}) that does not say how probable its answers are"
    elif head.unit == "document" or head.informed:
        why = f"has a head ({head.kind}) that judges documents, or what others find"
    elif reads:
        why = f"reads what {listing(reads)} predict"
    elif task.depth < 2:
        why = f"is read at depth {task.depth}, below which there is the embedding alone"
    found: dict[int, tuple[int, str]] = {}
    for at in range(1, task.depth):
        states = [state for state in route.mixed if state[0] == at]
        if len(states) == 1:
            found[at] = states[0]
    if not why and not found:
        why = f"has several states at each depth under sharing {sharing!r}"
    if why:
        raise NoExitsError(task.name, why)
    return found


class AtExit(ABC):
    """What is done with what an exit head says; `learning`, whether that is to train it.

    While they learn, exits of tasks that others read are asked too, and no block above runs.
    """

    learning: bool

    @abstractmethod
    def __call__(self, task: str, depth: int, output: HeadOutput) -> np.ndarray:
        """Which of the output's sentences leave, ascending."""


class Leaving(AtExit):
    """Those leave of which an exit is sure enough; they are kept in `left`, exit by exit."""

    learning = False

    def __init__(
        self, heads: ExitHeads, exits: Mapping[str, Mapping[str, Any]], batch: Batch
    ) -> None:
        """`exits` are those of the model's config, with their thresholds."""
        self.heads, self.exits, self.batch = heads, exits, batch
        self.left: dict[str, list[Left]] = {}

    def __call__(self, task: str, depth: int, output: HeadOutput) -> np.ndarray:
        """Sentences whose words' mean of the largest probability is not below the threshold."""
        # Scores of labels are the last a head computes; others meet its weights, of their type.
        wide = {n: full_precision(v) for n, v in output.scores.items() if n == "labels"}
        told = replace(output, scores={**output.scores, **wide})
        sure = full_precision(self.heads.head(task, depth).surest(told))
        sentences, means = output.means(sure, self.batch.groups)
        values = means.cpu().numpy()
        gone = values >= thresholds_of(task, self.exits[task])[depth]
        if gone.any():
            own = output.narrow(sentences[gone])
            self.left.setdefault(task, []).append(Left(depth, own, values[gone]))
        return sentences[gone]


class Learning(AtExit):
    """Nobody leaves; `losses` has each exit head's, by task and depth, where there is gold."""

    learning = True

    def __init__(self, heads: ExitHeads, batch: Batch) -> None:
        """Takes the model's exit heads, and the batch that has the gold."""
        self.heads, self.batch = heads, batch
        self.losses: dict[tuple[str, int], Tensor] = {}

    def __call__(self, task: str, depth: int, output: HeadOutput) -> np.ndarray:
        """None of them."""
        head = self.heads.head(task, depth)
        gold = gold_of(task, head, output, self.batch)
        if gold is not None:
            self.losses[task, depth] = head.loss(output, gold)
        return output.sentences[:0]
