"""A run's folder: begun, said to have failed, gone on with, and read when it is finished."""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from accelerate import PartialState

from hiermtl.annotation import Annotator, load
from hiermtl.atomic import write_whole
from hiermtl.commands.corpora import training_corpora
from hiermtl.corpus.build import Corpus
from hiermtl.corpus.plain import TextCorpus
from hiermtl.document import Document
from hiermtl.earlier import recipe_then
from hiermtl.environment import environment
from hiermtl.errors import HiermtlError, ModelError, RecipeError, RunError, listing
from hiermtl.evaluation import ScoreRow, Scores
from hiermtl.folders import COST, ENVIRONMENT, FAILURE, RECIPE, SCORES
from hiermtl.recipe import (
    Recipe,
    differences,
    load_recipe,
    resolved,
)

EXAMPLE_WORDS = range(8, 14)
"""How many words the sentence shown after training may have."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What training took: steps, words that encoders read, seconds; and the model's parameters."""

    steps: int = 0
    words: int = 0
    seconds: float = 0.0
    parameters: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        """Of both together."""
        return Cost(
            self.steps + other.steps,
            self.words + other.words,
            self.seconds + other.seconds,
            self.parameters + other.parameters,
        )


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run: its folder, which is a model folder, its scores on dev, and what it took.

    `example` is a sentence of dev as the model annotates it.
    """

    folder: Path
    scores: Scores
    cost: Cost
    recipe: Recipe
    example: Document | None = None

    @property
    def seconds(self) -> float:
        """How long training took."""
        return self.cost.seconds

    def load(self) -> Annotator:
        """The trained model."""
        return load(self.folder)


@contextlib.contextmanager
def failing_told(folder: Path) -> Iterator[None]:
    """Whatever ends a run early is said in its folder, once it has begun; a later start forgets it.

    A process that is killed can say nothing.
    """
    try:
        yield
    except BaseException as error:
        if (folder / RECIPE).exists() and PartialState().is_main_process:
            interrupted = not isinstance(error, Exception)
            told = {
                "kind": type(error).__name__,
                "message": "It was asked to end." if interrupted else str(error),
                "interrupted": interrupted,
                "when": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            }
            # What is raised says more than that this could not be written.
            with contextlib.suppress(HiermtlError, OSError):
                write_whole(folder / FAILURE, json.dumps(told, indent=2) + "\n")
        raise


def check_folder(folder: Path, recipe: Recipe, *, resume: bool) -> None:
    """Raises RecipeError when the folder is occupied, or holds another run to resume."""
    if not resume:
        # The first process may have begun to write before another one looks.
        if os.environ.get("RANK", "0") != "0":
            return
        if os.path.exists(folder) and (not folder.is_dir() or any(folder.iterdir())):
            raise RecipeError(
                f"{folder} is occupied; name another folder with -o, or go on with its run with "
                "--resume"
            )
        return
    if not os.path.exists(folder / RECIPE):
        raise RecipeError(
            f"{folder} holds no run to resume ({RECIPE} is missing); train without --resume"
        )
    keys = differences(_with_defaults(keys_of(folder)), recipe)
    if keys:
        raise RecipeError(
            f"the run in {folder} has other values of {listing(keys)}; resume with the same, or "
            "train anew into another folder"
        )


def keys_of(folder: Path) -> dict[str, Any]:
    """The keys of a run's recipe when it began, with what those that were not there yet meant.

    Raises:
        RecipeError: The file is damaged.
    """
    saved = folder / RECIPE
    try:
        found = json.loads(saved.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError(f"a JSON {type(found).__name__} where an object is needed")
    except (OSError, ValueError) as error:
        raise RecipeError(
            f"{saved} is damaged ({error}); copy the file again, or train anew into another folder"
        ) from error
    return recipe_then(found)


def _with_defaults(keys: dict[str, Any]) -> Recipe | dict[str, Any]:
    """With the defaults of keys that the version which wrote them did not have."""
    try:
        return load_recipe(keys)
    except RecipeError:
        return keys


def begin(folder: Path, recipe: Recipe, *, beside: Mapping[str, str] | None = None) -> None:
    """Makes the run folder and says in it what is trained there; `beside` are further files."""
    if not PartialState().is_main_process:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in (beside or {}).items():
            write_whole(folder / name, text)
        write_whole(folder / RECIPE, json.dumps(resolved(recipe), indent=2))
        (folder / FAILURE).unlink(missing_ok=True)
        _tell_environment(folder / ENVIRONMENT)
    except OSError as error:
        raise RunError(
            f"the run folder {folder} cannot be written ({error.strerror}); name another with -o"
        ) from error


def _tell_environment(path: Path) -> None:
    """Writes down where the run is trained: one entry for each place it was gone on with in."""
    here = environment()
    told: list[Any] = []
    with contextlib.suppress(OSError, ValueError):
        told = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(told, list) or told[-1:] != [here]:
        told = [*(told if isinstance(told, list) else ()), here]
        write_whole(path, json.dumps(told, indent=2) + "\n")


def shown(run: Run, *, data_dir: str | Path | None) -> Run:
    """The run with its example, of which other processes told nothing."""
    return replace(
        run, example=example_of(run.load(), training_corpora(run.recipe, data_dir=data_dir))
    )


def example_of(nlp: Annotator, corpora: Mapping[str, Corpus]) -> Document | None:
    """The first sentence of dev that is neither very short nor long, annotated.

    None where the model judges nothing but pairs, or has only text to judge.
    """
    if all(head.unit == "pair" for head in nlp.heads.values()):
        return None
    for corpus in corpora.values():
        if isinstance(corpus, TextCorpus):
            continue
        for sentence in corpus.sentences("dev") if "dev" in corpus.splits else ():
            if len(sentence.words) in EXAMPLE_WORDS:
                return nlp([replace(sentence, layers={})])
    return None


def finished(folder: Path, recipe: Recipe) -> Run:
    """The run that lies in a folder, as it ended.

    Raises:
        ModelError: Its scores cannot be read.
    """
    try:
        rows = json.loads((folder / SCORES).read_text(encoding="utf-8"))
        scores = Scores(tuple(ScoreRow(**row) for row in rows))
        cost = Cost(**json.loads((folder / COST).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(
            f"the run in {folder} is finished, but its {SCORES} or {COST} cannot be read "
            f"({error}); score it anew with `hiermtl evaluate {folder}`"
        ) from error
    return Run(folder, scores, cost, recipe)
