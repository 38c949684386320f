"""Sentences that are trained on in one corpus and judged in another, or in the same.

In joint training the gold of one task may lie beside the very sentences on which another task is
judged, as where chunks and trees are cut from one treebank by different rules. Sentences count as
equal when they agree in all characters but white space and case, so that corpora that split words
differently are compared too.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hiermtl.corpus.build import Corpus

LONG = 6
"""Words from which on two equal sentences are hardly equal by chance."""


@dataclass(frozen=True, slots=True)
class Leak:
    """Of `sentences` of a split of `judged`, `found` stand in the training data of `trained`.

    `long` are those of `LONG` words or more.
    """

    trained: str
    judged: str
    split: str
    sentences: int
    found: int
    long: int

    def __str__(self) -> str:
        """One line."""
        place = "its own training data" if self.trained == self.judged else self.trained
        where = place if self.trained == self.judged else f"the training data of {place}"
        return (
            f"{self.judged} {self.split}: {self.found:,} of {self.sentences:,} sentences stand in "
            f"{where}, {self.long:,} of them with {LONG} or more words"
        )


def leaks(corpora: Mapping[str, Corpus]) -> list[Leak]:
    """All pairs of corpora and splits in which a sentence is found again, the worst first."""
    trained = {
        name: {key for key, _ in _keys(corpus, "train")}
        for name, corpus in corpora.items()
        if "train" in corpus.splits
    }
    found = []
    for name, corpus in corpora.items():
        for split in corpus.splits:
            if split == "train":
                continue
            keys = list(_keys(corpus, split))
            for other, known in trained.items():
                words = [count for key, count in keys if key in known]
                if words:
                    long = sum(count >= LONG for count in words)
                    found.append(Leak(other, name, split, len(keys), len(words), long))
    return sorted(found, key=lambda leak: (-leak.long, -leak.found))


def _keys(corpus: Corpus, split: str) -> Iterator[tuple[bytes, int]]:
    """What each sentence is compared by, and its number of words."""
    for sentence in corpus.sentences(split):
        text = "".join("".join(sentence.words).split()).casefold()
        yield hashlib.blake2b(text.encode("utf-8"), digest_size=8).digest(), len(sentence.words)
