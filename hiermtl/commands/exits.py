"""`hiermtl exits`: a model with exits below its tasks' depths, calibrated to a stated loss."""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from hiermtl.annotation import Annotator
from hiermtl.commands.build import split_examples
from hiermtl.commands.corpora import open_corpora
from hiermtl.commands.evaluate import score_corpora, trained_on
from hiermtl.commands.tasks import dev_tasks
from hiermtl.corpus.build import Corpus
from hiermtl.early_exit import (
    ExitCounts,
    WatchingAnnotator,
    choose_thresholds,
    train_exits,
)
from hiermtl.early_exit.calibration import CERTAINTY, FEWEST, main_of, read_at, rows_at
from hiermtl.errors import DataError, ModelError, RecipeError, RunError, listing
from hiermtl.evaluation.counts import Counts
from hiermtl.evaluation.measures import counted_by
from hiermtl.evaluation.results import unit_starts
from hiermtl.evaluation.table import in_markdown, laid_out
from hiermtl.exit_heads import NoExitsError
from hiermtl.metrics.base import Metric
from hiermtl.model import HierarchicalModel
from hiermtl.precision import resolve_device
from hiermtl.pretrained import find_model, load_model, read_card, save_model
from hiermtl.pretrained.cards import default_card
from hiermtl.recipe import Recipe
from hiermtl.tokens import Tokenizer
from hiermtl.training.examples import ChainedExamples

NEVER = math.inf
"""How sure a sentence must be where none may leave."""

_TITLE = "## Exits"


class NobodyLeavesError(RunError):
    """No sentence of any task may leave at the loss that was stated."""


@dataclass(frozen=True, slots=True)
class ExitRow:
    """An exit of a task.

    `score` is the task's main metric on dev if every sentence left here, `threshold` how sure one
    must be to leave, `None` where none may, and `share` of all sentences how many do, in per cent.
    """

    depth: int
    score: float
    threshold: float | None
    share: float


@dataclass(frozen=True, slots=True)
class TaskExits:
    """The exits of a task, and what they cost on dev.

    `score` is the whole model's, `score_with` that of the model whose sentences leave; `bound` what
    the loss on the half that tested it stays below, in points; `saved` the share of its blocks that
    words do not run through, in per cent, where no other task is asked.
    """

    task: str
    depth: int
    metric: str
    score: float
    score_with: float
    bound: float
    saved: float
    exits: tuple[ExitRow, ...]


@dataclass(frozen=True, slots=True)
class Exits:
    """What was found; `folder` is that of the model with its exits."""

    folder: Path
    loss: float
    dtype: str
    tasks: tuple[TaskExits, ...]
    notes: tuple[str, ...] = ()

    def to_text(self) -> str:
        """Tables for a terminal."""
        return self._shown(markdown=False)

    def to_markdown(self) -> str:
        """Tables as Markdown."""
        return self._shown(markdown=True)

    def to_json(self) -> str:
        """All of it."""
        plain = {**asdict(self), "folder": str(self.folder)}
        return json.dumps(plain, ensure_ascii=False, indent=2)

    def _shown(self, *, markdown: bool) -> str:
        made = in_markdown if markdown else laid_out
        about = (
            f"dev; {self.dtype}; a task may lose {self.loss:g} points of its metric, with "
            f"{CERTAINTY} % certainty"
        )
        tasks = [["task", "depth", "metric", "whole", "with exits", "bound of the loss", "saved"]]
        exits = [["task", "exit", "score if all left", "sure from", "left"]]
        for one in self.tasks:
            figures = [f"{x:.2f}" for x in (one.score, one.score_with, one.bound)]
            tasks.append([one.task, str(one.depth), one.metric, *figures, f"{one.saved:.1f} %"])
            for row in one.exits:
                sure = "-" if row.threshold is None else f"{row.threshold:.4f}"
                cells = [str(row.depth), f"{row.score:.2f}", sure, f"{row.share:.1f} %"]
                exits.append([one.task, *cells])
        notes = [f"note: {note}" for note in self.notes]
        return "\n\n".join(
            [made(tasks, {0, 2}), made(exits, {0}), "\n".join([about, *notes])],
        )

    def __str__(self) -> str:
        """As `to_text`."""
        return self.to_text()


