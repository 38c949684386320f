"""The README.md of a model folder: metadata that the hub reads, and what a person reads below it.

Metadata are those of model cards (https://huggingface.co/docs/hub/model-cards), and `depths`: the
depth at which each task is read.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from hiermtl.model import HierarchicalModel

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

LIBRARY = "hiermtl"
_FOLDER = '"FOLDER"'
_UNSTATED = "not-stated"
_LOAD = re.compile(r'^(nlp = hiermtl\.load\()"[^"\n]*"(?=\)$)', re.MULTILINE)

_TAKEN = """
afl-3.0 agpl-3.0 apache-2.0 apple-amlr apple-ascl artistic-2.0 bigcode-openrail-m
bigscience-bloom-rail-1.0 bigscience-openrail-m bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear
bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0
cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0
cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0 cdla-permissive-2.0 cdla-sharing-1.0
creativeml-openrail-m deepfloyd-if-license ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2
fair-noncommercial-research-license gemma gfdl gpl gpl-2.0 gpl-3.0 grok2-community h-research
intel-research isc lgpl lgpl-2.1 lgpl-3.0 lgpl-lr llama2 llama3 llama3.1 llama3.2 llama3.3
llama4 lppl-1.3c mit mpl-2.0 ms-pl ncsa odbl odc-by ofl-1.1 openmdw-1.0 openmdw-1.1 openrail
openrail++ osl-3.0 pddl postgresql unlicense wtfpl zlib
"""
LICENCES = frozenset(_TAKEN.split())
"""What the hub takes as `license`, but for `other` and `unknown`.

Source: https://huggingface.co/docs/hub/repositories-licenses.
"""

_PHRASES = {
    "creative commons": "cc",
    "attribution": "by",
    "noncommercial": "nc",
    "non commercial": "nc",
    "sharealike": "sa",
    "share alike": "sa",
    "noderivatives": "nd",
    "no derivatives": "nd",
}
_SHORT = {"cc0": "cc0-1.0"}
_IDLE = {"the", "licence", "license", "version", "international", "unported", "gnu"}
"""Words that licences are called with, and the hub's names are without."""


def card_text(
    model: HierarchicalModel,
    body: str,
    *,
    name: str,
    results: Sequence["EvalResult"] = (),
    datasets: Iterable[str] = (),
    licence: Mapping[str, str | None] = MappingProxyType({}),
) -> str:
    """A card: metadata of the model, and the text below them.

    Args:
        model: Says tasks, depths, language and scheme.
        body: Markdown.
        name: The model's, which results stand under.
        results: Scores.
        datasets: Ids on the hub, or names, of what it was trained on.
        licence: The metadata that tell it, see `licence_keys`.
    """
    from huggingface_hub import ModelCardData

    kinds = {task: task_type(model, task) for task in model.hierarchy.names}
    language = model.config.language
    data = ModelCardData(
        language=None if language == "xx" else language,
        library_name=LIBRARY,
        pipeline_tag="token-classification"
        if "token-classification" in kinds.values()
        else next(iter(kinds.values())),
        tags=[LIBRARY, "multi-task-learning", "task-hierarchy", model.config.sharing["name"]],
        datasets=sorted(set(datasets)) or None,
        model_name=name if results else None,
        eval_results=list(results) or None,
        depths={task.name: task.depth for task in model.hierarchy},
        license=licence.get("license"),
        license_name=licence.get("license_name"),
        license_link=licence.get("license_link"),
    )
    return f"---\n{data.to_yaml()}\n---\n\n{body.rstrip()}\n"


def default_card(model: HierarchicalModel) -> str:
    """A card with the tasks from top to bottom."""
    family, scheme = model.config.encoder.get("family"), model.config.sharing["name"]
    about = (
        f"A task hierarchy on one encoder ({family}, sharing: {scheme}, language: "
        f"{model.config.language})."
    )
    return card_text(model, "\n".join([about, "", *hierarchy_table(model)]), name=LIBRARY)


