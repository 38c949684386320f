"""Whole words and hashed character n-grams, for encoders trained from scratch.

Source: the word side of Hashimoto et al. 2017 (A Joint Many-Task Model, section 2.1): a word is its
own vector beside the mean of its character n-grams' vectors, word ends marked. Departs: n-grams are
hashed into buckets instead of kept in a vocabulary, so that every n-gram has a vector; known words
are kept as hash codes, so that no word form of the training text is part of a model.
"""

import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from hiermtl.tokens.base import Rows, Tokenizer

FILE = "words.json"
CACHED_WORDS = 8_000


class WordTokenizer(Tokenizer):
    """One piece per word: its place in the vocabulary (0: not there), and its n-gram buckets.

    Words with one code share a place; among a hundred thousand words one such pair is expected.
    """

    features = ("pieces", "piece_counts", "ngrams", "ngram_counts")

    def __init__(self, vocabulary: Sequence[int], buckets: int, *, sizes: Sequence[int]) -> None:
        """Takes codes of the known words, the number of buckets and n-gram sizes in characters."""
        self.vocabulary = tuple(vocabulary)
        self.buckets = buckets
        self.sizes = tuple(sizes)
        self._ids = {code: place for place, code in enumerate(self.vocabulary, start=1)}
        self._ngrams: dict[str, np.ndarray] = {}

    @classmethod
    def count_words(cls, sentences: Iterable[Sequence[str]], min_count: int) -> tuple[int, ...]:
        """Codes of the words that occur `min_count` times or more, most frequent first."""
        counts = Counter(word for words in sentences for word in words)
        kept = [(-count, word) for word, count in counts.items() if count >= min_count]
        return tuple(dict.fromkeys(word_code(word) for _, word in sorted(kept)))

    @property
    def fingerprint(self) -> str:
        """The digest of vocabulary, buckets and sizes."""
        state = json.dumps([self.vocabulary, self.buckets, self.sizes]).encode()
        return f"words-{hashlib.sha256(state).hexdigest()[:16]}"

    def ngrams(self, word: str) -> np.ndarray:
        """The distinct buckets of a word's n-grams and of the whole marked word, ascending."""
        found = self._ngrams.get(word)
        if found is None:
            marked = f"\x02{word}\x03"
            grams = {marked}
            for size in self.sizes:
                grams.update(
                    marked[start : start + size] for start in range(len(marked) - size + 1)
                )
            hashed = {word_code(gram) % self.buckets for gram in grams}
            found = np.array(sorted(hashed), dtype=np.int32)
            if len(self._ngrams) >= CACHED_WORDS:
                self._ngrams.clear()
            self._ngrams[word] = found
        return found

    def encode(self, sentences: Sequence[Sequence[str]]) -> dict[str, list[np.ndarray]]:
        """Word ids, ones, and for each word its n-gram buckets and their number."""
        out: dict[str, list[np.ndarray]] = {name: [] for name in self.features}
        for words in sentences:
            grams = [self.ngrams(word) for word in words]
            ids = [self._ids.get(word_code(word), 0) for word in words]
            out["pieces"].append(np.array(ids, dtype=np.int32))
            out["piece_counts"].append(np.ones(len(words), dtype=np.int32))
            out["ngrams"].append(np.concatenate(grams) if grams else np.zeros(0, dtype=np.int32))
            out["ngram_counts"].append(np.array([len(gram) for gram in grams], dtype=np.int32))
        return out

    def inputs(
        self, rows: Rows, features: Sequence[Mapping[str, np.ndarray]]
    ) -> dict[str, np.ndarray]:
        """`ids` (units,), `ngrams` (all,) and `ngram_starts` (units,), int64.

        Padding units have no n-gram.
        """
        ids = np.zeros(rows.units, dtype=np.int64)
        ids[rows.unit_of_copy] = rows.pieces[rows.piece_of_copy]
        counts = np.zeros(rows.units, dtype=np.int64)
        counts[rows.unit_of_copy] = np.concatenate([f["ngram_counts"] for f in features])[
            rows.piece_of_copy
        ]
        ngrams = np.concatenate([f["ngrams"] for f in features]).astype(np.int64)
        return {"ids": ids, "ngrams": ngrams, "ngram_starts": np.cumsum(counts) - counts}

    def save(self, folder: Path) -> None:
        """Writes words.json."""
        state = {"vocabulary": self.vocabulary, "buckets": self.buckets, "sizes": self.sizes}
        (folder / FILE).write_text(json.dumps(state), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "WordTokenizer":
        """Reads words.json.

        Raises KeyError, TypeError or ValueError where it is not what `save` writes.
        """
        state = json.loads((folder / FILE).read_text(encoding="utf-8"))
        if not all(isinstance(code, int) for code in state["vocabulary"]):
            raise ValueError("the vocabulary holds other things than codes")
        return cls(state["vocabulary"], state["buckets"], sizes=state["sizes"])


def word_code(word: str) -> int:
    """A number from 0 to 2^32 - 1, the same in every process."""
    return zlib.crc32(word.encode("utf-8", "surrogatepass"))
