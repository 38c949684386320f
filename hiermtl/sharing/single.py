"""Single-task control: an encoder of its own for each task, nothing shared.

Source: the control arm of every multi-task paper. Departs: the tasks' models lie in one folder, as
branches. Shapes: one stream per task. Limits: each branch is a single-task model; branches start
equal.
"""

from collections.abc import Mapping

from hiermtl.sharing.base import Sharing


class Single(Sharing):
    """One branch per task, from the embedding up to the task's depth."""

    name = "single"
    separable = True

    def branches(self, depth: int) -> Mapping[str, str | None]:
        """One branch per task that is read at this depth or above."""
        reaching = [task.name for task in self.hierarchy if task.depth >= depth]
        return {name: name if depth else None for name in reaching}

    def branch_of(self, task: str) -> str:
        """The task's own branch, named like it."""
        return task