def part_of_card(card: str | None, model: HierarchicalModel) -> str | None:
    """The card of a model that is a part of the one a card is of: scores of its tasks alone.

    `None` where there is no card, or its metadata cannot be read.
    """
    from huggingface_hub import ModelCard

    if card is None:
        return None
    try:
        data: Any = ModelCard(card).data
    except Exception:  # whatever a person has written there
        return None
    results = [of for of in data.eval_results or () if of.task_name in model.hierarchy]
    tasks = ", ".join(f"`{task}`" for task in model.hierarchy.names)
    lines = [
        f"# {data.model_name or LIBRARY}, a part",
        "",
        f"What {tasks} need of a model with more tasks; these say the same as there.",
        "",
        *hierarchy_table(model),
        "",
    ]
    if results:
        lines += ["| task | metric | score | data | split |", "|---|---|--:|---|---|"]
        lines += [
            f"| {of.task_name} | {of.metric_name} | {of.metric_value} | {of.dataset_name} "
            f"| {of.dataset_split} |"
            for of in results
        ]
    keys = ("license", "license_name", "license_link")
    return card_text(
        model,
        "\n".join(lines),
        name=data.model_name or LIBRARY,
        results=results,
        datasets=data.datasets or (),
        licence={key: getattr(data, key, None) for key in keys},
    )


def card_for(card: str, name: str) -> str:
    """The card with the model's name on the hub in the place of that of a folder.

    Or in the place of the name it had there: the first line that loads it as ours do.
    """
    return _LOAD.sub(rf'\1"{name}"', card.replace(_FOLDER, f'"{name}"'), count=1)


def hierarchy_table(model: HierarchicalModel) -> list[str]:
    """Lines of a Markdown table, the highest level first."""
    rows = [
        f"| {model.hierarchy.level(task.name)} | {task.depth} | {task.name} "
        f"| {model.head(task.name).kind} | {len(model.head(task.name).labels)} |"
        for task in reversed(model.hierarchy.tasks)
    ]
    return ["| level | depth | task | head | labels |", "|---|---|---|---|---|", *rows]


def task_type(model: HierarchicalModel, task: str) -> str:
    """What the hub calls tasks of this kind."""
    head = model.head(task)
    if head.of_sentences:
        return "token-classification"
    return "sentence-similarity" if head.layer == "number" else "text-classification"


def licence_keys(licences: Iterable[str | None]) -> dict[str, str]:
    """The metadata that tell licences: one of the hub's names, or `other` with all of them named.

    Nothing where none is stated.
    """
    found = sorted({_UNSTATED if text is None else licence_name(text) for text in licences})
    if not found or found == [_UNSTATED]:
        return {}
    if len(found) == 1 and found[0] in LICENCES:
        return {"license": found[0]}
    return {"license": "other", "license_name": "-and-".join(found)}


def licence_name(text: str) -> str:
    """A licence as the hub names it, `CC BY-SA 4.0` as `cc-by-sa-4.0`; others as a slug.

    What stands in brackets or behind a comma is no part of the name.
    """
    whole = text.partition("(")[0]
    bare = whole.partition(",")[0]
    return _known(whole) or _known(bare) or "-".join(_words(bare)) or "see-below"


def _known(text: str) -> str | None:
    """The hub's name of a licence, if it has one: as it is written, and without idle words."""
    written = _words(text)
    spoken = " ".join(written)
    for phrase, short in _PHRASES.items():
        spoken = spoken.replace(phrase, short)
    joined = "-".join(word for word in spoken.split() if word not in _IDLE)
    # Versions: `gpl-v3`, `gplv3`, `gpl-3` and `gpl-v3.0`.
    numbered = re.sub(r"-?v?(\d)(\.\d)?$", lambda m: f"-{m[1]}{m[2] or '.0'}", joined)
    tries = ("-".join(written), joined, numbered, _SHORT.get(joined))
    return next((name for name in tries if name in LICENCES), None)


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9.+]+", text.lower())
