"""An experiment as a file: arms, seeds and sizes that are trained and compared."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from hiermtl.errors import listing, nearest
from hiermtl.recipe.base import Section, problem, shown
from hiermtl.recipe.loader import read_file
from hiermtl.recipe.loading import load_recipe
from hiermtl.recipe.messages import problems, recipe_error
from hiermtl.recipe.models import Name, Recipe


def _arm(value: object) -> object:
    return {"recipe": value} if isinstance(value, str) else value


def _numbers(value: object) -> object:
    if not isinstance(value, list | tuple) or not value:
        raise problem(f"is {shown(value)}, but a list of whole numbers is needed")
    if len(set(map(str, value))) < len(value):
        raise problem(f"is {shown(value)}; name each number once")
    return tuple(value)


class Arm(Section):
    """One system of an experiment."""

    recipe: str = Field(min_length=1)
    """A shipped recipe's name, or a file beside the grid's."""

    set: dict[str, Any] = Field(default_factory=dict)
    """Dotted keys of the recipe and their values. Default: none, the recipe as it is."""


class Grid(Section):
    """Recipes times seeds times sizes."""

    description: str = ""
    """One line on what is asked."""

    arms: Annotated[
        dict[Name, Annotated[Arm, BeforeValidator(_arm)]], Field(min_length=1, strict=False)
    ]
    """What is compared: name -> recipe, or {recipe: ..., set: {key: value}}."""

    set: dict[str, Any] = Field(default_factory=dict)
    """Dotted keys of all recipes and their values. Default: none."""

    seeds: Annotated[
        tuple[Annotated[int, Field(ge=0)], ...], BeforeValidator(_numbers), Field(strict=False)
    ] = (0, 1, 2)
    """Seeds of weights, order and dropout. Default: three, the fewest that are tested."""

    sizes: (
        Annotated[
            tuple[Annotated[int, Field(ge=1)], ...], BeforeValidator(_numbers), Field(strict=False)
        ]
        | None
    ) = None
    """Training sentences of each corpus (`training.max_examples`). Default: as the recipes say."""

    tune: Annotated[tuple[dict[str, Any], ...], Field(strict=False)] = ()
    """Candidates, each dotted keys and values; for each arm and size the best on dev with the first
    seed is used for all. Default: nothing is chosen."""

    split: Literal["dev", "test"] = "test"
    """What is compared, read once per trained model that is. Default: test."""

    gap: bool = False
    """Whether runs are scored on what they were trained on too, to be set beside dev. Default:
    ours."""

    controls: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Arms that the others are set against. Default: `single` and `hard`, as far as they are
    arms."""

    _source: str = PrivateAttr("")

    @property
    def source(self) -> Path:
        """The grid's file."""
        return Path(self._source)

    @field_validator("controls")
    @classmethod
    def _check_controls(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        # Arms that are in error themselves are not there.
        arms = info.data.get("arms", value)
        for name in value:
            if name not in arms:
                raise problem(
                    f"names {name!r}, which is no arm{nearest(name, arms)} (arms: {listing(arms)})"
                )
        return value

    def located(self, path: Path) -> Self:
        """The same grid, read from there."""
        copy = self.model_copy()
        copy._source = str(path)
        return copy

    def against(self) -> tuple[str, ...]:
        """The arms that the others are set against."""
        return self.controls or tuple(name for name in ("single", "hard") if name in self.arms)

    def recipe(self, arm: str, changes: Mapping[str, Any]) -> Recipe:
        """The recipe of an arm with these changes on top.

        Raises:
            RecipeError: It is malformed, or a key is none of a recipe's.
        """
        options = self.arms[arm]
        file = options.recipe.endswith((".yaml", ".yml"))
        recipe = self.source.parent / options.recipe if file else options.recipe
        return load_recipe(recipe, {**self.set, **options.set, **changes})


def load_grid(path: str | Path) -> Grid:
    """The grid in a YAML file.

    Raises:
        RecipeError: It lists every error, one per line.
    """
    path = Path(path)
    document = read_file(path, "grid")
    places = {key: f"{path}:{line}" for key, line in document.lines.items()}
    try:
        return Grid.model_validate(document.data).located(path)
    except ValidationError as error:
        raise recipe_error(problems(error), places, source=str(path)) from None
