"""Documents of sentences: their plain text, and their analyses as CoNLL-U rows."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import TypeAlias

from hiermtl.text.conllu_write import COLUMN
from hiermtl.text.sentence import Layer, Sentence, Tree

Multiword: TypeAlias = tuple[int, int, str]
"""A token of several words: words, half open and from 0 in the sentence, and how it is written."""

_HEAD, _RELATION = 6, 7
_PARAGRAPH = re.compile(r"#\s*newpar\b")


def by_document(sentences: Iterable[Sentence]) -> Iterator[list[Sentence]]:
    """Neighbouring sentences with the same document id; without ids all are one document."""
    for _, group in groupby(sentences, key=lambda sentence: sentence.doc_id):
        yield list(group)


def raw_text(sentences: Iterable[Sentence]) -> str:
    """The plain text of a document.

    Sentences follow each other as their last tokens say (`SpaceAfter=No`); an empty line stands
    before a paragraph (`# newpar`). The text of a sentence is its `# text`, unless that is missing
    or writes other characters than the tokens.
    """
    parts: list[str] = []
    for sentence in sentences:
        if not sentence.words:
            continue
        if parts and any(_PARAGRAPH.match(line) for line in sentence.lines or ()):
            parts[-1] = "\n\n"
        tokens = list(_spaced_tokens(sentence))
        text = "".join(form + " " * space for form, space in tokens).rstrip(" ")
        given = sentence.text
        if given is not None and "".join(given.split()) == "".join(text.split()):
            text = given.strip()
        parts += [text, " " if tokens[-1][1] else ""]
    return "".join(parts[:-1])


def conllu_rows(sentence: Sentence, layers: Mapping[str, Layer | None]) -> list[list[str]]:
    """The rows of a sentence, its multiword tokens kept, with these layers and no others.

    Args:
        sentence: The sentence.
        layers: By the name of a CoNLL-U layer (`upos xpos feats lemma dep`) what to write there.
    """
    if sentence.lines is None:
        rows = [[str(at), word, *"________"] for at, word in enumerate(sentence.words, 1)]
        for token in reversed(sentence.multiwords):
            rows.insert(token.start, [f"{token.start + 1}-{token.end}", token.label, *"________"])
    else:
        cells = (line.split("\t") for line in sentence.lines if not line.startswith("#"))
        rows = [[*row[:2], *"________"] for row in cells if "." not in row[0]]
    words = [row for row in rows if "-" not in row[0]]
    for name, layer in layers.items():
        if isinstance(layer, Tree):
            for row, parent, relation in zip(words, layer.heads, layer.relations, strict=True):
                row[_HEAD] = "_" if parent is None else str(parent)
                row[_RELATION] = relation or "_"
        elif isinstance(layer, tuple):
            for row, tag in zip(words, layer, strict=True):
                row[COLUMN[name]] = tag or "_"
    return rows


def multiwords_of(sentence: Sentence) -> Iterator[Multiword]:
    """The tokens of several words, in their order."""
    if sentence.lines is None:
        yield from ((token.start, token.end, token.label) for token in sentence.multiwords)
        return
    for line in sentence.lines:
        name, _, rest = line.partition("\t")
        if "-" in name and not line.startswith("#"):
            first, last = map(int, name.split("-"))
            yield first - 1, last, rest.partition("\t")[0]


def tokens_of(sentence: Sentence) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Form of each token, and of a multiword token its words."""
    for form, first, last in _ranges(sentence):
        yield form, sentence.words[first - 1 : last] if last > first else ()


def _spaced_tokens(sentence: Sentence) -> Iterator[tuple[str, bool]]:
    """Form of each token, and whether white space follows it."""
    spaces: Sequence[bool] = sentence.space_after or (True,) * len(sentence.words)
    for form, _, last in _ranges(sentence):
        yield form, spaces[last - 1]


def _ranges(sentence: Sentence) -> Iterator[tuple[str, int, int]]:
    """Form of each token, and its first and last word, counted from 1."""
    covered = 0
    for row in conllu_rows(sentence, {}):
        first, _, last = row[0].partition("-")
        if int(first) > covered:
            covered = int(last or first)
            yield row[1], int(first), covered
