"""Which of a recipe's tasks read which corpora, and which of them judge its model."""

from collections.abc import Mapping

from hiermtl.corpus.build import Corpus
from hiermtl.heads import HEADS
from hiermtl.recipe import Recipe, corpora_of
from hiermtl.text.segment import SEGMENT


def layers_of(recipe: Recipe) -> dict[str, dict[str, str]]:
    """Corpus -> task -> the layer of the corpus that holds the task's gold.

    What is learnt from the plain text of a corpus has a corpus of its own, `text_name` of it.
    """
    names = [name for own in recipe.corpora for name in (own, text_name(own))]
    found: dict[str, dict[str, str]] = {name: {} for name in names}
    for task, options in recipe.tasks.items():
        for corpus in corpora_of(recipe, task):
            name = text_name(corpus) if options.column == SEGMENT else corpus
            found[name][task] = options.column
    return {corpus: tasks for corpus, tasks in found.items() if tasks}


def document_tasks(recipe: Recipe, name: str) -> list[str]:
    """The tasks of a corpus that judge whole documents; of one that no task is for, none."""
    tasks = layers_of(recipe).get(name, {})
    return [task for task in tasks if HEADS[recipe.tasks[task].head.name].unit == "document"]


def text_name(corpus: str) -> str:
    """What the plain text of a corpus is called."""
    return f"{corpus} (text)"


def base_of(recipe: Recipe, name: str) -> str:
    """The corpus of the recipe that a corpus of `layers_of` is, or whose text it is."""
    return next((own for own in recipe.corpora if text_name(own) == name), name)


def main_tasks(recipe: Recipe) -> list[str]:
    """The tasks that decide which checkpoint is best."""
    if recipe.evaluation.main is not None:
        return [task for task in recipe.evaluation.main if task in recipe.tasks]
    return [name for name, task in recipe.tasks.items() if not task.auxiliary]


def auxiliary_tasks(recipe: Recipe) -> list[str]:
    """The tasks that the model is saved without."""
    return [name for name, task in recipe.tasks.items() if task.auxiliary]


def as_trained(recipe: Recipe) -> tuple[Recipe, list[str]]:
    """Without auxiliary tasks where tasks share nothing, and a line for each of these."""
    idle = auxiliary_tasks(recipe) if recipe.sharing.name == "single" else []
    if not idle:
        return recipe, []
    lines = [
        f"{task}: auxiliary, so that it is not trained: under sharing 'single' it can help no other"
        for task in idle
    ]
    return recipe.only(set(recipe.tasks) - set(idle)), lines


def judging_tasks(recipe: Recipe, corpora: Mapping[str, Corpus]) -> list[str]:
    """Of the tasks that decide which checkpoint is best, those with something to score in dev."""
    return [task for task in main_tasks(recipe) if task in dev_tasks(recipe, corpora)]


def dev_tasks(recipe: Recipe, corpora: Mapping[str, Corpus]) -> set[str]:
    """The tasks that can be scored on dev."""
    return {task for name in layers_of(recipe) for task in scorable(recipe, corpora, name, "dev")}


def scorable(
    recipe: Recipe, corpora: Mapping[str, Corpus], name: str, split: str
) -> dict[str, str]:
    """Of the tasks a corpus is for, those that can be scored on a split, with their layers."""
    corpus = corpora[name]
    if split not in corpus.splits:
        return {}
    tasks = layers_of(recipe)[name]
    return {task: layer for task, layer in tasks.items() if corpus.scorable(split, layer)}