def exits(
    model: str | Path,
    *,
    output: str | Path,
    loss: float,
    tasks: Iterable[str] | None = None,
    device: str | None = None,
    data_dir: str | Path | None = None,
    told: Callable[[str], None] | None = None,
) -> Exits:
    """Gives a trained model exits: depths below a task's own where a sentence may leave.

    Exit heads are trained on the training data of the model's recipe, on states that do not move;
    how sure a sentence must be is chosen on its dev data. No other weight changes, and without
    `exits=True` the new model answers as the old one, to the last bit. Exits that the model had are
    not the new one's.

    Args:
        model: A model folder, a shipped name or a hub id.
        output: A new folder for the model with exits.
        loss: How many points a task's main metric may lose, 0 or more.
        tasks: Those to leave early for. Default: all that can be left.
        device: Where it is computed. Default: `cuda` where there is one.
        data_dir: Where corpora lie, instead of HIERMTL_DATA.
        told: Is called with a line about what is done.

    Raises:
        HiermtlError: Its message gives the value, what is allowed and the next step. RunError where
            no sentence of any task may leave; nothing is written then.
    """
    if not (math.isfinite(loss) and loss >= 0):
        raise RecipeError(
            f"loss is {loss:g}; allowed are 0 and more, in points of a task's metric: 0.5 lets an "
            "accuracy of 97.0 fall to 96.5"
        )
    folder = Path(output)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RecipeError(f"{folder} is occupied; name another folder with -o")
    say = told or (lambda line: None)
    base, tokenizer = load_model(model, device=resolve_device(device))
    recipe = trained_on(base)
    wanted, notes = _able(base, tasks)
    part = recipe.only(wanted)
    corpora = open_corpora(part, data_dir=data_dir, splits=("train", "dev"))
    blind = [task for task in wanted if task not in dev_tasks(part, corpora)]
    if blind and (tasks is not None or len(blind) == len(wanted)):
        raise DataError(
            f"{listing(blind)}: nothing to score in dev, on which exits are calibrated; name other "
            "tasks"
        )
    notes += [f"{task}: no exits, since there is nothing to score in dev" for task in blind]
    wanted = [task for task in wanted if task not in blind]
    part = recipe.only(wanted)
    notes += [
        f"{task}: had exits, which are left out; name it too to make new ones"
        for task in base.config.exits
        if task not in wanted
    ]
    base.set_exits({})  # so that no head starts as one of them
    closed = {task: dict.fromkeys(map(str, base.exit_states(task)), NEVER) for task in wanted}
    base.set_exits({task: {"loss": loss, "thresholds": own} for task, own in closed.items()})
    train_exits(base, tokenizer, _examples(base, tokenizer, part, corpora), told=told)
    found = []
    for task in wanted:
        given = _measured(base, tokenizer, part, corpora, task=task)
        found.append(_chosen(given, loss))
        documents = len(unit_starts(given.documents))
        if documents < FEWEST:
            notes.append(
                f"{task}: dev has {documents} documents, too few to test anything; there must be "
                f"{FEWEST}"
            )
        say(f"{task}: {found[-1].saved:.1f} % of its blocks saved, {_shares(found[-1])}")
    _set_thresholds(
        base,
        {
            one.task: {row.depth: row.threshold for row in one.exits if row.threshold is not None}
            for one in found
        },
        loss=loss,
    )
    dtype = Annotator(base, tokenizer).precision
    done = Exits(folder, loss, dtype, tuple(found), tuple(notes))
    if not base.config.exits:
        raise NobodyLeavesError(
            f"no sentence may leave for {listing(wanted)} at a loss of {loss:g} points, with "
            f"{CERTAINTY} % certainty on half of dev; nothing is written: allow a larger --loss\n\n"
            f"{done}"
        )
    card = read_card(find_model(model)) or default_card(base)
    save_model(base, tokenizer, folder, card=_with_exits(card, done))
    return done


def _able(model: HierarchicalModel, tasks: Iterable[str] | None) -> tuple[list[str], list[str]]:
    """The tasks that sentences can leave early for, and a note about each that was left out.

    Raises:
        ModelError: One that was asked for is none of the model's, or is not among them; or none is.
    """
    found, notes = [], []
    for task in model.hierarchy.select(tasks):
        try:
            model.exit_states(task)
        except NoExitsError as error:
            if tasks is not None:
                raise
            notes.append(f"{task}: no exits: it {error.why}")
        else:
            found.append(task)
    if not found:
        raise ModelError(
            f"no sentence can leave early for any task: {'; '.join(notes)}; use a model with a "
            "task of labels or trees at depth 2 or above"
        )
    return found, notes


def _examples(
    model: HierarchicalModel, tokenizer: Tokenizer, recipe: Recipe, corpora: Mapping[str, Corpus]
) -> ChainedExamples:
    """The training examples of the tasks, with the labels that the model knows."""
    labels = {task: tuple(model.config.tasks[task]["labels"]) for task in recipe.tasks}
    parts, _ = split_examples(recipe, corpora, tokenizer, labels=labels, split="train")
    return ChainedExamples(
        [part for part, _ in parts.values()], chosen=[used for _, used in parts.values()]
    )


