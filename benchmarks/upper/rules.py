"""Rules that know nothing but counts of the training data, as predictors that are scored."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from hiermtl.evaluation import HeadInfo
from hiermtl.evaluation.predictor import INFORMED
from hiermtl.hierarchy import Hierarchy, Task
from hiermtl.text.documents import by_document
from hiermtl.text.plain import split_text
from hiermtl.text.sentence import (
    Frame,
    Frames,
    Layer,
    Mentions,
    Relation,
    Relations,
    Sentence,
    Span,
    Spans,
    Tree,
)

LONGEST = 10
"""Words of the longest span that is looked up."""

NOMINAL = re.compile(r"NN|PRP$|CD|WP$|EX")
"""Tags of words that a noun phrase may end with."""

INSIDE = re.compile(r"NN|PRP|CD|DT|JJ|POS|WP|EX|PDT")
"""Tags of words that it may consist of."""

ENDS = re.compile(r"[.!?]+[\"')\]]*$")


@dataclass(frozen=True, eq=False)
class Ruled:
    """A predictor of one task, or of one and what it reads.

    `of_documents` gives the layers of the sentences of a document, by task.
    """

    heads: Mapping[str, HeadInfo]
    of_documents: Callable[[Sequence[Sentence]], Sequence[Mapping[str, Layer]]]
    precision: str = "-"

    @property
    def hierarchy(self) -> Hierarchy:
        """The tasks, the later ones above."""
        return Hierarchy([Task(name, depth) for depth, name in enumerate(self.heads, 1)])

    def predict_layers(
        self, sentences: Iterable[Sequence[str]], tasks: Sequence[str]
    ) -> Iterator[Mapping[str, Layer]]:
        """The layers of sentences whose words are all there is."""
        given = (Sentence(tuple(words)) for words in sentences)
        return self.predict_sentences(given, tasks)

    def predict_sentences(
        self, sentences: Iterable[Sentence], tasks: Sequence[str]
    ) -> Iterator[Mapping[str, Layer]]:
        """The layers of sentences, whose gold the rule may be told."""
        return chain.from_iterable(map(self.of_documents, by_document(sentences)))


def each(
    rule: Callable[[Sentence], Mapping[str, Layer]],
) -> Callable[..., list[Mapping[str, Layer]]]:
    """A rule of single sentences as one of documents."""
    return lambda document: [rule(sentence) for sentence in document]


@dataclass(eq=False)
class LookUp:
    """Spans whose words, in small letters, were a span in training half of the times or more.

    `longest` first, what crosses one that was taken is none. Labels are those the words had most
    often, or with `same` the most frequent of all.
    """

    labels: Mapping[str, str]
    most: str
    known: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, train: Iterable[Sentence], layer: str) -> "LookUp":
        """What training says."""
        found: dict[str, Counter[str]] = defaultdict(Counter)
        sentences = []
        for sentence in train:
            spans = sentence.layers.get(layer)
            if isinstance(spans, Spans):
                lowered = [word.lower() for word in sentence.words]
                sentences.append(lowered)
                for span in spans.spans:
                    if span.end - span.start <= LONGEST:
                        found[" ".join(lowered[span.start : span.end])][span.label] += 1
        seen = Counter(text for words in sentences for _, _, text in _texts(words) if text in found)
        every = Counter(label for own in found.values() for label in own.elements())
        labels = {text: own.most_common(1)[0][0] for text, own in found.items()}
        known = {text for text, own in found.items() if 2 * own.total() >= seen[text]}
        return cls(labels, every.most_common(1)[0][0], known)

    def spans(self, words: Sequence[str], *, same: bool = False) -> Spans:
        """The spans of a sentence."""
        texts = _texts([word.lower() for word in words])
        found: list[Span] = []
        for start, end, text in sorted(texts, key=lambda one: (one[0] - one[1], one[0])):
            if text in self.known and not any(
                start < span.start < end < span.end or span.start < start < span.end < end
                for span in found
            ):
                found.append(Span(start, end, self.most if same else self.labels[text]))
        return Spans(tuple(sorted(found)))


def _texts(words: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    """All spans, with what they say."""
    for start in range(len(words)):
        for end in range(start + 1, min(start + LONGEST, len(words)) + 1):
            yield start, end, " ".join(words[start:end])


@dataclass(eq=False)
class Roles:
    """Words are predicates that were so half of the times or more, with their most frequent sense.

    The nearest noun phrase before one is ARG0, the nearest behind it ARG1, by gold tags: a noun
    phrase is the longest stretch of words that may be in one, up to the last that may end it.
    """

    senses: Mapping[str, str]
    known: set[str]

    @classmethod
    def of(cls, train: Sequence[Sentence]) -> "Roles":
        """What training says."""
        found: dict[str, Counter[str]] = defaultdict(Counter)
        seen: Counter[str] = Counter()
        for sentence in train:
            frames = sentence.layers.get("srl")
            if isinstance(frames, Frames):
                lowered = [word.lower() for word in sentence.words]
                seen.update(lowered)
                for frame in frames.frames:
                    if frame.sense is not None:
                        found[lowered[frame.predicate]][frame.sense] += 1
        senses = {word: own.most_common(1)[0][0] for word, own in found.items()}
        return cls(senses, {word for word, own in found.items() if 2 * own.total() >= seen[word]})

    def layers(self, sentence: Sentence) -> dict[str, Layer]:
        """Frames of the predicates that are found, and of those that are told."""
        lowered = [word.lower() for word in sentence.words]
        gold = sentence.layers.get("srl")
        told = [f.predicate for f in gold.frames] if isinstance(gold, Frames) else []
        tags = sentence.layers["xpos"]
        assert isinstance(tags, tuple)
        phrases = list(_phrases([tag or "" for tag in tags]))
        found = [at for at, word in enumerate(lowered) if word in self.known]

        def frames(places: Iterable[int]) -> Frames:
            return Frames(
                tuple(
                    Frame(
                        at, self.senses.get(lowered[at], f"{lowered[at]}.01"), _beside(at, phrases)
                    )
                    for at in places
                )
            )

        return {"srl": frames(found), "srl" + INFORMED: frames(told)}


def _phrases(tags: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Stretches of words that may be noun phrases."""
    start = None
    for at, tag in enumerate([*tags, ""]):
        if INSIDE.match(tag):
            start = at if start is None else start
        elif start is not None:
            end = at
            while end > start and not NOMINAL.match(tags[end - 1]):
                end -= 1
            if end > start:
                yield start, end
            start = None


