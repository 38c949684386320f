"""What a model is built from, as plain data: encoder, tasks with depths and labels, sharing."""

from collections.abc import Mapping
from typing import Any

from transformers import AutoConfig, PreTrainedConfig

from hiermtl.earlier import recipe_then, task_then
from hiermtl.errors import ModelError, listing, nearest
from hiermtl.heads import HEADS
from hiermtl.hierarchy import Hierarchy, Task

FORMAT_VERSION = 3
"""Of model folders; one with a higher version is refused, and one with a lower is read as if it had
been saved now (`hiermtl.earlier`)."""


class HierarchicalConfig(PreTrainedConfig):
    """All that is needed to build the model again: encoder, tasks with depths and labels, sharing.

    `tasks` maps a name to `depth`, `weight`, `frozen`, `auxiliary`, `head` (its kind), `labels`,
    `options` and `column`, the layer of the data it was trained on; `encoder` is an encoder's
    `config()`; `sharing` a scheme's `structure()` with its `name`. `absent` maps tasks that the
    scheme was made for, and that the model no longer has, to their depths. `precision` is what
    inference uses where the processor allows it; `recipe` the resolved recipe it was trained by;
    `learnt` what the scheme was and had learnt (`describe`), where low supervision is left of it or
    tasks are absent. `exits` maps a task to its `loss`, the points that exits may cost it, and
    `thresholds`: depth below its own, as text, to how sure a sentence must be that leaves there.
    """

    model_type = "hiermtl"

    def __init__(
        self,
        encoder: Mapping[str, Any] | None = None,
        tasks: Mapping[str, Any] | None = None,
        sharing: Mapping[str, Any] | None = None,
        *,
        pooling: str = "first",
        language: str = "xx",
        precision: str = "fp32",
        recipe: Mapping[str, Any] | None = None,
        learnt: Mapping[str, Any] | None = None,
        absent: Mapping[str, int] | None = None,
        exits: Mapping[str, Mapping[str, Any]] | None = None,
        format_version: int = FORMAT_VERSION,
        **kwargs: Any,
    ) -> None:
        """Takes plain data; the empty config is what transformers makes to find defaults.

        Raises ModelError for a config that asks for code of its own.
        """
        if kwargs.get("auto_map"):
            raise ModelError(
                f"the model's config asks for code of its own (auto_map: {kwargs['auto_map']}), "
                "which hiermtl never runs; use a model without auto_map"
            )
        self.encoder = dict(encoder or {})
        self.tasks = {name: task_then(task, format_version) for name, task in (tasks or {}).items()}
        self.sharing = dict(sharing or {"name": "low_supervision"})
        self.pooling, self.language, self.precision = pooling, language, precision
        self.recipe, self.learnt = recipe_then(recipe or {}), dict(learnt or {})
        self.absent = dict(absent or {})
        self.exits = {task: dict(given) for task, given in (exits or {}).items()}
        self.format_version = max(format_version, FORMAT_VERSION)
        super().__init__(**kwargs)

    def hierarchy(self) -> Hierarchy:
        """The tasks and their depths."""
        fields = ("depth", "weight", "frozen", "auxiliary")
        return Hierarchy(
            Task(name, **{key: task[key] for key in fields if key in task})
            for name, task in self.tasks.items()
        )


def check_reads(tasks: Mapping[str, Mapping[str, Any]]) -> None:
    """Whether the tasks that heads read are there, of the right kind, and below.

    Raises:
        ModelError: One is not, has another number of labels than the reader expects, or tasks read
            each other in a ring.
    """
    reads = {name: dict(task.get("options", {}).get("reads", {})) for name, task in tasks.items()}
    kinds = {name: row_of(HEADS, task["head"], "head") for name, task in tasks.items()}
    for name, lower in reads.items():
        wanted = kinds[name].reads_layer
        able = [
            other
            for other, task in tasks.items()
            if other != name
            and (
                kinds[other].unit == kinds[name].unit
                if wanted is None
                else kinds[other].layer == wanted
            )
            and task["depth"] <= tasks[name]["depth"]
        ]
        said = ("judges {0.unit}s", "{0.unit}s", "of the same kind")
        if wanted is not None:
            said = ("finds {0.layer}", "reads {0.reads_layer}", f"that find {wanted}")
        for other, count in lower.items():
            place = f"tasks.{name}.head.reads"
            if other not in able:
                why = "is no other task of the model"
                if other in tasks and other != name:
                    why = (
                        f"{said[0].format(kinds[other])} at depth {tasks[other]['depth']}, and "
                        f"the reader {said[1].format(kinds[name])} at depth {tasks[name]['depth']}"
                    )
                raise ModelError(
                    f"{place} is {other!r}, which {why}; allowed are tasks {said[2]}, not read "
                    f"above it: {listing(able)}"
                )
            labels = len(tasks[other]["labels"])
            if labels != count:
                raise ModelError(
                    f"{place} expects {count} labels of {other!r}, which has {labels}; train "
                    f"{name!r} again too"
                )
    left = dict(reads)
    while left:
        free = [name for name, lower in left.items() if not set(lower) & set(left)]
        if not free:
            raise ModelError(
                f"tasks {listing(left)} read each other in a ring; take one out of head.reads"
            )
        for name in free:
            del left[name]


def row_of(table: Mapping[str, Any], name: str, what: str) -> Any:
    """The table's row of this name; raises ModelError, which says `what` it is, where none is."""
    if name not in table:
        raise ModelError(
            f"{what} {name!r} is not known; known are {listing(table)}{nearest(name, table)}"
        )
    return table[name]


AutoConfig.register("hiermtl", HierarchicalConfig)
