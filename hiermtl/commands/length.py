"""How many steps a run has, and whether they are enough for what its recipe asks."""

from dataclasses import dataclass

from hiermtl.commands.build import Built, make_settings
from hiermtl.recipe import Recipe
from hiermtl.training import Settings, make_plan
from hiermtl.training.optimizer import warm_steps


@dataclass(frozen=True, slots=True)
class Length:
    """Steps of an epoch and of the whole run; `lines` are things a person should know of them."""

    per_epoch: int
    total: int
    lines: tuple[str, ...] = ()


def run_length(built: Built, recipe: Recipe) -> Length:
    """The steps of a run of this recipe.

    Raises:
        RecipeError: In so few of them the sharing scheme would do nothing.
    """
    settings = make_settings(recipe, "fp32")
    plan = make_plan(built.model, built.tokenizer, built.examples, settings)
    total = settings.steps(plan.steps_per_epoch)
    built.model.sharing.check_steps(total)
    return Length(plan.steps_per_epoch, total, tuple(_slow_start(settings, total)))


def _slow_start(settings: Settings, total: int) -> list[str]:
    """A line where the learning rate grows for more than half of the steps."""
    warm = warm_steps(settings.warmup, total)
    if settings.sampling.rate_decay is not None or 2 * warm <= total:
        return []
    top = "does not reach its peak" if warm > total else "falls for the rest only"
    return [
        f"training.warmup is {settings.warmup!r}, and the run has {total:,} "
        f"step{'' if total == 1 else 's'}: the learning rate grows for more than half of them and "
        f"{top}; a share such as 0.1 fits every length"
    ]
