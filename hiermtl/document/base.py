"""What annotation gives back: a text, its words, and what the model says at each level.

Plain data: nothing here needs torch, and only `to_spacy` needs spaCy.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import accumulate, chain, pairwise
from typing import TYPE_CHECKING, Any, NoReturn, cast

from hiermtl.document.parts import (
    Arcs,
    Predicate,
    Relation,
    SentenceView,
    Span,
    numbered_on,
    slice_of,
    text_of,
)
from hiermtl.document.table import counted, table
from hiermtl.errors import DataError, ModelError, listing, nearest
from hiermtl.text.bio import bio_spans, is_span_tag, repair_bio
from hiermtl.text.conllu import render_conllu
from hiermtl.text.conllu_write import WRITABLE, Written
from hiermtl.text.documents import Multiword, multiwords_of
from hiermtl.text.plain import word_offsets
from hiermtl.text.sentence import (
    Frames,
    Layer,
    Mentions,
    Relations,
    Sentence,
    Spans,
    Tags,
    Tree,
    kind_of,
    misfit,
)

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc


class Document:
    """An annotated text.

    A *level* is one task's annotation. A level the document does not have raises ModelError; the
    message lists those it has. Places of words are counted from 0 over the whole document.
    `source` and `layers` are the sentences and their layers as they were given, `kinds` says of
    each level what it is: `tags`, `tree`, `spans`, `relations`, `frames` or `mentions`.
    """

    def __init__(
        self,
        sentences: Iterable[Sentence],
        layers: Iterable[Mapping[str, Layer]],
        *,
        levels: Mapping[str, str] | None = None,
        known: Iterable[str] = (),
        scores: Iterable[Mapping[str, Sequence[float]]] | None = None,
        text: str | None = None,
        language: str = "xx",
        columns: Mapping[str, str] | None = None,
        labels: Mapping[str, str | float] | None = None,
    ) -> None:
        """Takes sentences and, for each, its predicted layers.

        Args:
            sentences: In the order of the text.
            layers: For each sentence, task to layer.
            levels: Task to its kind, in the order to show them. Default: as in the layers.
            known: All tasks of the model, for messages.
            scores: For each sentence, task to a probability per word.
            text: The text, verbatim. Default: made from the sentences.
            language: A code of spaCy's, `xx` for any other.
            columns: Task to the layer it is written as in CoNLL-U. Default: its own name.
            labels: Task to what is said of the text, or of the pair its two sentences are: a label
                or a number.

        Raises:
            DataError: A layer does not fit the words of its sentence.
        """
        self.source = tuple(sentences)
        self.layers: tuple[Mapping[str, Layer], ...] = tuple(dict(found) for found in layers)
        if levels is None:
            kinds = {name: kind_of(layer) for found in self.layers for name, layer in found.items()}
        else:
            kinds = dict(levels)
        self.kinds: Mapping[str, str] = kinds
        self.language = language
        self._known, self._given = tuple(known), text
        self._columns = dict(columns or {})
        self._labels = dict(labels or {})
        self._scores = None if scores is None else tuple(scores)
        self._check()

    def _check(self) -> None:
        if len(self.layers) != len(self.source):
            raise DataError(
                f"layers of {len(self.layers)} sentences for {len(self.source)} sentences; "
                "give one mapping per sentence"
            )
        for sentence, found in zip(self.source, self.layers, strict=True):
            for task in self.kinds:
                if task not in found:
                    raise DataError(f"a sentence lacks the level {task!r} that the document has")
                problem = misfit(found[task], len(sentence.words))
                if problem:
                    raise DataError(f"level {task!r} has {problem}")

    @classmethod
    def join(cls, documents: Sequence["Document"]) -> "Document":
        """One document of several with the same levels, in this order; at least one.

        Clusters of different ones stay apart, and get numbers that say so.
        """
        first = documents[0]
        known: dict[str, int] = {}
        scored = all(document._scores is not None for document in documents)
        return cls(
            chain.from_iterable(document.source for document in documents),
            chain.from_iterable(numbered_on(document.layers, known) for document in documents),
            levels=first.kinds,
            known=first._known,
            scores=chain.from_iterable(d._scores or () for d in documents) if scored else None,
            language=first.language,
            columns=first._columns,
        )

    @property
    def levels(self) -> tuple[str, ...]:
        """The tasks this document is annotated with, lowest level first."""
        return (*self.kinds, *self._labels)

    @cached_property
    def text(self) -> str:
        """The text as it was given, or, for words, the words with a space between them."""
        return text_of(self.source) if self._given is None else self._given

    @cached_property
    def words(self) -> tuple[str, ...]:
        """All words."""
        return tuple(chain.from_iterable(sentence.words for sentence in self.source))

    @cached_property
    def offsets(self) -> tuple[tuple[int, int], ...]:
        """For each word its (start, end) in `text`, in characters, half open.

        Raises:
            DataError: The words are not slices of the text (multiword tokens of CoNLL-U).
        """
        return tuple(word_offsets(self.text, self.words))

    @cached_property
    def sentences(self) -> tuple[SentenceView, ...]:
        """The sentences, each with its place in the document."""
        ends = accumulate((len(sentence.words) for sentence in self.source), initial=0)
        ranges = enumerate(pairwise(ends))
        return tuple(SentenceView(self, place, a, b) for place, (a, b) in ranges)

    def tags(self, task: str) -> Tags:
        """One label per word.

        Raises:
            ModelError: The level is absent, or no tags.
        """
        self.check_kind(task, "tags")
        found = (layers[task] for layers in self.layers)
        return tuple(chain.from_iterable(tags for tags in found if isinstance(tags, tuple)))

    def spans(self, task: str) -> tuple[Span, ...]:
        """The spans of a level, in order, those of nested ones that are longer first.

        Of a level whose labels are IOB2 too; there an `I-` without begin begins one.

        Raises:
            ModelError: The level is absent, or holds no spans.
        """
        self.check_kind(task, *SPANNED)
        return tuple(chain.from_iterable(self._spans_in(one, task) for one in self.sentences))

    def _spans_in(self, sentence: SentenceView, task: str) -> tuple[Span, ...]:
        """Those of a sentence."""
        layer = self.layers[sentence.place][task]
        if isinstance(layer, Spans):
            found = [(span.start, span.end, span.label) for span in layer.spans]
        else:
            found = _tagged(cast("Tags", layer), task)
        return tuple(self._span(sentence, start, end, label) for start, end, label in found)

    def spans_in(self, sentence: SentenceView, task: str) -> tuple[Span, ...]:
        """Those of a sentence of the document.

        Raises:
            ModelError: As `spans`.
        """
        self.check_kind(task, *SPANNED)
        return self._spans_in(sentence, task)

    def _span(self, sentence: SentenceView, start: int, end: int, label: str) -> Span:
        """A span of a sentence, in words of the document."""
        text = slice_of(self.source[sentence.place], start, end, self._tokens[sentence.place])
        return Span(sentence.start + start, sentence.start + end, label, text)

    @cached_property
    def _tokens(self) -> tuple[tuple[Multiword, ...], ...]:
        """The multiword tokens of each sentence."""
        return tuple(tuple(multiwords_of(sentence)) for sentence in self.source)

    def arcs(self, task: str = "dep") -> Arcs:
        """The trees of a level; `tree` is the one of `dep`.

        Raises:
            ModelError: The level is absent, or no tree.
        """
        self.check_kind(task, "tree")
        heads: list[int] = []
        relations: list[str] = []
        for sentence, layers in zip(self.sentences, self.layers, strict=True):
            tree = layers[task]
            assert isinstance(tree, Tree)
            shift = sentence.start - 1
            heads += [head + shift if head else -1 for head in tree.heads]
            relations += [relation or "_" for relation in tree.relations]
        return Arcs(tuple(heads), tuple(relations))

    @property
    def entities(self) -> tuple[Span, ...]:
        """The entities of level `ner`, or, where there is none, those of `entity`, which nest."""
        return self.spans("ner" if "ner" in self.kinds or "entity" not in self.kinds else "entity")

    @property
    def tree(self) -> Arcs:
        """The dependency trees of level `dep`."""
        return self.arcs("dep")

    def predicates(self, task: str = "srl") -> tuple[Predicate, ...]:
        """The predicates of a level with their arguments, in the order of their words.

        Raises:
            ModelError: The level is absent, or holds none.
        """
        self.check_kind(task, "frames")
        return tuple(
            Predicate(
                sentence.start + frame.predicate,
                frame.sense,
                tuple(self._span(sentence, a.start, a.end, a.label) for a in frame.arguments),
            )
            for sentence, layers in zip(self.sentences, self.layers, strict=True)
            for frame in cast("Frames", layers[task]).frames
        )

    def related(self, task: str = "relation") -> tuple[Relation, ...]:
        """The relations of a level, sentence by sentence.

        The labels of their ends are those of the level of spans with an entity there, if any.

        Raises:
            ModelError: The level is absent, or holds none.
        """
        self.check_kind(task, "relations")
        known: dict[tuple[int, int], Span] = {}
        for level in self.kinds:
            if self.kinds[level] == "spans":
                for span in self.spans(level):
                    known.setdefault((span.start, span.end), span)

        def end(sentence: SentenceView, words: tuple[int, int]) -> Span:
            found = self._span(sentence, *words, "")
            return known.get((found.start, found.end), found)

        return tuple(
            Relation(end(sentence, one.head), end(sentence, one.tail), one.label)
            for sentence, layers in zip(self.sentences, self.layers, strict=True)
            for one in cast("Relations", layers[task]).relations
        )

    def chains(self, task: str = "coref") -> tuple[tuple[Span, ...], ...]:
        """The mentions of each entity of a level, in the order of their first ones.

        Raises:
            ModelError: The level is absent, or holds none.
        """
        self.check_kind(task, "mentions")
        found: dict[str, list[Span]] = {}
        for sentence, layers in zip(self.sentences, self.layers, strict=True):
            for span in cast("Mentions", layers[task]).mentions:
                own = self._span(sentence, span.start, span.end, span.label)
                found.setdefault(span.label, []).append(own)
        return tuple(map(tuple, found.values()))

    @property
    def roles(self) -> tuple[Predicate, ...]:
        """The semantic roles of level `srl`: predicates with their arguments."""
        return self.predicates("srl")

    @property
    def relations(self) -> tuple[Relation, ...]:
        """The relations between entities of level `relation`."""
        return self.related("relation")

    @property
    def clusters(self) -> tuple[tuple[Span, ...], ...]:
        """The mentions of each thing, level `coref`; things that are named once too."""
        return self.chains("coref")

    @property
    def labels(self) -> Mapping[str, str | float]:
        """What is said of the whole: task to a label of the text or pair, or to a number.

        Raises:
            ModelError: Nothing is; the model judges only words, or only pairs.
        """
        if not self._labels:
            raise ModelError(
                "this document has no labels of the whole; annotate a text with a model that "
                "classifies texts, or a hiermtl.Pair with one that compares them"
            )
        return self._labels

    @property
    def scores(self) -> Mapping[str, tuple[float, ...]]:
        """For each level that has them: how probable the model holds each word's label, 0 to 1.

        Of a level of the whole it is one number.

        Raises:
            ModelError: The document was annotated without them.
        """
        if self._scores is None:
            raise ModelError("this document has no scores; annotate with with_scores=True")
        found = [scores for scores in self._scores if scores]
        levels = [task for task in self.kinds if all(task in scores for scores in found)]
        levels += [task for task in self._labels if any(task in scores for scores in found)]
        return {
            task: tuple(chain.from_iterable(scores.get(task, ()) for scores in self._scores))
            for task in levels
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON.

        Keys: `text`, `words`, `sentences` ([start, end] of each), `tags` (level to labels), and
        those of `entities` (start, end, label, text), `trees` (level to heads and relations, as in
        `Arcs`), `spans` (level to [start, end, label] of each), `roles` (level to predicate, sense
        and arguments, [start, end, role] of each), `relations` (level to [start, end, start, end,
        label], the head first), `clusters` (level to the [start, end] of the mentions of each),
        `labels` (level to label or number) and `scores` (level to four decimals) that the document
        has. Places are words of the document, half open.
        """
        of_kind = {kind: [t for t, k in self.kinds.items() if k == kind] for kind in KINDS}
        data: dict[str, Any] = {
            "text": self.text,
            "words": list(self.words),
            "sentences": [[sentence.start, sentence.end] for sentence in self.sentences],
            "tags": {task: list(self.tags(task)) for task in of_kind["tags"]},
        }
        if "ner" in of_kind["tags"]:
            keys = ("start", "end", "label", "text")
            data["entities"] = [{key: getattr(s, key) for key in keys} for s in self.entities]
        if of_kind["tree"]:
            trees = {task: self.arcs(task) for task in of_kind["tree"]}
            data["trees"] = {
                task: {"heads": list(arcs.heads), "relations": list(arcs.relations)}
                for task, arcs in trees.items()
            }
        if of_kind["spans"]:
            data["spans"] = {
                task: [[s.start, s.end, s.label] for s in self.spans(task)]
                for task in of_kind["spans"]
            }
        if of_kind["frames"]:
            data["roles"] = {
                task: [
                    {
                        "predicate": one.word,
                        "sense": one.sense,
                        "arguments": [[s.start, s.end, s.label] for s in one.arguments],
                    }
                    for one in self.predicates(task)
                ]
                for task in of_kind["frames"]
            }
        if of_kind["relations"]:
            data["relations"] = {
                task: [
                    [r.head.start, r.head.end, r.tail.start, r.tail.end, r.label]
                    for r in self.related(task)
                ]
                for task in of_kind["relations"]
            }
        if of_kind["mentions"]:
            data["clusters"] = {
                task: [[[s.start, s.end] for s in chain] for chain in self.chains(task)]
                for task in of_kind["mentions"]
            }
        if self._labels:
            data["labels"] = dict(self._labels)
        if self._scores is not None:
            data["scores"] = {t: [round(v, 4) for v in vs] for t, vs in self.scores.items()}
        return data

    def to_conllu(self) -> str:
        """The sentences in CoNLL-U; of sentences read from it, columns not predicted stay.

        Levels without a place in that format are left out; `levels` names all.
        """
        written = Written()
        return "".join(
            render_conllu(sentence, layers, written=written)
            for sentence, layers in zip(self.source, self.conllu_layers(), strict=True)
        )

    def conllu_layers(self) -> Iterator[dict[str, Layer]]:
        """For each sentence what CoNLL-U has a place for, under that place's name."""
        columns = conllu_columns(
            {task: self._columns.get(task, task) for task in self.kinds}, self.kinds
        )
        for layers in self.layers:
            yield {column: layers[task] for task, column in columns.items()}

    def to_spacy(self, nlp: "Language | None" = None) -> "Doc":
        """A spaCy `Doc` with native fields.

        `upos` goes to `pos_`, `xpos` to `tag_`, `feats` to `morph`, `lemma` to `lemma_`, `dep` to
        heads and `dep_` (`root` as `ROOT`), `ner` to `ents`, and other levels of spans to
        `doc.spans`; the mentions of each thing of `coref` to `doc.spans["coref_clusters_1"]` and so
        on. What spaCy has no field for (roles, relations, other tags and trees, labels of the
        whole; also all of `upos` or `feats` where a value is none of spaCy's, which stays empty in
        its field) is in `doc._.hiermtl`, by task, as spaCy's tokens and spans, and as plain data
        like that of `to_dict` in `doc.user_data["hiermtl.srl"]` and so on; labels of the whole are
        categories in `doc.cats` too. Words are the document's; runs of white space between them
        become one space.

        Args:
            nlp: The pipeline whose vocabulary is used. Default: a blank one of the language.
        """
        from hiermtl.document.bridge import as_spacy

        return as_spacy(self, nlp)

    def check_kind(self, task: str, *wanted: str) -> None:
        """Raises ModelError where a level is absent or of another kind than those wanted."""
        kind = self._kind_of(task)
        if kind not in wanted:
            raise ModelError(
                f"level {task!r} {'is' if kind == 'tree' else 'holds'} {_said(kind)}, not "
                f"{_said(wanted[0])}; read it with {READ_WITH[kind]}({task!r})"
            )

    def _kind_of(self, task: str) -> str:
        if task not in self.kinds:
            self._refuse(task)
        return self.kinds[task]

    def _refuse(self, task: str) -> NoReturn:
        if task in self._known:
            names = ", ".join(map(repr, [*self.kinds, task]))
            way = f"the model has it: annotate with tasks=[{names}]"
        else:
            more = set(self._known) - set(self.kinds)
            of_model = f"the model has {listing(self._known)}: " if more else ""
            way = f"{of_model}annotate with a model that has {task!r}"
        raise ModelError(
            f"this document has no level {task!r}; it has {listing(self.levels)}"
            f"{nearest(task, self.levels)}; {way}"
        )

    def __len__(self) -> int:
        """The number of words."""
        return len(self.words)

    def __bool__(self) -> bool:
        """True, also without words."""
        return True

    def __eq__(self, other: object) -> bool:
        """Whether text, sentences and annotation are the same; scores do not count."""
        if not isinstance(other, Document):
            return NotImplemented
        return self._identity() == other._identity()

    __hash__ = None  # type: ignore[assignment]

    def _identity(self) -> tuple[object, ...]:
        words = [sentence.words for sentence in self.source]
        return self.text, words, self.levels, list(map(dict, self.layers)), self._labels

    def __repr__(self) -> str:
        """The words with their annotation, one word a line, the first forty of them."""
        counts = f"{counted(len(self), 'word')}, {counted(len(self.source), 'sentence')}"
        whole = [f"{task}: {_shown(label)}" for task, label in self._labels.items()]
        head = f"Document of {counts}, levels: {listing(self.levels)}"
        return "\n".join([head, *whole, *table(self)])


