"""The record of a sampled sentence: its words, the gold of every level, and its meaning."""

from dataclasses import dataclass
from itertools import pairwise

from hiermtl.sample.meaning import Clause
from hiermtl.sample.tree import Mark, Node, Sketch, ordered

TYPES = {
    "P": "person",
    "O": "organization",
    "L": "place",
    "T": "object",
    "A": "abstract",
    "E": "event",
}
"""What the classes of arguments are called as types of noun phrases, which are CorefUD's."""

_IN_NOUN_PHRASE = (
    "acl",
    "acl:relcl",
    "amod",
    "appos",
    "compound",
    "det",
    "flat",
    "nmod",
    "nmod:desc",
    "nmod:poss",
    "nummod",
)


@dataclass(frozen=True)
class Entity:
    """A named entity: words `start` to `end` (counted from 0, end excluded)."""

    start: int
    end: int
    label: str


@dataclass(frozen=True)
class NestedEntity:
    """An entity mention that may hold others; `source` is NAM (name) or NOM (common noun)."""

    start: int
    end: int
    label: str
    source: str


@dataclass(frozen=True)
class NounPhrase:
    """A noun phrase that names or describes something, or a pronoun for a participant.

    `head` is its head word and `start` to `end` all of its words, counted from 0; `label` is one of
    `TYPES`, `referent` the participant, empty where it is none, and `source` NAM, NOM or PRO.
    """

    start: int
    end: int
    head: int
    label: str
    referent: str
    source: str


@dataclass(frozen=True)
class Argument:
    """An argument of a predicate: its role, its head word and its words, counted from 0."""

    role: str
    head: int
    start: int
    end: int


@dataclass(frozen=True)
class Frame:
    """A predicate word (counted from 0) with its sense and its arguments."""

    predicate: int
    sense: str
    arguments: tuple[Argument, ...]


@dataclass(frozen=True)
class Relation:
    """A directed relation of two noun phrases, given by their words, from 0, ends excluded."""

    label: str
    head: tuple[int, int]
    tail: tuple[int, int]


@dataclass(frozen=True)
class Mention:
    """A mention of a participant; `source` is NAM, NOM or PRO."""

    start: int
    end: int
    referent: str
    source: str


@dataclass(frozen=True)
class EmptyNode:
    """An elided word, placed after word `after` (counted from 1), with its enhanced edges.

    `edges` are (head, relation) pairs of the empty word; `dependents` are (word, relation) pairs
    of the words that depend on it. Words are counted from 1.
    """

    after: int
    form: str
    lemma: str
    upos: str
    xpos: str
    feats: str
    edges: tuple[tuple[int, str], ...]
    dependents: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Derivation:
    """A sentence with consistent gold for every level.

    `heads` count words from 1 and give 0 for the root; every other position counts from 0.
    `space_after` says for each word whether a space follows it; inside a multiword token none
    does. `multiword_tokens` are (first, last, form) with words counted from 1.
    """

    words: tuple[str, ...]
    upos: tuple[str, ...]
    xpos: tuple[str, ...]
    feats: tuple[str, ...]
    lemmas: tuple[str, ...]
    heads: tuple[int, ...]
    deprels: tuple[str, ...]
    chunks: tuple[str, ...]
    entities: tuple[Entity, ...]
    nested_entities: tuple[NestedEntity, ...]
    noun_phrases: tuple[NounPhrase, ...]
    roles: tuple[Frame, ...]
    relations: tuple[Relation, ...]
    mentions: tuple[Mention, ...]
    meaning: Clause | None
    space_after: tuple[bool, ...]
    multiword_tokens: tuple[tuple[int, int, str], ...]
    empty_nodes: tuple[EmptyNode, ...] = ()
    starts_paragraph: bool = False

    @property
    def text(self) -> str:
        """The raw text of the sentence, without a space at its end."""
        pieces = []
        for word, space in zip(self.words, self.space_after, strict=True):
            pieces.append(word + (" " if space else ""))
        return "".join(pieces).rstrip()

    @property
    def entity_tags(self) -> tuple[str, ...]:
        """The flat entities as IOB2 tags."""
        tags = ["O"] * len(self.words)
        for entity in self.entities:
            tags[entity.start] = "B-" + entity.label
            for position in range(entity.start + 1, entity.end):
                tags[position] = "I-" + entity.label
        return tuple(tags)


