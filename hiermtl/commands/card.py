"""The README.md of a model folder: hierarchy, scores, data and licences."""

from hiermtl.annotation import Annotator
from hiermtl.commands.corpora import auxiliary_tasks
from hiermtl.errors import listing
from hiermtl.evaluation import Scores
from hiermtl.recipe import Recipe, corpora_of


def model_card(nlp: Annotator, recipe: Recipe, scores: Scores, *, words: int | None) -> str:
    """A card in the hub's form. Scores name split, scorer, dtype and seed.

    `words` are those of the training that made the model, `None` if there was none.
    """
    config = nlp.model.config
    used = sorted({name for task in recipe.tasks for name in corpora_of(recipe, task)})
    licences = {name: recipe.corpora[name].licence for name in used}
    lines = [
        "---",
        "library_name: hiermtl",
        "pipeline_tag: token-classification",
        f"language: {recipe.language}",
        "---",
        "",
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
        "| level | depth | task | head | labels |",
        "|---|---|---|---|---|",
    ]
    for task in reversed(nlp.hierarchy.tasks):
        head = nlp.model.head(task.name)
        level = nlp.hierarchy.level(task.name)
        lines.append(f"| {level} | {task.depth} | {task.name} | {head.kind} | {len(head.labels)} |")
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
    return "\n".join(lines)


def _helped(recipe: Recipe) -> str:
    """What is not in the model and has shaped it."""
    tasks = [f"`{task}`" for task in auxiliary_tasks(recipe)]
    if not tasks:
        return ""
    return f" Auxiliary tasks, which are not in it, helped to train it: {listing(tasks)}."