def conllu_columns(tasks: Mapping[str, str], kinds: Mapping[str, str]) -> dict[str, str]:
    """The tasks CoNLL-U has a place for, of tasks and their layers, and what kind each is of.

    Of several tasks with one layer, the one that has its name is written, or else the first;
    `entity` and `mention` share a place, which is that of `entity` if there are both.
    """
    owners: dict[str, str] = {}
    for task, layer in tasks.items():
        fits = WRITABLE.get(layer) == kinds[task]
        if fits and (layer not in owners or task == layer):
            owners[layer] = task
    if "entity" in owners:
        owners.pop("mention", None)
    return {task: layer for layer, task in owners.items()}


def _tagged(tags: Tags, task: str) -> list[tuple[int, int, str]]:
    """The spans of IOB2 labels of a sentence.

    Raises:
        ModelError: A label is of another form.
    """
    own = repair_bio(tags)[0]
    found = bio_spans(own)
    if found is None:
        odd = next(tag for tag in own if not is_span_tag(tag))
        raise ModelError(
            f"level {task!r} holds no spans: one of its labels is {odd!r}, and allowed are "
            f"O, B-... and I-...; read it with tags({task!r})"
        )
    return found


def _shown(label: str | float) -> str:
    return label if isinstance(label, str) else f"{label:.2f}"


def _said(kind: str) -> str:
    return "a tree" if kind == "tree" else kind


READ_WITH = {
    "tags": "tags",
    "tree": "arcs",
    "spans": "spans",
    "relations": "related",
    "frames": "predicates",
    "mentions": "chains",
}
"""Kind of level to the method that reads it."""

KINDS = tuple(READ_WITH)

SPANNED = ("tags", "spans")
"""Kinds of levels that may hold labelled spans."""
