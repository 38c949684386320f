"""Raw text to atoms: the smallest units between which a token may begin.

An atom is a run of letters, a run of digits, or any other character by itself; of scripts that are
written without spaces each letter is an atom. Combining marks and invisible format characters go
with what stands before them, what follows a zero width joiner too, and flags are runs of their
letters. White space is no part of an atom, everything else is part of one.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TypeAlias
from unicodedata import category

import numpy as np
from numpy.typing import NDArray

Places: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]

MARK = "_"
"""What a tokenizer is given behind an atom whose spacing is not what one expects; see `marked`."""

_SPACE, _LETTER, _DIGIT, _FLAG, _ALONE, _SOLID, _JOINED = range(7)

# Blocks of scripts without spaces between words, first and last code point.
_SOLID_BLOCKS = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x1950, 0x19DF),  # Tai Le, New Tai Lue
    (0x1A20, 0x1AAF),  # Tai Tham
    (0x1B00, 0x1B7F),  # Balinese
    (0x2E80, 0x2FDF),  # radicals
    (0x3005, 0x3006),  # iteration marks
    (0x3041, 0x30FF),  # Hiragana, Katakana
    (0x3105, 0x312F),  # Bopomofo
    (0x31A0, 0x31FF),  # Bopomofo, Katakana
    (0x3400, 0x4DBF),  # Han
    (0x4E00, 0x9FFF),  # Han
    (0xA980, 0xA9FF),  # Javanese, Myanmar
    (0xAA60, 0xAA7F),  # Myanmar
    (0xF900, 0xFAFF),  # Han
    (0xFF66, 0xFF9D),  # Katakana
    (0x1AFF0, 0x1B16F),  # Kana
    (0x20000, 0x3FFFF),  # Han
)

_KINDS = {
    **dict.fromkeys(("Lu", "Ll", "Lt", "Lm", "Lo"), _LETTER),
    **dict.fromkeys(("Mn", "Mc", "Me", "Cf"), _JOINED),
    "Nd": _DIGIT,
}
_ZERO_WIDTH_SPACE = 0x200B
_JOINER = 0x200D
_FLAGS = slice(0x1F1E6, 0x1F200)
_SKIN_TONES = slice(0x1F3FB, 0x1F400)

# Planes whose characters differ in kind; the others hold Han, or nothing that is assigned.
_VARIED = (range(0x20000), range(0xE0000, 0xE1000))


@dataclass(frozen=True, eq=False)
class Atoms:
    """The atoms of a text, in order.

    Shapes: starts, ends (atoms,), in characters, half open; solid (atoms,): whether an atom is of a
    script without spaces.
    """

    text: str
    starts: Places
    ends: Places
    solid: Flags

    def __len__(self) -> int:
        """The number of atoms."""
        return len(self.starts)

    @cached_property
    def characters(self) -> Places:
        """(characters,) the places of all that is no white space."""
        return np.flatnonzero(_kinds()[_codes(self.text)] != _SPACE)

    @cached_property
    def glued(self) -> Flags:
        """(atoms,) whether no white space stands before an atom; of the first it is false."""
        found = np.zeros(len(self), dtype=np.bool_)
        found[1:] = self.starts[1:] == self.ends[:-1]
        return found

    @cached_property
    def opening(self) -> Flags:
        """(atoms,) whether an atom is the first, or follows an empty line."""
        found = np.zeros(len(self), dtype=np.bool_)
        found[:1] = True
        lines = np.flatnonzero(_codes(self.text) == 0x0A)
        # Two line feeds between which there is no atom.
        behind = np.searchsorted(self.starts, lines)
        found[behind[1:][(behind[1:] == behind[:-1]) & (behind[1:] < len(self))]] = True
        return found

    def marked(self, first: int, last: int) -> list[str]:
        """What a tokenizer is given for atoms `first` to `last`, half open.

        That is the atom, with `MARK` behind it if it is glued to the one before; of scripts without
        spaces, where that is the rule, if white space stands before it.
        """
        text = self.text
        places = zip(
            self.starts[first:last].tolist(),
            self.ends[first:last].tolist(),
            self._unexpected[first:last].tolist(),
            strict=True,
        )
        return [text[a:b] + MARK if mark else text[a:b] for a, b, mark in places]

    @cached_property
    def _unexpected(self) -> Flags:
        return np.where(self.solid, ~self.glued & ~self.opening, self.glued)


def find_atoms(text: str) -> Atoms:
    """The atoms of a text, in time linear in its length."""
    codes = _codes(text)
    kinds = _kinds()[codes]
    count = len(kinds)
    there = kinds != _SPACE
    before = np.full(count, _SPACE, dtype=np.uint8)
    before[1:] = kinds[:-1]
    if (kinds == _JOINED).any():
        # What is joined to a character makes nothing of it that it was not before.
        base = np.where(kinds == _JOINED, 0, np.arange(count))
        before[1:] = kinds[np.maximum.accumulate(base)][:-1]
    apart = (kinds >= _ALONE) | (kinds != before)
    follows = np.zeros(count, dtype=np.bool_)
    follows[1:] = there[:-1]
    begins = there & (~follows | (apart & (kinds != _JOINED)))
    begins[1:] &= codes[:-1] != _JOINER
    starts = np.flatnonzero(begins)
    # An atom ends where the next one begins, or where white space does.
    stops = np.flatnonzero(begins[1:] | (there[:-1] & ~there[1:])) + 1 if count else starts
    ends = np.append(stops, count)[np.searchsorted(stops, starts, side="right")]
    return Atoms(text, starts, ends, kinds[starts] == _SOLID)


def _codes(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


@lru_cache(maxsize=1)
def _kinds() -> NDArray[np.uint8]:
    """(code points,) the kind of each character."""
    found = np.full(0x110000, _ALONE, dtype=np.uint8)
    for plane in _VARIED:
        found[plane.start : plane.stop] = [
            _KINDS.get(category(chr(code)), _ALONE) for code in plane
        ]
    for first, last in _SOLID_BLOCKS:
        block = found[first : last + 1]
        block[(block == _LETTER) | (first >= 0x20000)] = _SOLID
    found[_FLAGS], found[_SKIN_TONES] = _FLAG, _JOINED
    found[_ZERO_WIDTH_SPACE] = _ALONE
    found[[code for code in range(0x3001) if chr(code).isspace()]] = _SPACE
    return found
