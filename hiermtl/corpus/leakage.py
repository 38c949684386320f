"""What is trained on in one corpus and judged in another, or in the same.

In joint training the gold of one task may lie beside the very sentences on which another task is
judged, as where chunks and trees are cut from one treebank by different rules. Texts and pairs are
compared as wholes: the sentences of pairs occur in many of them, and none says how a new pair is
judged. Two are equal when they agree in all characters but white space and case, so that corpora
that split words differently are compared too.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from hiermtl.corpus.build import Corpus
from hiermtl.text.sentence import Sentence

LONG = 6
"""Words from which on two equal sentences are hardly equal by chance."""


@dataclass(frozen=True, slots=True)
class Leak:
    """Of `total` sentences or passages (`kind`) of a split of `judged`, `found` stand in `trained`.

    That is, in its training data; `long` are those of `LONG` words or more.
    """

    trained: str
    judged: str
    split: str
    kind: str
    total: int
    found: int
    long: int

    def __str__(self) -> str:
        """One line."""
        own = self.trained == self.judged
        where = "its own training data" if own else f"the training data of {self.trained}"
        return (
            f"{self.judged} {self.split}: {self.found:,} of {self.total:,} {self.kind} stand in "
            f"{where}, {self.long:,} of them with {LONG} or more words"
        )


@dataclass(frozen=True, slots=True)
class _Item:
    """What is compared by, its words, and whether words of it have gold of their own."""

    key: bytes
    words: int
    tagged: bool


def leaks(corpora: Mapping[str, Corpus]) -> list[Leak]:
    """All pairs of corpora and splits in which something is found again, the worst first."""
    trained = {
        name: (list(_sentences(corpus, "train")), list(_passages(corpus, "train")))
        for name, corpus in corpora.items()
        if "train" in corpus.splits
    }
    found = []
    for name, corpus in corpora.items():
        for split in corpus.splits:
            if split == "train":
                continue
            sentences, passages = list(_sentences(corpus, split)), list(_passages(corpus, split))
            for other, (known, wholes) in trained.items():
                every = {item.key for item in known}
                tagged = {item.key for item in known if item.tagged}
                again = [s for s in sentences if s.key in (every if s.tagged else tagged)]
                pairs = {item.key for item in wholes}
                same = [passage for passage in passages if passage.key in pairs]
                for kind, total, items in (
                    ("sentences", len(sentences), again),
                    ("passages", len(passages), same),
                ):
                    if items:
                        long = sum(item.words >= LONG for item in items)
                        found.append(Leak(other, name, split, kind, total, len(items), long))
    return sorted(found, key=lambda leak: (-leak.long, -leak.found))


def _sentences(corpus: Corpus, split: str) -> Iterator[_Item]:
    for sentence in corpus.sentences(split):
        yield _item([sentence], tagged=bool(sentence.layers))


def _passages(corpus: Corpus, split: str) -> Iterator[_Item]:
    for passage in corpus.read_passages(split):
        yield _item(passage.sentences, tagged=False)


def _item(sentences: Iterable[Sentence], *, tagged: bool) -> _Item:
    parts = [sentence.words for sentence in sentences]
    texts = ("".join("".join(words).split()).casefold() for words in parts)
    digest = hashlib.blake2b("\n".join(texts).encode("utf-8"), digest_size=8).digest()
    return _Item(digest, sum(map(len, parts)), tagged)
