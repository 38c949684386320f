"""Words and sentences of raw text as tags of its atoms, and back.

A tag says what begins with its atom: `S` a sentence, `B` a token, `W` a word inside a multiword
token. `I` goes on without white space, `J` goes on over white space, as only tokens of the training
data do. Behind it stands what begins inside the atom, counted in characters from its nearer end:
`:` a token, `/` a word (`cannot` as can and not is `B/-3`); and, at the first atom of a multiword
token that does not write its words one after the other, how its end (`=`) or its beginning (`^`) is
rewritten: `del` as de and el is `B=l> el`, which makes a and el of `al` too.

Source: the boundary labels of characters of Straka et al. 2016 (UDPipe), section 3.1, and its rules
for multiword tokens. Departs: atoms are labelled instead of characters, words inside tokens are
part of the same labels, and it is the characters that differ that are rewritten.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np

from hiermtl.text.atoms import Atoms, find_atoms
from hiermtl.text.documents import raw_text, tokens_of
from hiermtl.text.sentence import Sentence, Span

SEGMENT = "segment"
"""The task of finding tokens, words and sentences, and the layer it learns from."""

STRETCH = 256
"""Atoms that are read at once; longer paragraphs are read in parts."""

LONGEST = 12
"""Characters that a rewriting may write at most: more would spell words, and a model holds none."""

_ON, _WORD, _TOKEN, _SENTENCE = range(4)
_LEVELS = {"I": _ON, "J": _ON, "W": _WORD, "B": _TOKEN, "S": _SENTENCE}
_INNER = {"/": _WORD, ":": _TOKEN}
_TAG = re.compile(r"([IJWBS])((?:[:/]-?\d+)*)(?:([=^])([^>]*)>(.*))?", re.DOTALL)
_CUT = re.compile(r"([:/])(-?\d+)")


@dataclass(frozen=True, slots=True)
class GoldText:
    """A document as text: its atoms and their tags, and what tags cannot say of it, counted.

    `lost` counts `sentences` that begin inside an atom, of which it is said that they go on, and
    `multiwords` whose words are not told, and `words` that are white space alone.
    """

    atoms: Atoms
    tags: list[str]
    lost: Counter[str]

    def stretches(self) -> Iterator[tuple[int, int]]:
        """Paragraphs as ranges of atoms, cut before a token into at most `STRETCH` atoms each."""
        ends = [*np.flatnonzero(self.atoms.opening).tolist(), len(self.tags)]
        for first, end in pairwise(ends):
            while end - first > STRETCH:
                cuts = range(first + STRETCH, first, -1)
                cut = next((at for at in cuts if self.tags[at][0] in "SB"), first + STRETCH)
                yield first, cut
                first = cut
            yield first, end


def gold_text(sentences: Sequence[Sentence]) -> GoldText:
    """The text of a document's sentences, and the tags that make them of it."""
    atoms = find_atoms(raw_text(sentences))
    starts, ends = atoms.starts.tolist(), atoms.ends.tolist()
    glued, places = atoms.glued.tolist(), atoms.characters.tolist()
    heads = ["I" if here else "J" for here in glued]
    inner: dict[int, list[tuple[int, str]]] = {}
    scripts: dict[int, str] = {}
    lost: Counter[str] = Counter()
    done = atom = 0
    for sentence in sentences:
        kind = "S"
        for form, words in tokens_of(sentence):
            written = "".join(form.split())
            if not written:
                lost["words"] += 1
                continue
            begin = places[done]
            while ends[atom] <= begin:
                atom += 1
            if begin == starts[atom]:
                heads[atom] = kind
            else:
                inner.setdefault(atom, []).append((begin, ":"))
                lost["sentences"] += kind == "S"
            if words:
                parts = ["".join(word.split()) for word in words]
                if "".join(parts) != written:
                    script = _rewriting(form, words)
                    if script is None or begin != starts[atom]:
                        lost["multiwords"] += 1
                    else:
                        scripts[atom] = script
                else:
                    cuts = [places[done + size] for size in accumulate(map(len, parts[:-1]))]
                    if not _cut(cuts, atom, starts, ends, glued, heads=heads, inner=inner):
                        lost["multiwords"] += 1
            done += len(written)
            kind = "B"
    tags = heads
    for at, found in inner.items():
        tags[at] += "".join(
            f"{mark}{_position(place, starts[at], ends[at])}" for place, mark in sorted(found)
        )
    for at, script in scripts.items():
        tags[at] += script
    return GoldText(atoms, tags, lost)


def _cut(
    cuts: Sequence[int],
    atom: int,
    starts: Sequence[int],
    ends: Sequence[int],
    glued: Sequence[bool],
    *,
    heads: list[str],
    inner: dict[int, list[tuple[int, str]]],
) -> bool:
    """Marks where words begin inside a token whose first atom this is, if all of that can be said.

    A word that follows white space inside a token cannot.
    """
    found = []
    for cut in cuts:
        while ends[atom] <= cut:
            atom += 1
        if cut == starts[atom] and not glued[atom]:
            return False
        found.append((atom, cut))
    for at, cut in found:
        if cut == starts[at]:
            heads[at] = "W"
        else:
            inner.setdefault(at, []).append((cut, "/"))
    return True


def _position(place: int, start: int, end: int) -> int:
    return place - start if place - start < end - place else place - end