def _beside(at: int, phrases: Sequence[tuple[int, int]]) -> tuple[Span, ...]:
    """The nearest phrases before and behind a predicate."""
    before = [Span(start, end, "ARG0") for start, end in phrases if end <= at][-1:]
    behind = [Span(start, end, "ARG1") for start, end in phrases if start > at][:1]
    return (*before, *behind)


@dataclass(eq=False)
class Pairs:
    """Relations by counts of training.

    `label` and `forward` are the most frequent relation and its direction; `of_types` what pairs of
    two types, in this order, are most often, `None` where that is nothing.
    """

    label: str
    forward: bool
    of_types: Mapping[tuple[str, str, bool], str | None]

    @classmethod
    def of(cls, train: Iterable[Sentence]) -> "Pairs":
        """What training says."""
        found: Counter[tuple[str, bool]] = Counter()
        types: dict[tuple[str, str, bool], Counter[str | None]] = defaultdict(Counter)
        for sentence in train:
            spans, relations = sentence.layers["entity"], sentence.layers["relation"]
            assert isinstance(spans, Spans)
            assert isinstance(relations, Relations)
            found.update((one.label, one.head < one.tail) for one in relations.relations)
            own = defaultdict(list)
            for one in relations.relations:
                own[one.head, one.tail].append(one.label)
            for head in spans.spans:
                for tail in spans.spans:
                    if head != tail:
                        key = head.label, tail.label, head < tail
                        pair = (head.start, head.end), (tail.start, tail.end)
                        types[key].update(own.get(pair, [None]))
        (label, forward), _ = found.most_common(1)[0]
        most = {key: counts.most_common(1)[0][0] for key, counts in types.items()}
        return cls(label, forward, most)

    def neighbours(self, spans: Spans, *, forward: bool) -> Relations:
        """Each span with the next one, by the most frequent relation."""
        found = []
        for one, other in zip(spans.spans, spans.spans[1:], strict=False):
            head, tail = (one, other) if forward else (other, one)
            found.append(Relation((head.start, head.end), (tail.start, tail.end), self.label))
        return Relations(tuple(found))

    def by_types(self, spans: Spans) -> Relations:
        """Each pair of spans by its two types."""
        found = []
        for head in spans.spans:
            for tail in spans.spans:
                label = self.of_types.get((head.label, tail.label, head < tail))
                if head != tail and label is not None:
                    found.append(Relation((head.start, head.end), (tail.start, tail.end), label))
        return Relations(tuple(found))