@dataclass(frozen=True)
class SampleDocument:
    """A document: its sentences, and its coreference clusters.

    A cluster is a tuple of (sentence, start, end) mentions of one participant.
    """

    doc_id: str
    sentences: tuple[Derivation, ...]
    clusters: tuple[tuple[tuple[int, int, int], ...], ...]


def derive(
    root: Node, sketch: Sketch, *, meaning: Clause | None, starts_paragraph: bool = False
) -> Derivation:
    """Number the words of a tree and read the gold of every level off it."""
    nodes = ordered(root)
    _capitalise(nodes[0] if nodes[0].upos != "PUNCT" or len(nodes) == 1 else nodes[1])
    spans = _Spans(nodes, sketch.marks)
    entities, nested = _entities(sketch.marks, spans)
    phrases = _noun_phrases(sketch.marks, spans)
    space_after = []
    for node, following in zip(nodes, [*nodes[1:], None], strict=True):
        glued = following is not None and (following.joined or following.tight_before)
        space_after.append(not glued and not node.tight_after)
    return Derivation(
        words=tuple(node.form for node in nodes),
        upos=tuple(node.upos for node in nodes),
        xpos=tuple(node.xpos for node in nodes),
        feats=tuple(_features(node.feats) for node in nodes),
        lemmas=tuple(node.lemma for node in nodes),
        heads=tuple(node.head.index if node.head else 0 for node in nodes),
        deprels=tuple(node.role for node in nodes),
        chunks=_chunk_tags(nodes),
        entities=entities,
        nested_entities=nested,
        noun_phrases=phrases,
        roles=_frames(sketch, spans),
        relations=_relations(sketch, spans, phrases),
        mentions=_mentions(phrases),
        meaning=meaning,
        space_after=tuple(space_after),
        multiword_tokens=_multiword_tokens(nodes),
        empty_nodes=_empty_nodes(sketch),
        starts_paragraph=starts_paragraph,
    )


def _features(feats: str) -> str:
    return "|".join(sorted(feats.split("|"), key=str.lower)) if feats else ""


def _capitalise(node: Node) -> None:
    node.form = node.form[:1].upper() + node.form[1:]


class _Spans:
    """Finds the contiguous words around a head that belong to its subtree."""

    def __init__(self, nodes: list[Node], marks: list[Mark]) -> None:
        self._nodes = nodes
        self._names = {
            mark.head.index: {n.index for n in mark.nodes} for mark in marks if mark.nodes
        }
        self._children: dict[int, list[Node]] = {node.index: [] for node in nodes}
        for node in nodes:
            if node.head is not None:
                self._children[node.head.index].append(node)

    def of(self, head: Node, *, without: Node | None = None) -> tuple[int, int]:
        """Return the span (from 0, end excluded), leaving out the part that holds `without`."""
        barred = set()
        step = without
        while step is not None and step is not head:
            barred.add(step.index)
            step = step.head
        if step is None:
            barred = set()
        return self._around(
            head, [child for child in self._children[head.index] if child.index not in barred]
        )

    def phrase(self, head: Node) -> tuple[int, int]:
        """Return the span of a noun phrase.

        It has no preposition; where the head is a predicate, it has no subject and no adjuncts.
        """
        name = self._names.get(head.index, ())
        children = self._children[head.index]
        inside = [c for c in children if c.role in _IN_NOUN_PHRASE or c.index in name]
        return self._around(head, inside)

    def _around(self, head: Node, children: list[Node]) -> tuple[int, int]:
        inside = {head.index}
        stack = list(children)
        while stack:
            node = stack.pop()
            inside.add(node.index)
            stack.extend(self._children[node.index])
        start = end = head.index
        while start - 1 in inside:
            start -= 1
        while end + 1 in inside:
            end += 1
        while start < head.index and self._nodes[start - 1].upos == "PUNCT":
            start += 1
        while end > head.index and self._nodes[end - 1].upos == "PUNCT":
            end -= 1
        return start - 1, end


