"""Recipes: what a run is, written in YAML, checked before anything heavy starts."""

from hiermtl.recipe.catalogue import (
    copy_recipe,
    recipe_names,
    recipe_path,
    recipes_folder,
    show_recipe,
)
from hiermtl.recipe.checks import corpora_of, frozen_problems
from hiermtl.recipe.data_files import data_file
from hiermtl.recipe.depths import (
    auto_tasks,
    in_reading_order,
    permute_depths,
    resolve_depth,
    resolve_depths,
    with_depths,
)
from hiermtl.recipe.loading import load_recipe
from hiermtl.recipe.models import Recipe
from hiermtl.recipe.resolved import default_output, differences, flattened, resolved
from hiermtl.recipe.schema import schema

__all__ = [
    "Recipe",
    "auto_tasks",
    "copy_recipe",
    "corpora_of",
    "data_file",
    "default_output",
    "differences",
    "flattened",
    "frozen_problems",
    "in_reading_order",
    "load_recipe",
    "permute_depths",
    "recipe_names",
    "recipe_path",
    "recipes_folder",
    "resolve_depth",
    "resolve_depths",
    "resolved",
    "schema",
    "show_recipe",
    "with_depths",
]
