"""The README.md of a model folder: hierarchy, scores, data and licences."""

from huggingface_hub import EvalResult

from hiermtl.annotation import Annotator
from hiermtl.commands.tasks import auxiliary_tasks
from hiermtl.errors import listing
from hiermtl.evaluation import Scores
from hiermtl.pretrained import is_hub_id
from hiermtl.pretrained.cards import LIBRARY, card_text, hierarchy_table, licence_keys, task_type
from hiermtl.recipe import Recipe, corpora_of


def model_card(nlp: Annotator, recipe: Recipe, scores: Scores, *, words: int | None) -> str:
    """A card in the hub's form. Scores name split, scorer, dtype and seed.

    `words` are those of the training that made the model, `None` if there was none.
    """
    config = nlp.model.config
    used = sorted({name for task in recipe.tasks for name in corpora_of(recipe, task)})
    licences = {name: recipe.corpora[name].licence for name in used}
    lines = [
        f"# {recipe.name or recipe.description or 'hiermtl model'}",
        "",
        recipe.description,
        "",
        f"One encoder (`{recipe.encoder.name}`), sharing `{config.sharing['name']}`"
        + ("" if recipe.adapter.name == "none" else f", adapter `{recipe.adapter.name}`")
        + (
            "."
            if words is None
            else f", trained on {words:,} words with seed {recipe.training.seed}."
        )
        + _helped(recipe),
        "",
        *hierarchy_table(nlp.model),
    ]
    lines += ["", "## Scores", "", scores.to_markdown(), "", "## Data", ""]
    for name in used:
        about = recipe.corpora[name]
        said = (about.note, *(join.note for join in getattr(about, "join", ())))
        note = "".join(f" {text.rstrip('.')}." for text in said if text)
        lines.append(f"- `{name}`: licence {licences[name] or 'not stated'}.{note}")
    lines += [
        "",
        "## Use",
        "",
        "```python",
        "import hiermtl",
        "",
        'nlp = hiermtl.load("FOLDER")',
        'print(nlp("Ada Lovelace wrote to Charles Babbage in 1843."))',
        "```",
        "",
    ]
    return card_text(
        nlp.model,
        "\n".join(lines),
        name=recipe.name or LIBRARY,
        results=_results(nlp, recipe, scores),
        datasets=[_data_id(recipe, name) for name in used],
        licence=licence_keys(licences.values()),
    )


def _results(nlp: Annotator, recipe: Recipe, scores: Scores) -> list[EvalResult]:
    """The rows as the hub's evaluation results.

    These are one for each task and data set, with the task as the data's configuration: tasks of
    one kind would else be joined.
    """
    return [
        EvalResult(
            task_type=task_type(nlp.model, row.task),
            task_name=row.task,
            dataset_type=_data_id(recipe, row.data),
            dataset_name=row.data,
            dataset_config=row.task,
            dataset_split=row.split,
            metric_type=row.metric,
            metric_name=row.metric,
            metric_value=round(row.score, 4),
            metric_args={
                "level": row.level,
                "depth": row.depth,
                "scorer": row.scorer,
                "items": row.items,
                "dtype": row.dtype,
                "seed": row.seed,
            },
        )
        for row in scores.rows
        if row.task in nlp.hierarchy
    ]


def _data_id(recipe: Recipe, name: str) -> str:
    """A corpus's id on the hub if it comes from there, else its name in the recipe."""
    corpus = recipe.corpora.get(name)
    path = str(getattr(corpus, "path", name))
    return path if is_hub_id(path) else name


def _helped(recipe: Recipe) -> str:
    """What is not in the model and has shaped it."""
    tasks = [f"`{task}`" for task in auxiliary_tasks(recipe)]
    if not tasks:
        return ""
    return f" Auxiliary tasks, which are not in it, helped to train it: {listing(tasks)}."