Place = tuple[int, int, int]
"""The sentence of a mention, its first word, and the word behind its last."""


def mentions_of(document: Sequence[Sentence], layer: str = "coref") -> list[Place]:
    """The gold mentions of a document, in its order."""
    found = []
    for at, sentence in enumerate(document):
        spans = sentence.layers.get(layer)
        if isinstance(spans, Mentions):
            found += [(at, span.start, span.end) for span in spans.mentions]
    return sorted(found, key=lambda place: (place[0], place[1], -place[2]))


def all_new(document: Sequence[Sentence], places: Sequence[Place]) -> list[int]:
    """A number for each mention: each of an entity of its own."""
    return list(range(len(places)))


def same_head(document: Sequence[Sentence], places: Sequence[Place]) -> list[int]:
    """Mentions with the same head word, in small letters, are of one entity."""
    heads = [_head_word(document[at], start, end) for at, start, end in places]
    known: dict[str, int] = {}
    return [known.setdefault(head, len(known)) for head in heads]


def nearest(document: Sequence[Sentence], places: Sequence[Place]) -> list[int]:
    """Each mention is of the entity of the one before, and so all are of one."""
    return [0] * len(places)


def _head_word(sentence: Sentence, start: int, end: int) -> str:
    """The first word whose head in the gold tree is outside, in small letters."""
    tree = sentence.layers.get("dep")
    assert isinstance(tree, Tree)
    heads = [(tree.heads[at] or 0) - 1 for at in range(start, end)]
    at = next((i for i, head in enumerate(heads, start) if not start <= head < end), end - 1)
    return sentence.words[at].lower()


def with_clusters(
    document: Sequence[Sentence], places: Sequence[Place], numbers: Sequence[int]
) -> list[Mapping[str, Layer]]:
    """The layers of a document's sentences, of its mentions and their entities."""
    found: list[list[Span]] = [[] for _ in document]
    for (at, start, end), number in zip(places, numbers, strict=True):
        found[at].append(Span(start, end, str(number)))
    return [{"coref": Mentions(tuple(spans))} for spans in found]


@dataclass(frozen=True)
class Splitting:
    """Words and sentences of text by a rule, as a predictor of nothing else."""

    split: Callable[[str], list[Sentence]]
    heads: Mapping[str, HeadInfo]
    precision: str = "-"

    @property
    def hierarchy(self) -> Hierarchy:
        """The one task."""
        return Hierarchy([Task(name, 1) for name in self.heads])

    def annotate_texts(
        self, texts: Iterable[str], tasks: Sequence[str]
    ) -> Iterator[list[Sentence]]:
        """The sentences of each text."""
        return map(self.split, texts)


def by_rules(text: str) -> list[Sentence]:
    """By spaCy's rules for English."""
    return split_text(text, "en")


def by_space(text: str) -> list[Sentence]:
    """At white space, final punctuation apart; a sentence ends behind `.`, `!`, `?`, or a line."""
    sentences: list[Sentence] = []
    for paragraph in re.split(r"\n\s*\n", text):
        words: list[str] = []
        spaces: list[bool] = []
        for token in paragraph.split():
            body = re.sub(r"[^\w\s]+$", "", token)
            parts = [part for part in (body, token[len(body) :]) if part]
            words += parts
            spaces += [False] * (len(parts) - 1) + [True]
            if ENDS.search(token):
                sentences.append(_sentence(words, spaces))
                words, spaces = [], []
        if words:
            sentences.append(_sentence(words, spaces))
    return sentences


def _sentence(words: Sequence[str], spaces: Sequence[bool]) -> Sentence:
    return Sentence(tuple(words), space_after=tuple(spaces))
