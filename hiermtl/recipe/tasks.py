"""The recipe's `tasks` section: what is predicted, where it is read, and from which corpora."""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema

from hiermtl.errors import listing, nearest
from hiermtl.recipe.base import NUMBER, OneOf, Section, problem, shown
from hiermtl.recipe.files import Names
from hiermtl.recipe.heads import DEFAULT_HEADS, HEADS, HeadOptions, hint_layer

_SHARE = re.compile(r"(\d+(?:\.\d+)?)%")
_DEPTHS = "a whole number from 1, a share of the encoder such as '50%', or 'auto'"

AUTO = "auto"
"""The depth that a probe fixes before training."""


def _depth(value: object) -> int | str:
    share = _SHARE.fullmatch(value) if isinstance(value, str) else None
    if isinstance(value, str):
        if share and 0 < float(share[1]) <= 100:
            return value
        if value == AUTO:
            return value
        raise problem(f"is {value!r}; allowed: {_DEPTHS} (above 0%, at most 100%)", NUMBER)
    if isinstance(value, bool) or not isinstance(value, int):
        raise problem(f"is {shown(value)}; allowed: {_DEPTHS}")
    if value < 1:
        raise problem(f"is {value}; a task is read at depth 1 or above (0 is the embedding)")
    return value


Depth: TypeAlias = Annotated[
    int | str,
    BeforeValidator(_depth),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1},
                {"type": "string", "pattern": r"^\d+(\.\d+)?%$"},
                {"type": "string", "const": AUTO},
            ]
        }
    ),
]


def _class_weights(value: object) -> Literal["none", "balanced"] | dict[str, float]:
    if value == "none" or value == "balanced":
        return value  # type: ignore[return-value]
    allowed = "allowed are none, balanced and a mapping of labels to numbers above 0"
    if not isinstance(value, Mapping) or not value:
        raise problem(f"is {shown(value)}; {allowed}")
    for label, weight in value.items():
        number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not isinstance(label, str) or not number or not 0 < weight < float("inf"):
            raise problem(f"gives {label!r} the weight {shown(weight)}; {allowed}")
    return {label: float(weight) for label, weight in value.items()}


ClassWeights: TypeAlias = Annotated[
    Literal["none", "balanced"] | dict[str, float],
    BeforeValidator(_class_weights),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "enum": ["none", "balanced"]},
                {
                    "type": "object",
                    "minProperties": 1,
                    "additionalProperties": {"type": "number", "exclusiveMinimum": 0},
                },
            ]
        }
    ),
]


def _without_required(schema: dict[str, Any]) -> None:
    """Head and column of a task follow from its name: an editor must not ask for them."""
    schema.pop("required", None)


class TaskOptions(Section):
    """One task."""

    model_config = ConfigDict(json_schema_extra=_without_required)

    depth: Depth | None = None
    """Encoder depth the task is read at: a whole number from 1, a share (`50%`, rounded half up, at
    least 1), or `auto`, what a probe of the pretrained encoder proposes before training. Default:
    none under `low_supervision` and `joint_many`, the top under `hard` and `single`."""

    head: Annotated[HeadOptions, OneOf(HEADS)]
    """What turns states into labels. Default: by the task's name (segment, upos, xpos, feats:
    tagging; lemma: edits; chunk, ner: crf; dep: biaffine; entity, mention: span; srl: roles;
    relation: relation; coref: coreference; relatedness: pair_regression; entailment:
    pair_classification)."""

    corpus: Names | None = None
    """The corpora that annotate the task, one name or a list. Default: all that have the column."""

    column: str = Field(min_length=1)
    """The layer of the corpora that holds the gold labels. Default: the task's name; of a hint, the
    layer that is computed."""

    weight: float = Field(default=1.0, gt=0)
    """Factor of the task's loss, no unit. Default: 1, as in the overview's systems."""

    freeze: bool = False
    """Whether the head keeps its parameters. Default: ours."""

    auxiliary: bool = False
    """Whether the task only helps others: it has no say in which checkpoint is best, nothing reads
    its labels, and the model is saved without it. Default: ours."""

    class_weights: ClassWeights = "none"
    """Factor of each label's loss: `none`, `balanced` (inverse to its frequency), or a number per
    label. Default: ours."""


def with_defaults(name: str, options: object, *, others: Iterable[str] = ()) -> dict[str, object]:
    """The options of a task with what follows from its name filled in.

    `others` are the names of all tasks, among which a wrong one is looked up.
    """
    if not isinstance(options, Mapping):
        near = nearest(name, (other for other in others if other != name))
        raise problem(f"is {shown(options)}, but a mapping such as {{depth: 3}} is needed{near}")
    filled = dict(options)
    if "head" not in filled and name in DEFAULT_HEADS:
        filled["head"] = {"name": DEFAULT_HEADS[name]}
    elif "head" not in filled:
        raise problem(
            f"needs a head, since tasks named {name!r} have none by default; "
            f"write head: and one of {listing(HEADS)}"
        )
    head = filled["head"]
    if isinstance(head, Mapping) and "name" not in head and name in DEFAULT_HEADS:
        head = filled["head"] = {"name": DEFAULT_HEADS[name], **head}
    hint = isinstance(head, Mapping) and head.get("name") == "hint"
    column = hint_layer(head.get("feature"), head.get("size")) if hint else name
    filled.setdefault("column", column)
    # Parts of speech are not IOB2: only there does the field's default change.
    if DEFAULT_HEADS.get(name) == "tagging" and head in ("crf", {"name": "crf"}):
        filled["head"] = {"name": "crf", "bio": False}
    return filled