def _rewriting(form: str, words: Sequence[str]) -> str | None:
    """What makes the words of the token, at the end of it that is told in fewer characters."""
    joined = " ".join(words)
    before = _agreeing(form, joined)
    behind = _agreeing(form[::-1], joined[::-1])
    told = [
        ("=", form[before:], joined[before:]),
        ("^", form[: len(form) - behind], joined[: len(joined) - behind]),
    ]
    kind, old, new = min(told, key=lambda one: len(one[1]) + len(one[2]))
    if (
        ">" in old
        or len(new) > LONGEST
        or len(form.split()) > 1
        or _rewritten(form, kind, old, new) != tuple(words)
    ):
        return None
    return f"{kind}{old}>{new}"


def _agreeing(text: str, other: str) -> int:
    """How many first characters two texts have in common."""
    pairs = enumerate(zip(text, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(text), len(other)))


def _rewritten(token: str, kind: str, old: str, new: str) -> tuple[str, ...] | None:
    """The words that a rewriting makes of a token; none where it does not fit."""
    if kind == "=" and token.endswith(old):
        words = (token[: len(token) - len(old)] + new).split(" ")
    elif kind == "^" and token.startswith(old):
        words = (new + token[len(old) :]).split(" ")
    else:
        return None
    return tuple(words) if len(words) > 1 and all(words) else None


class _Tag(NamedTuple):
    level: int
    joins: bool
    cuts: tuple[tuple[int, int], ...]
    script: tuple[str, str, str] | None


@lru_cache(maxsize=8_000)
def _parsed(tag: str) -> _Tag:
    match = _TAG.fullmatch(tag)
    if match is None:
        return _Tag(_ON, False, (), None)
    cuts = tuple((int(place), _INNER[mark]) for mark, place in _CUT.findall(match[2]))
    script = (match[3], match[4], match[5]) if match[3] else None
    return _Tag(_LEVELS[match[1]], match[1] == "J", cuts, script)


def is_plain(tag: str) -> bool:
    """Whether a tag says nothing of the characters of its token."""
    return tag in _LEVELS


def segmented(atoms: Atoms, tags: Sequence[str]) -> list[Sentence]:
    """The sentences that a tag for each atom makes of a text.

    Whatever the tags are, every character but white space is part of one token. A sentence begins
    with the text and after an empty line, and a token after white space, unless the tag is `J`.
    What does not fit (a cut outside the atom, a rewriting of other characters) is passed over.
    """
    if not len(atoms):
        return []
    parsed = [_parsed(tag) for tag in tags]
    levels = np.fromiter((tag.level for tag in parsed), dtype=np.int8, count=len(parsed))
    joins = np.fromiter((tag.joins for tag in parsed), dtype=np.bool_, count=len(parsed))
    levels[~atoms.glued & ~joins & (levels < _TOKEN)] = _TOKEN
    levels[atoms.opening] = _SENTENCE
    at = np.flatnonzero(levels)
    begins, kinds = atoms.starts[at].tolist(), levels[at].tolist()
    stops = [*atoms.ends[at[1:] - 1].tolist(), int(atoms.ends[-1])]
    cuts = [at for at, tag in enumerate(parsed) if tag.cuts]
    if cuts:
        begins, stops, kinds = _with_cuts(atoms, parsed, cuts, begins, stops, kinds)
    scripts = {
        int(atoms.starts[at]): tag.script for at, tag in enumerate(parsed) if tag.script is not None
    }
    return _sentences(atoms.text, begins, stops, kinds, scripts=scripts)


def _with_cuts(
    atoms: Atoms,
    parsed: Sequence[_Tag],
    cuts: Sequence[int],
    begins: Sequence[int],
    stops: Sequence[int],
    kinds: Sequence[int],
) -> tuple[list[int], list[int], list[int]]:
    """Pieces of text, where each begins and stops and what it is, cut inside atoms as well."""
    inner: dict[int, int] = {}
    for at in cuts:
        start, end = int(atoms.starts[at]), int(atoms.ends[at])
        for position, kind in parsed[at].cuts:
            place = position + (start if position > 0 else end)
            if start < place < end:
                inner[place] = kind
    pieces = sorted([*zip(begins, kinds, strict=True), *inner.items()])
    ends = iter(stops)
    # A piece before a cut stops at the cut, all others where they did.
    new = [
        following if following in inner else next(ends) for following, _ in [*pieces[1:], (-1, _ON)]
    ]
    return [begin for begin, _ in pieces], new, [kind for _, kind in pieces]


def _sentences(
    text: str,
    begins: Sequence[int],
    stops: Sequence[int],
    kinds: Sequence[int],
    *,
    scripts: dict[int, tuple[str, str, str]],
) -> list[Sentence]:
    """Sentences of pieces of text, which are words, tokens or sentences by what begins there."""
    found: list[Sentence] = []
    words: list[str] = []
    spaces: list[bool] = []
    multiwords: list[Span] = []
    last = len(begins) - 1
    opening = token = own = 0
    for at, (begin, stop) in enumerate(zip(begins, stops, strict=True)):
        words.append(text[begin:stop])
        following = kinds[at + 1] if at < last else _SENTENCE
        if following == _WORD:
            spaces.append(False)
            continue
        start = begins[token]
        if token == at and start in scripts:
            made = _rewritten(words[-1], *scripts[start]) or (words[-1],)
            words[-1:] = made
            spaces += [False] * (len(made) - 1)
        spaces.append(text[stop : stop + 1].isspace())
        if len(words) - own > 1:
            multiwords.append(Span(own, len(words), text[start:stop]))
        token, own = at + 1, len(words)
        if following == _SENTENCE:
            found.append(
                Sentence(
                    tuple(words),
                    text=text[begins[opening] : stop],
                    space_after=tuple(spaces),
                    multiwords=tuple(multiwords),
                )
            )
            words, spaces, multiwords = [], [], []
            opening, own = at + 1, 0
    return found
