"""Documents to spaCy: onto a new `Doc`, or onto one that is there."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hiermtl.document.base import Document
from hiermtl.document.parts import Span
from hiermtl.text.bio import is_span_tag

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc, Token
    from spacy.tokens import Span as SpacySpan

TOKEN_FIELDS = ("upos", "xpos", "feats", "lemma")
"""Levels that are fields of spaCy's tokens."""

EXTENSION = "hiermtl"
"""The name of `doc._`, and the key of `doc.user_data`, that tell of the levels of a `Doc`."""

# What spaCy reads as features; of other values it makes an error, or none.
_FEATURES = re.compile(r"[^=|]+=[^=|]+(\|[^=|]+=[^=|]+)*", re.DOTALL)


class Role(NamedTuple):
    """A predicate on a `Doc`: its token, its sense if there is one, its arguments, role by role."""

    predicate: "Token"
    sense: str | None
    arguments: list["SpacySpan"]


class Related(NamedTuple):
    """A relation on a `Doc`, from one span to another."""

    head: "SpacySpan"
    tail: "SpacySpan"
    label: str


def as_spacy(document: Document, nlp: "Language | None") -> "Doc":
    """See `Document.to_spacy`."""
    import spacy
    from spacy.tokens import Doc

    vocab = (nlp or spacy.blank(document.language)).vocab
    doc = Doc(vocab, words=list(document.words), spaces=list(_spaces(document)))
    fill(doc, document, range(len(doc)))
    return doc


def fill(doc: "Doc", document: Document, places: Sequence[int], *, overwrite: bool = True) -> None:
    """Puts what a document says on a `Doc` of the same words; see `Document.to_spacy`.

    Sentence marks the `Doc` has stay; else those of the document are set.

    Args:
        doc: Changed in place.
        document: Its sentences are those of the `Doc`, without those that are all white space.
        places: Of each word its token. Tokens that are no words are white space: they are marked
            as spaCy's own pipelines mark it, and hang on the word before them.
        overwrite: Whether values that are there are replaced. Otherwise tokens keep theirs,
            entities give way to those that they touch, and trees, groups of spans and categories
            are only put where there are none.
    """
    register()
    _Filler(doc, document, places, overwrite).fill()


def register() -> None:
    """Makes `doc._.hiermtl` known to spaCy."""
    from spacy.tokens import Doc

    if not Doc.has_extension(EXTENSION):
        Doc.set_extension(EXTENSION, getter=levels_of)


def levels_of(doc: "Doc") -> dict[str, Any]:
    """The levels of a `Doc` that spaCy's own fields do not hold, by task: `doc._.hiermtl`.

    Roles are `Role`, relations `Related`, things that are mentioned lists of spans, trees pairs of
    head and relation of each token, tags a label of each token (`None` for white space), and what
    is said of the whole text a label or a number.
    """
    found: dict[str, Any] = {}
    for task, kind in doc.user_data.get(EXTENSION, {}).items():
        data = doc.user_data.get(_key(task))
        if kind == "frames":
            found[task] = [
                Role(
                    doc[one["predicate"]],
                    one["sense"],
                    [_span(doc, *argument) for argument in one["arguments"]],
                )
                for one in data or ()
            ]
        elif kind == "relations":
            found[task] = [
                Related(_span(doc, a, b), _span(doc, c, d), label)
                for a, b, c, d, label in data or ()
            ]
        elif kind == "mentions":
            found[task] = [list(doc.spans[group]) for group in _chains(doc, task)]
        elif kind == "tree" and data is not None:
            found[task] = [
                (None if head is None else doc[head], relation)
                for head, relation in zip(data["heads"], data["relations"], strict=True)
            ]
        elif data is not None:
            # A DocBin gives tuples for lists.
            found[task] = list(data) if kind == "tags" else data
    return found


