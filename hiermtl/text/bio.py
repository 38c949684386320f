"""Span tags: the IOB2 rules, their repair, and spans as (start, end, type).

IOB2: a span begins with `B-` and goes on with `I-` of the same type; `O` is outside. Labels of
another shape (part of speech, for example) pass every function here unchanged. `None` (not
annotated) ends a span.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Literal, TypeAlias

from hiermtl.errors import DataError
from hiermtl.text.sentence import Sentence, Tags

Bio: TypeAlias = Literal["strict", "repair", "off"]
BIO_MODES: tuple[Bio, ...] = ("strict", "repair", "off")

_IOB2 = re.compile(r"O|[BI](-.*)?", re.DOTALL)
_OTHER_SCHEME = re.compile(r"[ESLU]-.+")


def is_iob2(label: str) -> bool:
    """Whether a label has the shape of IOB2: `O`, or `B` or `I` with a type, which may be empty."""
    return _IOB2.fullmatch(label) is not None


def find_illegal(tags: Sequence[str | None]) -> int | None:
    """The place of the first tag IOB2 does not allow: an `I-` without span, or of IOBES or BILOU.

    `E-`, `S-`, `L-` and `U-` count only beside `B-` or `I-` tags or `O`, so that other label sets
    are left alone.
    """
    previous: str | None = "O"
    spans = None
    for place, tag in enumerate(tags):
        if tag is not None and tag[1:2] == "-":
            if tag[0] == "I":
                if previous is None or previous[2:] != tag[2:] or previous[:2] not in ("B-", "I-"):
                    return place
            elif _OTHER_SCHEME.fullmatch(tag):
                if spans is None:
                    spans = any(t is not None and (t == "O" or t[:2] in ("B-", "I-")) for t in tags)
                if spans:
                    return place
        previous = tag
    return None


def repair_bio(tags: Sequence[str | None]) -> tuple[Tags, int]:
    """Legal IOB2 tags and how many were changed.

    An `I-` that continues nothing becomes `B-`; of IOBES and BILOU, `S-` and `U-` become `B-`, `E-`
    and `L-` become `I-`, or `B-` where they continue nothing.
    """
    if find_illegal(tags) is None:
        return tuple(tags), 0
    out: list[str | None] = []
    changed = 0
    for tag in tags:
        new = tag
        if tag is not None and tag[1:2] == "-" and tag[0] in "IELSU":
            before = out[-1] if out else None
            goes_on = before is not None and before[:2] in ("B-", "I-") and before[2:] == tag[2:]
            new = ("I-" if goes_on and tag[0] in "IEL" else "B-") + tag[2:]
            changed += new != tag
        out.append(new)
    return tuple(out), changed


def illegal_tag(layer: str, tags: Sequence[str | None], word: str, *, at: int) -> str:
    """What is wrong with the tag that `find_illegal` found, and what can be done."""
    before = repr(tags[at - 1]) if at else "the start of the sentence"
    return (
        f"tag {tags[at]!r} of {word!r} after {before} breaks IOB2 in layer {layer!r}: spans begin "
        "with B- and go on with I- of the same type; correct the file, set `bio: repair` to read "
        f"it as {repair_bio(tags)[0][at]!r}, or `bio: off` if these are no span tags"
    )


def with_legal_spans(
    sentences: Iterable[Sentence],
    *,
    bio: Bio,
    repairs: Counter[str],
    layers: Collection[str] | None = None,
) -> Iterator[Sentence]:
    """The sentences, their layers of spans held to IOB2.

    Args:
        sentences: Read one by one.
        bio: `strict` raises at a tag IOB2 does not allow, `repair` reads it as `repair_bio` does,
            `off` lets it pass.
        repairs: Gets the number of changed tags by layer.
        layers: The layers that hold spans. Default: those with `O` or a `B-` tag in the sentence.

    Raises:
        DataError: With `strict`, at the first such tag.
    """
    for sentence in sentences:
        fixed: dict[str, Tags] = {}
        for name, tags in sentence.layers.items() if bio != "off" else ():
            if not isinstance(tags, tuple) or (layers is not None and name not in layers):
                continue
            if layers is None and not any(tag and (tag == "O" or tag[:2] == "B-") for tag in tags):
                continue
            if (at := find_illegal(tags)) is None:
                continue
            if bio == "strict":
                where = sentence.origin
                raise DataError(
                    illegal_tag(name, tags, sentence.words[at], at=at),
                    where.path if where else None,
                    line=where.line if where else None,
                )
            fixed[name], changed = repair_bio(tags)
            repairs[name] += changed
        yield sentence.with_layers(fixed) if fixed else sentence


def is_span_tag(label: str | None) -> bool:
    """Whether `bio_spans` reads a label: `O`, or `B-` or `I-` before a type.

    Scorers take bare `B` and `I` for spans too (`is_iob2`); documents keep them as they are.
    """
    return label is not None and (label == "O" or label[:2] in ("B-", "I-"))


def bio_spans(tags: Sequence[str | None]) -> list[tuple[int, int, str]] | None:
    """Spans of IOB2 tags, half open, in words; `None` if a tag is missing, illegal or no IOB2."""
    spans: list[tuple[int, int, str]] = []
    for place, tag in enumerate(tags):
        if tag is None or not is_span_tag(tag):
            return None
        if tag.startswith("B-"):
            spans.append((place, place + 1, tag[2:]))
        elif tag != "O":
            if not spans or spans[-1][1] != place or spans[-1][2] != tag[2:]:
                return None
            spans[-1] = (spans[-1][0], place + 1, tag[2:])
    return spans


def span_tags(spans: Sequence[tuple[int, int, str]], length: int) -> Tags:
    """IOB2 tags of `length` words for spans that do not overlap."""
    tags = ["O"] * length
    for start, end, name in spans:
        tags[start:end] = [f"I-{name}"] * (end - start)
        tags[start] = f"B-{name}"
    return tuple(tags)
