"""Raw texts to sentences, by the rules of their language or by a model that has learnt to."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from hiermtl.text.atoms import Atoms, find_atoms
from hiermtl.text.segment import SEGMENT, STRETCH, segmented
from hiermtl.text.sentence import Sentence
from hiermtl.tokens.collate import windows

if TYPE_CHECKING:
    from hiermtl.annotation.annotator import Annotator

CHARACTERS = 1_000_000
"""Characters of texts that are read ahead to be segmented together."""

Splitter: TypeAlias = Callable[[Sequence[str]], Iterable[list[Sentence]]]
"""Texts to the sentences of each."""


def segment_texts(
    nlp: "Annotator", texts: Iterable[str], *, tokens_per_batch: int, window: int
) -> Iterator[list[Sentence]]:
    """The sentences of each text, by the model's task `segment`; only the blocks it needs run.

    A paragraph is read in stretches of `STRETCH` atoms that overlap, as a sentence longer than the
    encoder is; of each atom that stretch decides in which it stands furthest from an edge. Sizes
    are those of `Annotator.predictions`.
    """
    waiting: deque[tuple[Atoms, list[int]]] = deque()

    def stretches() -> Iterator[Sequence[str]]:
        for text in texts:
            atoms = find_atoms(text)
            ends = [*np.flatnonzero(atoms.opening).tolist(), len(atoms)]
            parts = [
                (first + a, first + b, c - a, d - a)
                for first, end in pairwise(ends)
                for a, b, c, d in windows(end - first, STRETCH)
            ]
            # A text without words keeps its place in the line.
            for number, (first, last, own, rest) in enumerate(parts or [(0, 0, 0, 0)]):
                waiting.append((atoms, [own, rest, number + 1 >= len(parts)]))
                yield atoms.marked(first, last)

    tags: list[str] = []
    found_of = nlp.predictions(
        stretches(), [SEGMENT], tokens_per_batch=tokens_per_batch, window=window
    )
    for found in found_of:
        atoms, (own, rest, ends) = waiting.popleft()
        layer = found.layers[SEGMENT]
        assert isinstance(layer, tuple)
        tags += [tag or "I" for tag in layer[own:rest]]
        if ends:
            yield segmented(atoms, tags)
            tags = []