@dataclass(frozen=True, slots=True)
class _Filler:
    """What goes where on one `Doc`."""

    doc: "Doc"
    document: Document
    places: Sequence[int]
    overwrite: bool

    def fill(self) -> None:
        document = self.document
        if len(self.doc):
            self._tokens()
        for task, kind in document.kinds.items():
            if task == "ner":
                self._entities()
            elif kind == "spans" or (
                kind == "tags" and task not in TOKEN_FIELDS and _is_bio(document, task)
            ):
                self._group(task, document.spans(task))
                if kind == "tags" and set(document.tags(task)) <= {"O"}:
                    # Tags that are no spans may have an O as well: the words are kept beside them.
                    self._keep(_key(task), self._plain(task, kind))
            elif kind == "mentions":
                self._mentions(task)
            elif (kind, task) != ("tree", "dep") and task not in TOKEN_FIELDS:
                self._keep(_key(task), self._plain(task, kind))
        labels = document.labels if set(document.levels) - set(document.kinds) else {}
        for task, label in labels.items():
            self._keep(_key(task), label)
            if isinstance(label, str) and (self.overwrite or label not in self.doc.cats):
                self.doc.cats[label] = 1.0
        kinds = {**document.kinds, **dict.fromkeys(labels, "label")}
        self.doc.user_data[EXTENSION] = {**self.doc.user_data.get(EXTENSION, {}), **kinds}

    def _tokens(self) -> None:
        """Fields of tokens and marks of sentences, each a column of spaCy's arrays."""
        from spacy.attrs import DEP, HEAD, LEMMA, MORPH, POS, SENT_START, TAG
        from spacy.parts_of_speech import IDS

        doc, strings = self.doc, self.doc.vocab.strings
        columns: dict[int | str, np.ndarray] = {}
        for task, attribute, blank in (
            ("upos", POS, "SPACE"),
            ("xpos", TAG, "_SP"),
            ("feats", MORPH, ""),
            ("lemma", LEMMA, None),
        ):
            if task not in self.document.kinds:
                continue
            whole = True
            values = [token.text if blank is None else blank for token in doc]
            for place, tag in zip(self.places, self.document.tags(task), strict=True):
                if tag is None or (task, tag) == ("feats", "_"):
                    values[place] = ""
                    continue
                held = not (task == "upos" and tag not in IDS)
                held = held and not (task == "feats" and not _FEATURES.fullmatch(tag))
                values[place] = tag if held else ""
                whole = whole and held
            if not whole:
                self._keep(_key(task), self._plain(task, "tags"))
            elif self.overwrite:
                doc.user_data.pop(_key(task), None)
            number = doc.vocab.morphology.add if task == "feats" else strings.add
            column = np.array([number(value) for value in values], dtype=np.uint64)
            if not self.overwrite:
                old = doc.to_array([attribute])
                column = np.where(old != 0, old, column)
            columns[attribute] = column
        marked = doc.has_annotation("SENT_START") and len(doc) > 1
        if marked:
            starts = [sentence.start for sentence in doc.sents]
        else:
            begins = {self.places[s.start] for s in self.document.sentences[1:] if s.words}
            starts = sorted({0} | begins)
        parsed = "dep" in self.document.kinds and (self.overwrite or not doc.has_annotation("DEP"))
        if parsed:
            heads, relations = self._tree(starts)
            columns[HEAD] = np.array(heads, dtype=np.int32).astype(np.uint64)
            columns[DEP] = np.array([strings.add(name) for name in relations], dtype=np.uint64)
        if columns:
            _put(doc, list(columns), np.stack(list(columns.values()), axis=1))
        if parsed or not marked:
            # spaCy finds marks of its own for trees; with crossing arcs they may be others.
            marks = np.full(len(doc), -1, dtype=np.int32)
            marks[starts] = 1
            _put(doc, [SENT_START], marks.astype(np.uint64)[:, None])

    def _tree(self, starts: Sequence[int]) -> tuple[list[int], list[str]]:
        """Of each token how far away its head is, and its relation."""
        arcs = self.document.tree
        ends = [*starts[1:], len(self.doc)]
        heads: list[int | None] = [None] * len(self.doc)
        names = ["dep"] * len(self.doc)
        for place, head, name in zip(self.places, arcs.heads, arcs.relations, strict=True):
            heads[place] = place if head < 0 else self.places[head]
            names[place] = "ROOT" if name == "root" else name
        for start, end in zip(starts, ends, strict=True):
            first = next((at for at in range(start, end) if heads[at] is not None), None)
            if first is None:
                names[start] = "ROOT"
            holder = start if first is None else first
            for at in range(start, end):
                if heads[at] is None:
                    heads[at] = holder
                else:
                    holder = at
        return [(at if head is None else head) - at for at, head in enumerate(heads)], names

    def _entities(self) -> None:
        """Entities are spaCy's own; of those that nest the longest are, and all are a group."""
        from spacy.util import filter_spans

        kept = [] if self.overwrite else list(self.doc.ents)
        taken = {at for entity in kept for at in range(entity.start, entity.end)}
        found = [self._spacy(span) for span in self.document.spans("ner")]
        free = [span for span in found if taken.isdisjoint(range(span.start, span.end))]
        apart = filter_spans(free)
        if len(apart) < len(free):
            self._group("ner", self.document.spans("ner"))
        self.doc.set_ents([*kept, *apart])

    def _group(self, name: str, spans: Iterable[Span]) -> None:
        if self.overwrite or name not in self.doc.spans:
            self.doc.spans[name] = [self._spacy(span) for span in spans]

    def _mentions(self, task: str) -> None:
        old = _chains(self.doc, task)
        if old and not self.overwrite:
            return
        for group in old:
            del self.doc.spans[group]
        for number, chain in enumerate(self.document.chains(task), 1):
            self._group(f"{task}_clusters_{number}", chain)

    def _keep(self, key: str, data: object) -> None:
        if self.overwrite or key not in self.doc.user_data:
            self.doc.user_data[key] = data

    def _plain(self, task: str, kind: str) -> object:
        """A level that spaCy has no field for, as `Document.to_dict` has it, counted in tokens."""
        document = self.document
        match kind:
            case "frames":
                return [
                    {
                        "predicate": self.places[one.word],
                        "sense": one.sense,
                        "arguments": [[*self._ends(s), s.label] for s in one.arguments],
                    }
                    for one in document.predicates(task)
                ]
            case "relations":
                return [
                    [*self._ends(one.head), *self._ends(one.tail), one.label]
                    for one in document.related(task)
                ]
            case "tree":
                arcs = document.arcs(task)
                heads = (at if head < 0 else head for at, head in enumerate(arcs.heads))
                return {
                    "heads": self._spread([self.places[head] for head in heads]),
                    "relations": self._spread(arcs.relations),
                }
            case _:
                return self._spread(document.tags(task))

    def _spread(self, values: Sequence[Any]) -> list[Any]:
        """A value per token of one per word."""
        found: list[Any] = [None] * len(self.doc)
        for place, value in zip(self.places, values, strict=True):
            found[place] = value
        return found

    def _ends(self, span: Span) -> tuple[int, int]:
        """The tokens of a span of words, half open."""
        return self.places[span.start], self.places[span.end - 1] + 1

    def _spacy(self, span: Span) -> "SpacySpan":
        return _span(self.doc, *self._ends(span), span.label)


def _put(doc: "Doc", fields: list[int | str], columns: Any) -> None:
    """Sets fields of tokens from (tokens, fields) numbers, which spaCy types as those of thinc."""
    doc.from_array(fields, columns)


def _key(task: str) -> str:
    """Where in `doc.user_data` a level lies that spaCy has no field for."""
    return f"{EXTENSION}.{task}"


def _chains(doc: "Doc", task: str) -> list[str]:
    """The groups of spans with the mentions of one thing each."""
    prefix = f"{task}_clusters_"
    return [group for group in doc.spans if group.startswith(prefix)]


def _span(doc: "Doc", start: int, end: int, label: str = "") -> "SpacySpan":
    from spacy.tokens import Span as SpacySpan

    return SpacySpan(doc, start, end, label)


def _is_bio(document: Document, task: str) -> bool:
    tags = document.tags(task)
    return all(map(is_span_tag, tags))


def _spaces(document: Document) -> Iterator[bool]:
    """Whether white space follows each word; unknown counts as yes, but for the last."""
    last = len(document.source) - 1
    for place, sentence in enumerate(document.source):
        known = sentence.space_after or (True,) * len(sentence.words)
        if place < last:
            yield from known
        elif known:
            yield from (*known[:-1], False)
