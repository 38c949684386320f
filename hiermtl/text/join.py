"""Two annotations of the same sentences made one: layers of `other` are added to `base`.

Sentences are matched by id (or by position) and their forms compared. Where forms differ nothing is
guessed: the layer stays absent, or, if asked for, spans and what is made of them are carried over
by their characters where that is certain. All of it is counted.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from hiermtl.errors import DataError, RecipeError, listing
from hiermtl.text.bio import bio_spans, span_tags
from hiermtl.text.sentence import (
    Frame,
    Frames,
    Layer,
    Mentions,
    Origin,
    Relation,
    Relations,
    Sentence,
    Span,
    Spans,
    Tree,
    Words,
)

EXAMPLES = 5
COUNTED = ("joined", "projected", "different_forms", "missing_in_other", "missing_in_base")


@dataclass(frozen=True, slots=True)
class JoinReport:
    """What happened to the sentences of a join.

    `joined` had equal forms, `projected` had other forms but spans of theirs were carried over,
    `different_forms` were left without the layers; `missing_in_other` and `missing_in_base` had no
    partner. `examples` has a few ids of each of the last four. `left_out` counts for each layer the
    projected sentences that lost it.
    """

    joined: int
    projected: int
    different_forms: int
    missing_in_other: int
    missing_in_base: int
    examples: tuple[tuple[str, tuple[str, ...]], ...] = ()
    left_out: tuple[tuple[str, int], ...] = ()

    @property
    def common(self) -> int:
        """Sentences found on both sides."""
        return self.joined + self.projected + self.different_forms

    def lines(self) -> list[str]:
        """The report as lines to print; only what occurred."""
        said = {
            "projected": "with other forms, spans carried over by characters",
            "different_forms": "left out: forms differ",
            "missing_in_other": "without a partner among those joined to them",
            "missing_in_base": "among those joined that have no partner",
        }
        out = [f"{self.joined} of {self.common} common sentences have the same forms"]
        for name, ids in self.examples:
            count = getattr(self, name)
            more = ", ..." if count > len(ids) else ""
            out.append(f"{count} {said[name]} ({', '.join(ids)}{more})")
        out += [f"{count} of those carried over lost {layer}" for layer, count in self.left_out]
        return out


def join_layers(
    base: Iterable[Sentence],
    other: Iterable[Sentence],
    *,
    layers: Sequence[str],
    key: Literal["sent_id", "position"] = "sent_id",
    mismatch: Literal["skip", "project"] = "skip",
    report: Callable[[JoinReport], object] | None = None,
) -> Iterator[Sentence]:
    """The sentences of `base`, in their order, with `layers` of `other` where there is a partner.

    `other` is held in memory when sentences are matched by id. `mismatch="project"` carries IOB2
    layers and structures over where the concatenated characters agree, every span boundary is a
    word boundary of `base`, and a predicate is one word there; other layers are left out. `report`
    is called once, when all sentences have been read.

    Raises:
        RecipeError: `key` or `mismatch` is not one of the allowed values.
        DataError: An id occurs twice on one side or is missing, or no sentence of `base` has a
            partner.
    """
    if key not in ("sent_id", "position"):
        raise RecipeError(f"key: {key!r}; sentences are joined by sent_id or by position")
    if mismatch not in ("skip", "project"):
        raise RecipeError(f"mismatch: {mismatch!r}; allowed are skip and project")
    return _join(base, other, layers=layers, key=key, project=mismatch == "project", report=report)


def _join(
    base: Iterable[Sentence],
    other: Iterable[Sentence],
    *,
    layers: Sequence[str],
    key: str,
    project: bool,
    report: Callable[[JoinReport], object] | None,
) -> Iterator[Sentence]:
    counts: dict[str, int] = dict.fromkeys(COUNTED, 0)
    examples: dict[str, list[str]] = {name: [] for name in COUNTED}
    lost: Counter[str] = Counter()

    def count(what: str, sentence: Sentence) -> None:
        counts[what] += 1
        if len(examples[what]) < EXAMPLES:
            examples[what].append(_name(sentence))

    partners = _by_id(other) if key == "sent_id" else None
    following = None if partners is not None else iter(other)
    seen: dict[str, Origin | None] = {}
    for sentence in base:
        if partners is not None:
            partner = partners.pop(_id_once(sentence, seen), None)
        else:
            partner = next(following, None) if following is not None else None
        if partner is None:
            count("missing_in_other", sentence)
            yield sentence
            continue
        found = {name: partner.layers[name] for name in layers if name in partner.layers}
        if partner.words == sentence.words:
            count("joined", sentence)
        else:
            kept = _project(found, partner.words, words=sentence.words) if project else {}
            count("projected" if kept else "different_forms", sentence)
            lost.update(name for name in found if kept and name not in kept)
            found = kept
        yield sentence.with_layers(found) if found else sentence
    for left in partners.values() if partners is not None else following or ():
        count("missing_in_base", left)
    if counts["missing_in_other"] and not any(
        counts[n] for n in ("joined", "projected", "different_forms")
    ):
        raise DataError(
            f"no sentence has a partner by {key} ({listing(examples['missing_in_other'])} against "
            f"{listing(examples['missing_in_base'])}); check that the files belong together, or "
            f"join by {'position' if key == 'sent_id' else 'sent_id'}"
        )
    if report is not None:
        kept = tuple(
            (name, tuple(ids)) for name, ids in examples.items() if ids and name != "joined"
        )
        report(JoinReport(**counts, examples=kept, left_out=tuple(sorted(lost.items()))))


def _name(sentence: Sentence) -> str:
    if sentence.sent_id is not None:
        return sentence.sent_id
    return _place(sentence.origin)


def _place(origin: Origin | None) -> str:
    return f"{origin.path}:{origin.line}" if origin else "a sentence without id"


def _id_once(sentence: Sentence, seen: dict[str, Origin | None]) -> str:
    """The id of the sentence, which must be there and be new; notes it in `seen`."""
    path, line = (sentence.origin.path, sentence.origin.line) if sentence.origin else (None, None)
    name = sentence.sent_id
    if name is None:
        raise DataError(
            "sentence without `# sent_id`; give every sentence one, or join by position",
            path,
            line=line,
        )
    if name in seen:
        raise DataError(
            f"sent_id {name!r} was used before, at {_place(seen[name])}; ids must differ, or join "
            "by position",
            path,
            line=line,
        )
    seen[name] = sentence.origin
    return name


def _by_id(sentences: Iterable[Sentence]) -> dict[str, Sentence]:
    seen: dict[str, Origin | None] = {}
    return {_id_once(sentence, seen): sentence for sentence in sentences}


def _project(
    layers: dict[str, Layer], source: Sequence[str], *, words: Sequence[str]
) -> dict[str, Layer]:
    """Those layers whose spans begin and end at boundaries of `words`."""
    if "".join(source) != "".join(words):
        return {}
    starts = [0, *accumulate(map(len, source))]
    boundaries = {at: place for place, at in enumerate([0, *accumulate(map(len, words))])}

    def moved(start: int, end: int) -> Words:
        return boundaries[starts[start]], boundaries[starts[end]]

    out: dict[str, Layer] = {}
    for name, layer in layers.items():
        try:
            projected = _projected(layer, moved, len(words))
        except KeyError:  # a boundary that the words do not have
            continue
        if projected is not None:
            out[name] = projected
    return out


def _projected(layer: Layer, moved: Callable[[int, int], Words], length: int) -> Layer | None:
    """The layer among other words; `None` if it is not of spans. Raises KeyError as `moved`."""

    def all_moved(spans: Iterable[Span]) -> tuple[Span, ...]:
        return tuple(Span(*moved(span.start, span.end), span.label) for span in spans)

    match layer:
        case Spans(spans):
            return Spans(all_moved(spans))
        case Mentions(mentions):
            return Mentions(all_moved(mentions))
        case Relations(relations):
            return Relations(
                tuple(Relation(moved(*r.head), moved(*r.tail), r.label) for r in relations)
            )
        case Frames(frames):
            places = [moved(frame.predicate, frame.predicate + 1) for frame in frames]
            if any(end != start + 1 for start, end in places):
                return None
            return Frames(
                tuple(
                    Frame(start, frame.sense, all_moved(frame.arguments))
                    for (start, _), frame in zip(places, frames, strict=True)
                )
            )
        case Tree():
            return None
        case tags:
            spans = bio_spans(tags)
            if spans is None:
                return None
            return span_tags([(*moved(start, end), name) for start, end, name in spans], length)