def _set_thresholds(
    model: HierarchicalModel, thresholds: Mapping[str, Mapping[int, float]], *, loss: float
) -> None:
    """Exits at these depths; heads that are there stay as they are."""
    model.set_exits(
        {
            task: {"loss": loss, "thresholds": {str(depth): sure for depth, sure in own.items()}}
            for task, own in thresholds.items()
            if own
        }
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Measured:
    """What the whole model and each exit alone do on dev, sentence by sentence.

    Shapes: counts (sentences, columns); documents, words (sentences,).
    """

    task: str
    depth: int
    metric: Metric
    whole: np.ndarray
    exits: Mapping[int, ExitCounts]
    documents: np.ndarray
    words: np.ndarray

    def main(self, rows: np.ndarray) -> float:
        """The main score of some sentences."""
        return float(main_of(self.metric, rows.sum(0)))


def _measured(
    model: HierarchicalModel,
    tokenizer: Tokenizer,
    recipe: Recipe,
    corpora: Mapping[str, Corpus],
    *,
    task: str,
) -> _Measured:
    """Dev with all exits of a task closed, and with each of them open to all."""
    depths = [int(depth) for depth in model.config.exits[task]["thresholds"]]
    before = model.config.exits

    def scored(opened: Mapping[int, float]) -> tuple[list[Counts], list[tuple[int, float]]]:
        """Counts of each corpus, and of each of their sentences words and how sure the exit was."""
        own = {str(depth): opened.get(depth, NEVER) for depth in depths}
        model.config.exits = {**before, task: {**before[task], "thresholds": own}}
        nlp = WatchingAnnotator(model, tokenizer)
        scores = score_corpora(nlp, recipe, corpora, split="dev", tasks=[task])
        counts = list(scores.counts.values())
        watched = []
        for of, calls in zip(counts, nlp.watched, strict=True):
            # Sentences without gold are not asked; passages all are.
            kept = calls if len(calls) == len(of.rows) else [calls[at] for at in of.sentences]
            watched += [(words, sure.get(task, math.nan)) for words, sure in kept]
        return counts, watched

    try:
        whole, watched = scored({})
        parts = {depth: scored({depth: 0.0}) for depth in depths}
    finally:
        model.config.exits = before
    return _Measured(
        task,
        model.hierarchy[task].depth,
        counted_by(whole[0]),
        _joined(whole),
        {
            depth: ExitCounts(_joined(counts), np.array([sure for _, sure in own]))
            for depth, (counts, own) in parts.items()
        },
        np.concatenate([_named(of) for of in whole]),
        np.array([count for count, _ in watched]),
    )


def _chosen(given: _Measured, loss: float) -> TaskExits:
    """How sure sentences must be that leave for a task, and what that does on dev."""
    found = choose_thresholds(
        given.metric,
        given.whole,
        given.exits,
        depth=given.depth,
        loss=loss,
        documents=given.documents,
        words=given.words,
    )
    read = read_at(given.exits, found.thresholds, depth=given.depth)
    blocks = given.words * (given.depth - read)
    return TaskExits(
        given.task,
        given.depth,
        next(iter(given.metric.score(given.whole.sum(0)))),
        given.main(given.whole),
        given.main(rows_at(given.whole, given.exits, read)),
        found.bound,
        100 * float(blocks.sum() / (given.words.sum() * given.depth)),
        tuple(
            ExitRow(
                depth,
                given.main(one.rows),
                # Where nobody of dev would still come by, or is sure enough, there is no exit.
                found.thresholds.get(depth) if (read == depth).any() else None,
                100 * float((read == depth).mean()),
            )
            for depth, one in given.exits.items()
        ),
    )


def _joined(counts: Iterable[Counts]) -> np.ndarray:
    return np.concatenate([of.rows for of in counts])


def _named(counts: Counts) -> np.ndarray:
    """Documents, of which those of two corpora are never one."""
    return np.array([f"{counts.data}: {name}" if name else "" for name in counts.documents])


def _shares(found: TaskExits) -> str:
    gone = [f"{row.share:.0f} % leave at depth {row.depth}" for row in found.exits if row.share]
    return listing(gone) if gone else "nobody leaves"


def _with_exits(card: str, found: Exits) -> str:
    """The card with what exits are and cost, in the place of what it said of others."""
    before, _, old = card.partition(f"\n{_TITLE}\n")
    _, begun, after = old.partition("\n## ")
    rest = f"\n{begun.strip()} {after}" if begun else ""
    told = (
        "With `hiermtl.load(..., exits=True)` a sentence leaves for a task below its depth where "
        "an exit is sure. That is faster, and not what the whole model says; without it nothing "
        "changes."
    )
    return f"{before.rstrip()}\n\n{_TITLE}\n\n{told}\n\n{found.to_markdown()}\n{rest}"
