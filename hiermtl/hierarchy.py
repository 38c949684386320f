"""Which task is read at which encoder depth.

A *depth* is an index into the encoder: 0 is the embedding, k the output of block k. A *level* is a
task's rank in the hierarchy: 1 for the lowest depth in use, 2 for the next, and so on. Two tasks
may share a depth, and then a level.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from hiermtl.errors import ModelError, RecipeError, listing, nearest


@dataclass(frozen=True, slots=True)
class Task:
    """What is predicted, and where.

    `weight` multiplies the task's loss. `frozen` keeps the head as it is. An `auxiliary` task
    shapes training alone: it has no say in which checkpoint is best, nothing reads its predictions,
    and the model that is saved is without it.
    """

    name: str
    depth: int
    weight: float = 1.0
    frozen: bool = False
    auxiliary: bool = False


class Hierarchy:
    """The tasks in order of depth.

    Ties in order of name, so that the order of declaration means nothing.
    """

    def __init__(self, tasks: Iterable[Task]) -> None:
        """Raises RecipeError when there is no task, a name occurs twice or a depth is below 1."""
        self.tasks = tuple(sorted(tasks, key=lambda task: (task.depth, task.name)))
        self._by_name = {task.name: task for task in self.tasks}
        if not self.tasks:
            raise RecipeError("the hierarchy has no task; name at least one under `tasks`")
        if len(self._by_name) < len(self.tasks):
            names = sorted(task.name for task in self.tasks)
            raise RecipeError(
                f"task names are {', '.join(names)}; give each task a name of its own"
            )
        for task in self.tasks:
            if task.depth < 1:
                raise RecipeError(
                    f"tasks.{task.name}.depth is {task.depth}; a task is read at depth 1 or above "
                    "(0 is the embedding): raise it"
                )
        self._depths = sorted({task.depth for task in self.tasks})

    @property
    def names(self) -> tuple[str, ...]:
        """Task names, lowest first."""
        return tuple(self._by_name)

    @property
    def top(self) -> int:
        """The deepest depth any task is read at."""
        return self._depths[-1]

    def __getitem__(self, name: str) -> Task:
        """The task of that name."""
        return self._by_name[name]

    def __contains__(self, name: object) -> bool:
        """Whether there is a task of that name."""
        return name in self._by_name

    def __iter__(self) -> Iterator[Task]:
        """Over the tasks, lowest first."""
        return iter(self.tasks)

    def __len__(self) -> int:
        """The number of tasks."""
        return len(self.tasks)

    def level(self, name: str) -> int:
        """The rank of the task's depth among the depths in use, counted from 1."""
        return self._depths.index(self._by_name[name].depth) + 1

    def select(self, tasks: Iterable[str] | None = None) -> tuple[str, ...]:
        """The tasks, each once, lowest first; `None` means all, a string one task.

        Raises:
            ModelError: There is no such task.
        """
        if tasks is None:
            return self.names
        if not isinstance(tasks, Iterable):
            raise ModelError(f"tasks is {tasks!r}; pass names of {listing(self.names)}, or None")
        asked = [tasks] if isinstance(tasks, str) else list(tasks)
        for task in asked:
            if task not in self:
                raise ModelError(
                    f"the model has no task {task!r}; it has {listing(self.names)}"
                    f"{nearest(str(task), self.names)}"
                )
        return tuple(task for task in self.names if task in asked)