def _chunk_tags(nodes: list[Node]) -> tuple[str, ...]:
    tags = []
    previous = None
    for node in nodes:
        if node.chunk is None:
            tags.append("O")
        else:
            tags.append(("I-" if node.chunk is previous else "B-") + node.chunk.label)
        previous = node.chunk
    return tuple(tags)


def _entities(
    marks: list[Mark], spans: _Spans
) -> tuple[tuple[Entity, ...], tuple[NestedEntity, ...]]:
    flat: list[Entity] = []
    nested: list[NestedEntity] = []
    for mark in marks:
        if mark.nodes and mark.label:
            indices = [node.index for node in mark.nodes]
            start, end = min(indices) - 1, max(indices)
            if mark.source == "NAME":
                flat.append(Entity(start, end, mark.label))
            nested.append(NestedEntity(start, end, mark.label, "NAM"))
        elif mark.source == "NOM" and mark.label:
            start, end = spans.phrase(mark.head)
            nested.append(NestedEntity(start, end, mark.label, "NOM"))
    flat.sort(key=lambda entity: entity.start)
    nested.sort(key=lambda entity: (entity.start, -entity.end, entity.label))
    return tuple(flat), tuple(nested)


def _noun_phrases(marks: list[Mark], spans: _Spans) -> tuple[NounPhrase, ...]:
    """One for each head; what a name is marked with besides says to whom it refers."""
    found: dict[int, NounPhrase] = {}
    for mark in marks:
        if mark.source == "PRO" and not mark.referent:
            continue
        start, end = spans.phrase(mark.head)
        source = "NAM" if mark.nodes else mark.source
        before = found.get(mark.head.index)
        referent = mark.referent or (before.referent if before else "")
        found[mark.head.index] = NounPhrase(
            start, end, mark.head.index - 1, TYPES[mark.kind], referent, source
        )
    return tuple(sorted(found.values(), key=lambda item: (item.start, -item.end)))


def _mentions(phrases: tuple[NounPhrase, ...]) -> tuple[Mention, ...]:
    return tuple(Mention(p.start, p.end, p.referent, p.source) for p in phrases if p.referent)


def _frames(sketch: Sketch, spans: _Spans) -> tuple[Frame, ...]:
    frames = []
    for predicate in sketch.predicates:
        arguments = []
        for role, node in predicate.arguments:
            start, end = spans.of(node, without=predicate.node)
            arguments.append(Argument(role, node.index - 1, start, end))
        arguments.sort(key=lambda item: (item.start, item.end, item.role))
        frames.append(Frame(predicate.node.index - 1, predicate.sense, tuple(arguments)))
    return tuple(sorted(frames, key=lambda frame: frame.predicate))


def _relations(
    sketch: Sketch, spans: _Spans, phrases: tuple[NounPhrase, ...]
) -> tuple[Relation, ...]:
    """Those between noun phrases; `we` and `who` are none."""
    heads = {phrase.head for phrase in phrases}
    return tuple(
        Relation(label, spans.phrase(head), spans.phrase(tail))
        for label, head, tail in sketch.relations
        if {head.index - 1, tail.index - 1} <= heads
    )


def _multiword_tokens(nodes: list[Node]) -> tuple[tuple[int, int, str], ...]:
    tokens: list[tuple[int, int, str]] = []
    for previous, node in pairwise(nodes):
        if not node.joined:
            continue
        if tokens and tokens[-1][1] == previous.index:
            first, _, form = tokens.pop()
            tokens.append((first, node.index, form + node.form))
        else:
            tokens.append((previous.index, node.index, previous.form + node.form))
    return tuple(tokens)


def _empty_nodes(sketch: Sketch) -> tuple[EmptyNode, ...]:
    result = []
    for verb, remnant, orphan, joiner in sketch.gaps:
        dependents = ((remnant.index, "nsubj"), (orphan.index, "obj"), (joiner.index, "cc"))
        result.append(
            EmptyNode(
                after=remnant.index,
                form=verb.form,
                lemma=verb.lemma,
                upos=verb.upos,
                xpos=verb.xpos,
                feats=_features(verb.feats),
                edges=((verb.index, "conj"),),
                dependents=dependents,
            )
        )
    return tuple(result)
