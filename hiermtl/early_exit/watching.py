"""An annotator that remembers how sure exits were."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from hiermtl.annotation import Annotator
from hiermtl.annotation.entries import Entry, Prediction, sentences_of


class WatchingAnnotator(Annotator):
    """Lets sentences leave, and keeps for each entry how sure the exit of each task was.

    `watched` has a list for each time predictions were asked for: of each sentence, or text or
    pair, in their order, how many words it has and `Prediction.sure`.
    """

    def __init__(self, *parts: Any, **options: Any) -> None:
        """As `Annotator`, with exits."""
        super().__init__(*parts, **options, exits=True)
        self.watched: list[list[tuple[int, dict[str, float]]]] = []

    def predictions(
        self, sentences: Iterable[Entry], tasks: Iterable[str] | None = None, **options: Any
    ) -> Iterator[Prediction]:
        """As `Annotator.predictions`."""
        sizes: deque[tuple[int, int]] = deque()
        own: list[tuple[int, dict[str, float]]] = []
        self.watched.append(own)

        def passed() -> Iterator[Entry]:
            for entry in sentences:
                parts = sentences_of(entry)
                sizes.append((len(parts), sum(map(len, parts))))
                yield entry

        found = super().predictions(passed(), tasks, **options)
        for first in found:
            count, words = sizes.popleft()
            own.append((words, dict(first.sure)))
            yield first
            for _ in range(count - 1):
                yield next(found)
