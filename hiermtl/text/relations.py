"""Corpora of relations: CrossRE's JSON lines, SemEval-2010 task 8's blocks."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hiermtl.errors import DataError
from hiermtl.text.lines import decoded_lines, read_blocks, read_lines
from hiermtl.text.plain import split_text
from hiermtl.text.sentence import Origin, Relation, Relations, Sentence, Span, Spans, Words

_NUMBERED = re.compile(r'(\d+)\s+"(.*)"')
_MARK = re.compile(r"</?e[12]>")
_DIRECTED = re.compile(r"(.+)\((e[12]),(e[12])\)")

UNRELATED = "Other"
"""SemEval's label of a pair that stands in none of its relations."""


def read_crossre(path: str | Path) -> Iterator[Sentence]:
    """Sentences of CrossRE with the layers `entity` and `relation`, one at a time.

    Source: Bassignana and Plank 2022 (CrossRE), section 3. Ends are inclusive in the file and half
    open here. A pair with several relations has them all.

    Raises:
        DataError: With file and line, when the file is missing, is not UTF-8, or a line is not an
            object with `sentence`, `ner` and `relations` of the right shape.
    """
    for number, text in decoded_lines(read_lines(path), str(path)):
        if text.strip():
            yield _crossre(text, Origin(str(path), number))


def _crossre(text: str, origin: Origin) -> Sentence:
    try:
        data: dict[str, Any] = json.loads(text)
        words = _words(data["sentence"])
        spans: dict[tuple[int, int], Span] = {}
        for start, end, kind in data["ner"]:
            if not (isinstance(start, int) and isinstance(end, int)):
                raise ValueError(f"the entity {[start, end, kind]} has no whole numbers")
            if not isinstance(kind, str) or not kind.strip():
                raise ValueError(f"the entity {[start, end, kind]} has no label")
            if not 0 <= start <= end < len(words):
                raise ValueError(
                    f"the entity {[start, end, kind]} is outside of the words 0 to "
                    f"{len(words) - 1}, its end among them"
                )
            if (start, end) in spans:
                raise ValueError(f"two entities stand on the words {start} to {end}")
            spans[start, end] = Span(start, end + 1, kind)
        relations = tuple(
            Relation(_range(spans[tuple(row[:2])]), _range(spans[tuple(row[2:4])]), _label(row))
            for row in data["relations"]
        )
    except (ValueError, TypeError, IndexError, RecursionError) as error:
        raise DataError(
            f"no object of CrossRE ({error}); each line needs `sentence` (words), `ner` "
            "([[start, end, type]]) and `relations` ([[start, end, start, end, type, ...]])",
            origin.path,
            line=origin.line,
        ) from None
    except KeyError as error:
        missing = error.args[0]
        what = (
            f"the key {missing!r} is missing"
            if isinstance(missing, str)
            else f"a relation names the words {missing}, which are no entity"
        )
        raise DataError(
            f"{what}; each line needs `sentence`, `ner` and `relations` between its entities",
            origin.path,
            line=origin.line,
        ) from None
    return Sentence(
        words,
        {
            "entity": Spans(tuple(sorted(spans.values()))),
            "relation": Relations(relations),
        },
        sent_id=None if data.get("doc_key") is None else str(data["doc_key"]),
        origin=origin,
    )


def _range(span: Span) -> Words:
    return span.start, span.end


def _label(row: Sequence[Any]) -> str:
    label = row[4]
    if not isinstance(label, str) or not label.strip():
        raise ValueError(f"the relation {list(row[:5])} has no label")
    return label


def _words(given: object) -> tuple[str, ...]:
    if not isinstance(given, list) or not all(isinstance(word, str) and word for word in given):
        raise ValueError("`sentence` is no list of words")
    return tuple(given)


def read_semeval(path: str | Path, *, language: str = "en") -> Iterator[Sentence]:
    """Sentences of SemEval-2010 task 8 with the layers `entity` and `relation`.

    Source: Hendrickx et al. 2010 (SemEval-2010 Task 8). Blocks of a numbered, quoted sentence with
    `<e1>` and `<e2>`, the relation with its direction, and a comment. The text is split by the
    tokenizer of `language`; marked words are tokens of their own. `Entity-Origin(e2,e1)` leads
    from the second nominal to the first; a pair in none of the relations has none.

    Raises:
        DataError: With file and line, when the file is missing, is not UTF-8, or a block is of
            another form.
    """
    for first, block in read_blocks(read_lines(path), str(path), blank=b" \t\r\n"):
        origin = Origin(str(path), first)
        found = _NUMBERED.fullmatch(block[0].strip())
        if found is None or len(block) < 2:
            raise DataError(
                f"{block[0][:40]!r} is no numbered sentence in quotes with its relation below",
                path,
                line=first,
            )
        for number, line in enumerate(block[1:], first + 1):
            if other := _NUMBERED.fullmatch(line.strip()):
                raise DataError(
                    f"sentence {other[1]} stands in the block of sentence {found[1]}; put a blank "
                    "line before it",
                    path,
                    line=number,
                )
        yield _semeval(found[1], found[2], block[1].strip(), language=language, origin=origin)


def _semeval(number: str, marked: str, label: str, *, language: str, origin: Origin) -> Sentence:
    marks = _MARK.findall(marked)
    if marks not in (
        ["<e1>", "</e1>", "<e2>", "</e2>"],
        ["<e2>", "</e2>", "<e1>", "</e1>"],
    ):
        raise DataError(
            f"the marks are {' '.join(marks) or 'missing'}; each of <e1>...</e1> and <e2>...</e2> "
            "is needed once, one after the other",
            origin.path,
            line=origin.line,
        )
    words: list[str] = []
    spaces: list[bool] = []
    spans: dict[str, Span] = {}
    opened: tuple[str, int] | None = None
    for part in re.split(r"(</?e[12]>)", marked):
        if part.startswith("</e"):
            assert opened is not None
            name, start = opened
            if start == len(words):
                raise DataError(f"<{name}> has no word", origin.path, line=origin.line)
            spans[name] = Span(start, len(words), name)
        elif part.startswith("<e"):
            opened = (part[1:3], len(words))
        else:
            if spaces and part[:1].isspace():
                spaces[-1] = True
            for sentence in split_text(part, language):
                words += sentence.words
                spaces += sentence.space_after or (True,) * len(sentence.words)
            if spaces:
                spaces[-1] = part[-1:].isspace() or (not part and spaces[-1])
    relations: tuple[Relation, ...] = ()
    if label != UNRELATED:
        directed = _DIRECTED.fullmatch(label)
        if directed is None or directed[2] == directed[3]:
            raise DataError(
                f"relation {label!r}; write it with its direction, such as "
                f"Cause-Effect(e1,e2), or {UNRELATED}",
                origin.path,
                line=origin.line + 1,
            )
        ends = (_range(spans[directed[2]]), _range(spans[directed[3]]))
        relations = (Relation(*ends, directed[1]),)
    return Sentence(
        tuple(words),
        {
            "entity": Spans(tuple(sorted(spans.values()))),
            "relation": Relations(relations),
        },
        sent_id=number,
        text=_MARK.sub("", marked),
        space_after=tuple(spaces),
        origin=origin,
    )
