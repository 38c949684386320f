"""Wrong labels in training data, put there on purpose: controls of what a scheme stands.

Two kinds, for a layer each. A share of its labels is *flipped*: each such label becomes one of the
others, all alike. Or all are *shuffled*: each becomes a label drawn by how often the layer has it,
so that what is left of the layer says nothing of its words.

Source: symmetric label noise as in Patrini et al. 2017 (Making Deep Neural Networks Robust to Label
Noise), section 5; shuffled labels as in Zhang et al. 2017 (Understanding Deep Learning Requires
Rethinking Generalization), section 2.1. Departs: of span tags it is the spans' types that change,
of a tree the relations and of predicates the roles, so that all stay well formed; shuffled labels
are drawn, and not dealt out, so that a corpus of any size is read in constant memory.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from hiermtl.corpus.build import Source
from hiermtl.errors import DataError, listing, nearest
from hiermtl.seeding import derived_seed
from hiermtl.text.bio import is_iob2
from hiermtl.text.sentence import (
    Frames,
    Layer,
    Mentions,
    Passage,
    Relations,
    Sentence,
    Span,
    Spans,
    Tags,
    Tree,
    labels_of,
)

Noise: TypeAlias = float | Literal["shuffled"]
"""The share of a layer's labels that is flipped, or that all are shuffled."""


def noisy_source(base: Source, noise: Mapping[str, Noise], *, key: str) -> Source:
    """The source with wrong labels in some of its layers; the same ones at each reading.

    It is read once more before, to count labels. `key` names the recipe's key in errors.

    Raises:
        DataError: While reading: a layer is not there, is of numbers, or has nothing to flip to.
    """
    dealers: dict[str, _Dealer] = {}

    def read() -> Iterator[Sentence | Passage]:
        known = _counted(base)
        dealers.clear()
        for layer, kind in noise.items():
            if layer not in known:
                raise DataError(
                    f"{key} names the layer {layer!r}, which no training example has as labels; "
                    f"allowed are {listing(sorted(known))}{nearest(layer, known)}"
                )
            dealers[layer] = _dealer(known[layer], kind, f"{key}.{layer}")
        for record in base.read():
            yield _changed(record, dealers)

    def report() -> tuple[str, ...]:
        told = tuple(
            f"{layer}: noise in {one.changed:,} of {one.seen:,} labels"
            for layer, one in dealers.items()
        )
        return (*base.reports(), *told)

    return replace(
        base,
        read=read,
        # The key is the seed of what is drawn.
        options={"reader": "noise", "key": key, "noise": dict(noise), "base": dict(base.options)},
        reports=report,
    )


@dataclass(slots=True)
class _Dealer:
    """Gives labels anew, in the order in which it is asked."""

    labels: Sequence[str]
    places: Mapping[str, int]
    share: float
    draw: Callable[[int], int]
    rng: np.random.Generator
    spans: bool
    changed: int = 0
    seen: int = 0

    def label(self, old: str) -> str:
        self.seen += 1
        if self.share < 1 and self.rng.random() >= self.share:
            return old
        new = self.labels[self.draw(self.places[old])]
        self.changed += new != old
        return new

    def tags(self, old: Tags) -> Tags:
        """One label each; of spans, one type each."""
        if not self.spans:
            return tuple(tag if tag is None else self.label(tag) for tag in old)
        new: list[str | None] = []
        kind = ""
        for tag in old:
            if tag is None or tag == "O":
                new.append(tag)
                continue
            if tag[0] == "B":
                kind = self.label(tag[2:])
            new.append(f"{tag[0]}-{kind}" if kind else tag[0])
        return tuple(new)

    def layer(self, old: Layer) -> Layer:
        if isinstance(old, Tree):
            return Tree(old.heads, self.tags(old.relations))
        match old:
            case Spans(spans):
                return Spans(tuple(map(self.span, spans)))
            case Relations(relations):
                found = (replace(one, label=self.label(one.label)) for one in relations)
                return Relations(tuple(found))
            case Frames(frames):
                return Frames(
                    tuple(
                        replace(frame, arguments=tuple(map(self.span, frame.arguments)))
                        for frame in frames
                    )
                )
            case Mentions():
                return old
            case tags:
                return self.tags(tags)

    def span(self, old: Span) -> Span:
        return replace(old, label=self.label(old.label))


def _dealer(counts: Counter[str], kind: Noise, key: str) -> _Dealer:
    spans = all(map(is_iob2, counts))
    if spans:
        begun = {tag: count for tag, count in counts.items() if tag[0] == "B"}
        counts = Counter()
        for tag, count in begun.items():
            counts[tag[2:]] += count
    labels = sorted(counts)
    if len(labels) < 2:
        raise DataError(
            f"{key}: the layer has {len(labels)} label in training data ({listing(labels)}), so "
            "that none can become another one; take the key away"
        )
    rng = np.random.default_rng(derived_seed(0, "noise", key))
    places = {label: number for number, label in enumerate(labels)}
    if kind == "shuffled":
        ends = np.cumsum([counts[label] for label in labels])

        def by_count(old: int) -> int:
            del old
            return int(np.searchsorted(ends, rng.integers(ends[-1]), side="right"))

        return _Dealer(labels, places, 1.0, by_count, rng, spans)

    def another(old: int) -> int:
        drawn = int(rng.integers(len(labels) - 1))
        return drawn + (drawn >= old)

    return _Dealer(labels, places, float(kind), another, rng, spans)


def _counted(source: Source) -> dict[str, Counter[str]]:
    """How often each layer has each label: of words, arcs and passages; numbers are left out."""
    found: dict[str, Counter[str]] = {}
    for record in source.read():
        sentences = record.sentences if isinstance(record, Passage) else (record,)
        for sentence in sentences:
            for name, layer in sentence.layers.items():
                labels = (label for label in labels_of(layer) if label is not None)
                if not isinstance(layer, Mentions):
                    found.setdefault(name, Counter()).update(labels)
        if isinstance(record, Passage):
            for name, label in record.labels.items():
                if isinstance(label, str):
                    found.setdefault(name, Counter())[label] += 1
    return found


def _changed(record: Sentence | Passage, dealers: Mapping[str, _Dealer]) -> Sentence | Passage:
    if isinstance(record, Sentence):
        own = {n: d.layer(record.layers[n]) for n, d in dealers.items() if n in record.layers}
        return record.with_layers(own)
    sentences = []
    for sentence in record.sentences:
        changed = _changed(sentence, dealers)
        assert isinstance(changed, Sentence)
        sentences.append(changed)
    labels = dict(record.labels)
    for name, dealer in dealers.items():
        old = labels.get(name)
        if isinstance(old, str):
            labels[name] = dealer.label(old)
    return replace(record, sentences=tuple(sentences), labels=labels)
