"""Word pieces of a transformers tokenizer, for words that are split already."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from hiermtl.errors import ModelError
from hiermtl.text.casing import casing
from hiermtl.tokens.base import Rows, Tokenizer

_Value = TypeVar("_Value")

CACHED_WORDS = 65_536
"""Word forms that are remembered: more than a window of annotation has of them, as a rule."""

PROBE = [
    "The",
    "co-operative",
    "naïve",
    "Ωmega",
    "don",
    "'t",
    "12,000.5",
    "Ünïcode",
    "\u4f60\u597d",
    "!",
]


class PieceTokenizer(Tokenizer):
    """A fast transformers tokenizer, one word at a time.

    The pieces of a word do not depend on its neighbours when words are given one by one, so that
    each word form is tokenized once and remembered. This is checked on a probe sentence when the
    tokenizer is made. With `casing`, each piece also carries how its word is capitalised.
    """

    def __init__(self, tokenizer: Any, limit: int, *, casing: bool | None = False) -> None:
        """Takes a fast tokenizer and the most units in a row, special pieces included.

        `casing=None` carries it where the pieces do not tell.

        Raises ModelError when the tokenizer reads a word differently beside other words.
        """
        self._tokenizer = tokenizer
        bare = tokenizer(["a"], is_split_into_words=True, add_special_tokens=False)["input_ids"]
        whole = tokenizer(["a"], is_split_into_words=True)["input_ids"]
        start = next(i for i in range(len(whole)) if whole[i : i + len(bare)] == bare)
        self.prefix, self.suffix = tuple(whole[:start]), tuple(whole[start + len(bare) :])
        self.limit = limit - len(self.prefix) - len(self.suffix)
        self.unknown = (
            tokenizer.unk_token_id if tokenizer.unk_token_id is not None else self.suffix[-1]
        )
        self.pad = tokenizer.pad_token_id or 0
        self.mask: int | None = tokenizer.mask_token_id
        self._pieces: dict[str, np.ndarray] = {}
        self._casings: dict[str, int] = {}
        together = tokenizer(PROBE, is_split_into_words=True, add_special_tokens=False)["input_ids"]
        apart = np.concatenate(self._lookup(PROBE)).tolist()
        if together != apart:
            raise ModelError(
                f"the tokenizer {type(tokenizer).__name__} reads a word differently beside other "
                "words; load it with add_prefix_space=True"
            )
        self.dropped = 0
        self.casing = self.lowers if casing is None else casing
        if self.casing:
            self.features = (*self.features, "casing")

    @property
    def fingerprint(self) -> str:
        """The digest of the tokenizer's own serialisation, and the row limit."""
        state = self._tokenizer.backend_tokenizer.to_str()
        kind = "pieces-casing" if self.casing else "pieces"
        return f"{kind}-{hashlib.sha256(state.encode()).hexdigest()[:16]}-{self.limit}"

    @property
    def lowers(self) -> bool:
        """Whether words that differ in capitals alone have the same pieces."""
        words = [word for word in PROBE if word != word.lower()]
        lowered = [word.lower() for word in words]
        return all(map(np.array_equal, self._lookup(words), self._lookup(lowered)))

    def _lookup(self, words: Sequence[str]) -> list[np.ndarray]:
        # Another thread may put other words in the place of those that are known: these stay.
        known = self._pieces
        unseen = [word for word in dict.fromkeys(words) if word not in known]
        if unseen:
            known = self._pieces = _with_room(known, words, more=len(unseen))
            # Past transformers' own call, which makes masks and types for every word as well.
            backend = self._tokenizer.backend_tokenizer
            backend.no_padding()
            backend.no_truncation()
            encoded = backend.encode_batch_fast(
                [[word] for word in unseen], is_pretokenized=True, add_special_tokens=False
            )
            for word, found in zip(unseen, encoded, strict=True):
                known[word] = np.array(found.ids, dtype=np.int32)
        return [known[word] for word in words]

    def encode(self, sentences: Sequence[Sequence[str]]) -> dict[str, list[np.ndarray]]:
        """Piece ids, pieces per word and, if wanted, each piece's casing.

        A word without pieces is read as the unknown piece and counted.
        """
        if not sentences:
            return {name: [] for name in self.features}
        words = [word for sentence in sentences for word in sentence]
        flat = self._lookup(words)
        counts = np.fromiter((len(ids) for ids in flat), dtype=np.int32, count=len(flat))
        empty = np.flatnonzero(counts == 0)
        if len(empty):
            unknown = np.array([self.unknown], dtype=np.int32)
            for place in empty:
                flat[place] = unknown
            counts[empty] = 1
            self.dropped += len(empty)
        pieces = np.concatenate(flat) if flat else np.zeros(0, dtype=np.int32)
        word_ends = np.cumsum([len(words) for words in sentences])[:-1]
        piece_ends = np.concatenate([[0], np.cumsum(counts)])[word_ends]
        made = {"pieces": np.split(pieces, piece_ends), "piece_counts": np.split(counts, word_ends)}
        if self.casing:
            made["casing"] = np.split(np.repeat(self._casing(words), counts), piece_ends)
        return made

    def _casing(self, words: Sequence[str]) -> np.ndarray:
        known = self._casings
        unseen = [word for word in dict.fromkeys(words) if word not in known]
        known = self._casings = _with_room(known, words, more=len(unseen))
        known.update((word, casing(word)) for word in unseen)
        return np.fromiter((known[word] for word in words), dtype=np.int32, count=len(words))

    def inputs(
        self, rows: Rows, features: Sequence[Mapping[str, np.ndarray]]
    ) -> dict[str, np.ndarray]:
        """`ids`, `positions` and, if wanted, `casing`, each (units,) int64.

        Padding units hold the padding piece at position 0; they and special pieces have casing 0.
        """
        ids = np.full(rows.units, self.pad, dtype=np.int64)
        ids[rows.unit_of_copy] = rows.pieces[rows.piece_of_copy]
        for offset, piece in enumerate(self.prefix):
            ids[rows.starts + offset] = piece
        for offset, piece in enumerate(reversed(self.suffix), start=1):
            ids[rows.starts + rows.lengths - offset] = piece
        positions = np.zeros(rows.units, dtype=np.int64)
        ends = np.cumsum(rows.lengths)
        within = np.arange(ends[-1] if len(ends) else 0) - np.repeat(
            ends - rows.lengths, rows.lengths
        )
        positions[np.repeat(rows.starts, rows.lengths) + within] = within
        made = {"ids": ids, "positions": positions}
        if self.casing:
            made["casing"] = np.zeros(rows.units, dtype=np.int64)
            casings = np.concatenate([given["casing"] for given in features])
            made["casing"][rows.unit_of_copy] = casings[rows.piece_of_copy]
        return made

    def save(self, folder: Path) -> None:
        """Writes tokenizer.json and its companions."""
        self._tokenizer.save_pretrained(folder)


def _with_room(known: dict[str, _Value], words: Sequence[str], *, more: int) -> dict[str, _Value]:
    """What is known, if `CACHED_WORDS` leave room for more; else what is known of these words.

    What these words bring is most of what others will.
    """
    if len(known) + more <= CACHED_WORDS:
        return known
    return {word: known[word] for word in words if word in known}
