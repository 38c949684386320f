"""Wrong labels on purpose: as many as asked for, well formed, the same at each reading."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from hiermtl.corpus.build import Source
from hiermtl.corpus.noise import Noise, noisy_source
from hiermtl.errors import DataError
from hiermtl.text.bio import find_illegal
from hiermtl.text.sentence import Passage, Sentence, Tree

SENTENCES = 400
WORDS = 10


def clean() -> list[Sentence]:
    rng = np.random.default_rng(3)
    found = []
    for _ in range(SENTENCES):
        tags = rng.choice(["A", "B", "C", "D"], WORDS, p=[0.4, 0.3, 0.2, 0.1])
        kinds = rng.choice(["LOC", "PER", "ORG"], 2)
        spans = ["O", f"B-{kinds[0]}", f"I-{kinds[0]}", None, f"B-{kinds[1]}", f"B-{kinds[1]}"]
        spans += ["O"] * (WORDS - len(spans))
        tree = Tree((0, *[1] * (WORDS - 1)), ("root", *rng.choice(["x", "y"], WORDS - 1)))
        layers = {"tag": tuple(map(str, tags)), "span": tuple(spans), "tree": tree}
        found.append(Sentence(tuple("abcdefghij"), layers))
    return found


def source(records: Sequence[Sentence | Passage]) -> Source:
    return Source((), lambda: iter(records), {"reader": "test"})


def changed(layer: str, kind: Noise) -> tuple[list[Sentence], list[Sentence], Source]:
    before = clean()
    noisy = noisy_source(source(before), {layer: kind}, key="corpora.x.noise")
    after = [record for record in noisy.read() if isinstance(record, Sentence)]
    assert after == list(noisy.read())
    for one, other in zip(before, after, strict=True):
        kept = {name: value for name, value in one.layers.items() if name != layer}
        assert {n: v for n, v in other.layers.items() if n != layer} == kept
    return before, after, noisy


def pairs(before: list[Sentence], after: list[Sentence]) -> list[tuple[str, str]]:
    both = zip(before, after, strict=True)
    return [p for a, b in both for p in zip(a.layers["tag"], b.layers["tag"], strict=True)]


def test_a_share_is_flipped_to_all_others_alike() -> None:
    before, after, noisy = changed("tag", 0.2)
    both = pairs(before, after)
    wrong = Counter(pair for pair in both if pair[0] != pair[1])
    total, share = len(both), sum(wrong.values()) / len(both)
    assert abs(share - 0.2) < 4 * (0.2 * 0.8 / total) ** 0.5
    seen = Counter(old for old, _ in both)
    for old, count in seen.items():
        for new in set(seen) - {old}:
            expected = 0.2 / 3 * count
            assert abs(wrong[old, new] - expected) < 4 * expected**0.5
    assert noisy.reports() == (f"tag: noise in {sum(wrong.values()):,} of {total:,} labels",)


def test_shuffled_labels_keep_their_frequencies_and_say_nothing_of_words() -> None:
    before, after, _ = changed("tag", "shuffled")
    both = pairs(before, after)
    total = len(both)
    share = {label: n / total for label, n in Counter(old for old, _ in both).items()}
    table = Counter(both)
    for old in share:
        for new in share:
            expected = share[old] * share[new] * total
            assert abs(table[old, new] - expected) < 4.5 * expected**0.5
    flipped = Counter(pairs(*changed("tag", 0.2)[:2]))
    far = [
        abs(flipped[old, new] - share[old] * share[new] * total)
        / (share[old] * share[new] * total) ** 0.5
        for old in share
        for new in share
    ]
    assert max(far) > 10  # what is only flipped in part does say something


def test_spans_stay_where_they_are_and_well_formed() -> None:
    before, after, noisy = changed("span", 0.5)
    kinds = 0
    for one, other in zip(before, after, strict=True):
        old, new = one.layers["span"], other.layers["span"]
        assert isinstance(new, tuple)
        assert find_illegal(new) is None
        assert [t and t[0] for t in old] == [t and t[0] for t in new]
        kinds += sum(a != b for a, b in zip(old, new, strict=True) if a and a[0] == "B")
    assert noisy.reports() == (f"span: noise in {kinds:,} of {3 * SENTENCES:,} labels",)
    assert abs(kinds / (3 * SENTENCES) - 0.5) < 4 * (0.25 / (3 * SENTENCES)) ** 0.5


def test_trees_keep_their_heads() -> None:
    before, after, _ = changed("tree", 1.0)
    for one, other in zip(before, after, strict=True):
        old, new = one.layers["tree"], other.layers["tree"]
        assert isinstance(old, Tree)
        assert isinstance(new, Tree)
        assert old.heads == new.heads
        assert all(a != b for a, b in zip(old.relations, new.relations, strict=True))


def test_labels_of_passages_and_of_their_sentences() -> None:
    texts = [Passage((s,), {"topic": "ab"[n % 2], "score": 1.0}) for n, s in enumerate(clean())]
    noisy = noisy_source(source(texts), {"topic": 1.0, "tag": 1.0}, key="corpora.x.noise")
    for one, other in zip(texts, noisy.read(), strict=True):
        assert isinstance(other, Passage)
        assert {one.labels["topic"], other.labels["topic"]} == {"a", "b"}
        assert other.labels["score"] == 1.0
        old, new = one.sentences[0].layers["tag"], other.sentences[0].layers["tag"]
        assert all(a != b for a, b in zip(old, new, strict=True))
    numbers = noisy_source(source(texts), {"score": 0.5}, key="corpora.x.noise")
    with pytest.raises(DataError, match=r"corpora.x.noise names the layer 'score', which no"):
        list(numbers.read())


def test_one_label_cannot_become_another() -> None:
    lone = [Sentence(("a",), {"tag": ("A",), "span": ("B-X",)})]
    for layer in ("tag", "span"):
        noisy = noisy_source(source(lone), {layer: 0.1}, key="corpora.x.noise")
        with pytest.raises(DataError, match=rf"corpora.x.noise.{layer}: the layer has 1 label"):
            list(noisy.read())
