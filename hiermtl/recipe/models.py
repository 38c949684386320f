"""The whole recipe: what a YAML file may say, as frozen records."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    PrivateAttr,
    StringConstraints,
    ValidationError,
)

from hiermtl.recipe.adapters import ADAPTERS, NoAdapter
from hiermtl.recipe.aggregators import PCDBalancing
from hiermtl.recipe.balancing import BALANCING, StaticBalancing
from hiermtl.recipe.base import PROBLEM, OneOf, Options, Section, detail
from hiermtl.recipe.corpora import CORPORA, CorpusOptions
from hiermtl.recipe.encoder import ENCODERS, BilstmEncoder, EncoderOptions, PretrainedEncoder
from hiermtl.recipe.sampling import SAMPLING, ProportionalSampling
from hiermtl.recipe.schemes import SHARING, LowSupervisionSharing, SharingOptions
from hiermtl.recipe.tasks import TaskOptions, with_defaults
from hiermtl.recipe.training import CheckOptions, EvaluationOptions, TrainingOptions

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]
"""A task or corpus name: it stands in dotted keys and file names."""


def _fill_tasks(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    filled, errors = {}, []
    for name, options in value.items():
        try:
            filled[name] = with_defaults(str(name), options, others=value)
        except ValueError as error:
            errors.append(detail(PROBLEM, str(error), loc=(str(name),), given=options))
    if errors:
        raise ValidationError.from_exception_data("tasks", errors)
    return filled


class Recipe(Section):
    """A run a user can copy: encoder, sharing, tasks, corpora and training."""

    name: str | None = None
    """The recipe's name in tables and run folders. Default: where it was found."""

    description: str = ""
    """One line on what the recipe is for."""

    language: str = Field(default="en", min_length=2)
    """spaCy's code of the language, for raw text. Default: ours."""

    encoder: Annotated[
        EncoderOptions, OneOf(ENCODERS, other=PretrainedEncoder, default="bilstm")
    ] = BilstmEncoder()
    """The one encoder all tasks read. Default: a BiLSTM, which needs no download."""

    adapter: Annotated[Options, OneOf(ADAPTERS, default="lora")] = NoAdapter()
    """What is trained of a pretrained encoder in the place of its weights. Default: none."""

    sharing: Annotated[SharingOptions, OneOf(SHARING, default="low_supervision")] = (
        LowSupervisionSharing()
    )
    """What tasks share. Default: each task is read at its own depth."""

    tasks: Annotated[dict[Name, TaskOptions], BeforeValidator(_fill_tasks), Field(min_length=1)]
    """What is predicted: name -> options, in any order."""

    corpora: Annotated[
        dict[Name, Annotated[CorpusOptions, OneOf(CORPORA, key="format")]], Field(min_length=1)
    ]
    """Where annotated sentences come from: name -> options."""

    balancing: Annotated[Options, OneOf(BALANCING, default="static")] = StaticBalancing()
    """How the losses of tasks are weighed against each other. Default: fixed weights."""

    sampling: Annotated[Options, OneOf(SAMPLING, default="proportional")] = ProportionalSampling()
    """Whose batch is next. Default: in proportion to size."""

    controls: Literal["random_depth", "shuffled", "inverted"] | None = None
    """Replaces the recipe's depths, by `training.seed`, with others that the hierarchy must beat:
    drawn at random, exchanged among the tasks, or in reverse order. Default: none."""

    training: TrainingOptions = TrainingOptions()
    """How long, how fast and on what."""

    evaluation: EvaluationOptions = EvaluationOptions()
    """Which tasks decide which checkpoint is best."""

    check: CheckOptions = CheckOptions()
    """What is looked for in the data before training."""

    _source: str = PrivateAttr("")
    _folders: tuple[Path, ...] = PrivateAttr(())

    @property
    def source(self) -> str:
        """Where the recipe was read: a path, or `a mapping`."""
        return self._source

    @property
    def folders(self) -> tuple[Path, ...]:
        """Folders of the recipe's files, in which relative data paths are looked up."""
        return self._folders

    def located(self, source: str, folders: tuple[Path, ...]) -> Self:
        """The same recipe, read from there."""
        copy = self.model_copy()
        copy._source, copy._folders = source, folders
        return copy

    def only(self, tasks: Iterable[str]) -> Self:
        """The same recipe with these of its tasks.

        Where they are balanced by one that is not among them, they have fixed weights.
        """
        assert not isinstance(tasks, str)
        kept = set(tasks)
        main = tuple(task for task in self.evaluation.main or () if task in kept)
        update = {
            "tasks": {name: task for name, task in self.tasks.items() if name in kept},
            "evaluation": self.evaluation.model_copy(update={"main": main or None}),
        }
        if isinstance(self.balancing, PCDBalancing) and self.balancing.primary not in kept:
            update["balancing"] = StaticBalancing()
        copy = self.model_copy(update=update)
        copy._source, copy._folders = self._source, self._folders
        return copy

    @classmethod
    def about_key(cls, key: str, values: Mapping[str, object]) -> str | None:
        """Finds the section of a key written at the top."""
        del values
        for section, model in (("training", TrainingOptions), ("evaluation", EvaluationOptions)):
            if key in model.model_fields:
                return f"is not a key at the top of a recipe; did you mean '{section}.{key}'?"
        return None
