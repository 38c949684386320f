"""A linear model over features of words, which says what a level needs."""

from collections.abc import Sequence

import numpy as np

Features = list[str]


class LinearModel:
    """Multinomial logistic regression, trained by stochastic gradient steps and averaged."""

    def __init__(self, *, epochs: int = 6, rate: float = 0.15, batch: int = 16) -> None:
        """Set the number of passes, the step size and the size of a batch."""
        self._epochs = epochs
        self._rate = rate
        self._batch = batch
        self._ids: dict[str, int] = {}
        self._labels: list[str] = []
        self._weights = np.zeros((1, 1))

    def fit(self, items: Sequence[Features], labels: Sequence[str]) -> "LinearModel":
        """Train on one list of features and one label an item."""
        self._labels = sorted(set(labels))
        label_ids = {label: number for number, label in enumerate(self._labels)}
        targets = np.array([label_ids[label] for label in labels])
        for features in items:
            for feature in features:
                self._ids.setdefault(feature, len(self._ids) + 1)
        table = self._table(items)
        weights = np.zeros((len(self._ids) + 1, len(self._labels)), dtype=np.float32)
        total = np.zeros_like(weights)
        generator = np.random.default_rng(0)
        for epoch in range(self._epochs):
            order = generator.permutation(len(table))
            for start in range(0, len(order), self._batch):
                rows = order[start : start + self._batch]
                gradient = _softmax(weights[table[rows]].sum(axis=1))
                gradient[np.arange(len(rows)), targets[rows]] -= 1.0
                step = np.repeat(gradient[:, None, :] * -self._rate, table.shape[1], axis=1)
                np.add.at(weights, table[rows], step)
                weights[0] = 0.0
            if epoch >= self._epochs // 2:
                total += weights
        self._weights = total
        return self

    def predict(self, items: Sequence[Features]) -> list[str]:
        """Return the best label of each item."""
        table = self._table(items)
        scores = self._weights[table].sum(axis=1)
        return [self._labels[number] for number in scores.argmax(axis=1)]

    def _table(self, items: Sequence[Features]) -> np.ndarray:
        width = max(len(features) for features in items)
        table = np.zeros((len(items), width), dtype=np.int64)
        for row, features in enumerate(items):
            for column, feature in enumerate(features):
                table[row, column] = self._ids.get(feature, 0)
        return table


def _softmax(scores: np.ndarray) -> np.ndarray:
    scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    return scores / scores.sum(axis=1, keepdims=True)


def word_features(words: Sequence[str], position: int, *, window: int = 1) -> Features:
    """Return the form, affixes and shape of a word, and the forms around it."""
    word = words[position]
    features = ["bias", f"w={word}", f"l={word.lower()}", f"s={shape(word)}"]
    features.append(f"first={position == 0}&{shape(word)[:2]}")
    features.extend(
        f"suf={word[-length:].lower()}" for length in (1, 2, 3, 4) if len(word) > length
    )
    features.append(f"pre={word[:2].lower()}")
    for offset in range(-window, window + 1):
        if offset:
            near = words[position + offset] if 0 <= position + offset < len(words) else "<>"
            features.append(f"w{offset}={near.lower()}")
    return features


def label_features(name: str, labels: Sequence[str], position: int, *, window: int = 1) -> Features:
    """Return the gold lower labels around a word."""
    around = [
        labels[position + offset] if 0 <= position + offset < len(labels) else "<>"
        for offset in range(-window, window + 1)
    ]
    features = [f"{name}{offset - window}={label}" for offset, label in enumerate(around)]
    middle = window
    if window:
        features.append(f"{name}<={around[middle - 1]}&{around[middle]}")
        features.append(f"{name}>={around[middle]}&{around[middle + 1]}")
    return features


def shape(word: str) -> str:
    """Return the shape of a word: Xx, X, x, 9 or the word itself."""
    if word[:1].isupper():
        return "X." if word.endswith(".") else "X" if word.isupper() else "Xx"
    if word[:1].isdigit():
        return "9"
    return "x" if word[:1].isalpha() else word
