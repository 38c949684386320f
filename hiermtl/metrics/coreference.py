"""Scores of coreference: MUC, B3, CEAFe and LEA.

With K gold clusters and R predicted ones, c the number of mentions that a gold cluster of k and a
predicted one of r mentions share, and sums over all pairs of clusters that share any:

=======  =======================================  ==========================================
measure  recall                                   precision
=======  =======================================  ==========================================
MUC      sum(c - 1) / sum of (k - 1)              sum(c - 1) / sum of (r - 1)
B3       sum(c * c / k) / sum of k                sum(c * c / r) / sum of r
CEAFe    sum of 2c / (k + r) over the best        the same / R
         one-to-one alignment, / K
LEA      sum(c * (c - 1) / (k - 1)) / sum of k    sum(c * (c - 1) / (r - 1)) / sum of r
=======  =======================================  ==========================================

Source: Vilain et al. (1995), A model-theoretic coreference scoring scheme; Bagga and Baldwin
(1998), Algorithms for scoring coreference chains; Luo (2005), On coreference resolution performance
metrics (phi 4); Moosavi and Strube (2016), Which coreference evaluation metric do you trust?;
Pradhan et al. (2014), Scoring coreference partitions of predicted mentions.
"""

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from hiermtl.metrics.base import Metric, check_sentences

MEASURES = ("muc", "b3", "ceafe", "lea")
"""The measures, in the order of their columns."""

_PARTS = ("recall_part", "recall_whole", "precision_part", "precision_whole")


class Coreference(Metric):
    """F1 of MUC, B3, CEAFe and LEA, and the CoNLL score, the mean of the first three.

    The unit is a document. Numerators and denominators of recall and precision are summed over
    documents, as the reference scorer of CoNLL-2012 does.

    Mentions that stand on one side only ("twinless") count as they are: nothing is added to either
    side or taken from it (Pradhan et al., 2014, section 4). A mention that a side has several
    times belongs to the first of its clusters there.

    Clusters of one mention have no links. MUC never counts them. LEA gives them a link to
    themselves, which is right where the mention is alone on the other side as well. So a perfect
    prediction has 100, except that MUC is 0 where there are only such clusters.

    Departs: the reference scorer (v8.01) takes repeated mentions out of the response only, and only
    those that the key has.

    Args:
        singletons: Whether clusters of one mention count. If not, they are taken out of both sides
            first; a mention of one then has no twin.
    """

    name: ClassVar[str] = "coreference"
    columns = tuple(f"{measure}_{part}" for measure in MEASURES for part in _PARTS)

    def __init__(self, *, singletons: bool = True) -> None:
        self.singletons = singletons
        self.scorer = self._text("conll12")

    def count(self, gold: Sequence[Any], predicted: Sequence[Any]) -> NDArray[np.float64]:
        """Counts of each document.

        Args:
            gold: Per document its clusters, sequences of mentions; ``None`` for a document that is
                not annotated. A mention is any hashable value, such as ``(sentence, start, end)``.
            predicted: Per document such clusters; anything where the gold document is ``None``.

        Returns:
            ``(documents, 16)``: numerator and denominator of recall, then of precision, of each of
            ``MEASURES``.

        Raises:
            ValueError: If there are not as many documents on either side.
        """
        check_sentences(gold, predicted, unit="documents")
        rows = [
            np.zeros(len(self.columns))
            if clusters is None
            else _count_document(clusters, guesses, least=1 if self.singletons else 2)
            for clusters, guesses in zip(gold, predicted, strict=True)
        ]
        return np.array(rows).reshape(len(rows), len(self.columns))

    def score(self, totals: NDArray[Any]) -> dict[str, Any]:
        """``conll`` (main), ``muc``, ``b3``, ``ceafe`` and ``lea`` in per cent; see ``Metric``."""
        totals = np.asarray(totals, dtype=np.float64)
        parts = totals.reshape(*totals.shape[:-1], len(MEASURES), len(_PARTS))
        recall = _divide(parts[..., 0], parts[..., 1])
        precision = _divide(parts[..., 2], parts[..., 3])
        f1 = 100.0 * _divide(2 * precision * recall, precision + recall)
        scores = {"conll": f1[..., :3].mean(axis=-1)}
        scores.update(zip(MEASURES, np.moveaxis(f1, -1, 0), strict=True))
        return {name: float(f) if np.ndim(f) == 0 else f for name, f in scores.items()}

    def items(self, totals: NDArray[Any]) -> int:
        """Number of gold mentions."""
        return int(totals[self.columns.index("b3_recall_whole")])

    def scorer_of(self, metric: str) -> str:
        """The definition that one of the scores follows."""
        return self._text("lea") if metric == "lea" else self.scorer

    def _text(self, scorer: str) -> str:
        return scorer if self.singletons else f"{scorer}-no-singletons"


class CoreferenceBoth(Metric):
    """`Coreference` with clusters of one mention, and its CoNLL score once more without them.

    The unit is a document. What other corpora call coreference has no such clusters, so that scores
    with them, of which many are right wherever a mention is found, cannot be set beside theirs.
    """

    name: ClassVar[str] = "coreference_both"
    columns = (*Coreference.columns, *(f"linked_{name}" for name in Coreference.columns))
    scorer = "conll12"

    def __init__(self) -> None:
        self._with, self._without = Coreference(), Coreference(singletons=False)

    def count(self, gold: Sequence[Any], predicted: Sequence[Any]) -> NDArray[np.float64]:
        """Counts of each document, ``(documents, 32)``; arguments as `Coreference.count`."""
        parts = (one.count(gold, predicted) for one in (self._with, self._without))
        return np.concatenate(list(parts), axis=1)

    def score(self, totals: NDArray[Any]) -> dict[str, Any]:
        """As `Coreference.score`, and ``conll_no_singletons``."""
        own, linked = np.split(np.asarray(totals, dtype=np.float64), 2, axis=-1)
        return {
            **self._with.score(own),
            "conll_no_singletons": self._without.score(linked)["conll"],
        }

    def items(self, totals: NDArray[Any]) -> int:
        """Number of gold mentions."""
        return self._with.items(totals[: len(Coreference.columns)])

    def scorer_of(self, metric: str) -> str:
        """The definition that one of the scores follows."""
        if metric == "conll_no_singletons":
            return self._without.scorer_of("conll")
        return self._with.scorer_of(metric)


def _count_document(
    gold: Iterable[Any], predicted: Iterable[Any], *, least: int
) -> NDArray[np.float64]:
    mine, left = _clusters(gold, least)
    others, right = _clusters(predicted, least)
    twins = [(number, others[mention]) for mention, number in mine.items() if mention in others]
    pairs, shared = np.unique(
        np.array(twins, dtype=np.int64).reshape(-1, 2), axis=0, return_counts=True
    )
    k, r, c = left[pairs[:, 0]], right[pairs[:, 1]], shared.astype(np.float64)
    links = (c - 1).sum()
    aligned = _best_alignment(pairs, 2 * c / (k + r))
    row = (
        (links, (left - 1).sum(), links, (right - 1).sum()),
        ((c * c / k).sum(), left.sum(), (c * c / r).sum(), right.sum()),
        (aligned, len(left), aligned, len(right)),
        (_lea(c, k, r), left.sum(), _lea(c, r, k), right.sum()),
    )
    return np.array(row, dtype=np.float64).ravel()


def _clusters(clusters: Iterable[Any], least: int) -> tuple[dict[Hashable, int], NDArray[np.int64]]:
    """The cluster of each mention, and the sizes of clusters, of those with at least so many."""
    first: dict[Hashable, int] = {}
    count = 0
    for cluster in clusters:
        for mention in cluster:
            first.setdefault(mention, count)
        count += 1
    sizes = np.bincount(np.fromiter(first.values(), np.int64, len(first)), minlength=count)
    kept = sizes >= least
    numbers = (np.cumsum(kept) - 1).tolist()
    holds = kept.tolist()
    return {mention: numbers[at] for mention, at in first.items() if holds[at]}, sizes[kept]


def _best_alignment(pairs: NDArray[np.int64], similarity: NDArray[np.float64]) -> float:
    """The greatest sum of similarities of pairs that have no cluster in common."""
    if not len(pairs):
        return 0.0
    rows, at = np.unique(pairs[:, 0], return_inverse=True)
    columns, to = np.unique(pairs[:, 1], return_inverse=True)
    # Every row has a column of its own besides, so that it need not be aligned; the matrix is
    # sparse, and as such no weight may be 0: all are higher by 1.
    alone = np.arange(len(rows))
    weights = np.concatenate((1 + similarity, np.ones(len(rows))))
    places = np.concatenate((at, alone)), np.concatenate((to, len(columns) + alone))
    matrix = csr_array((weights, places), shape=(len(rows), len(columns) + len(rows)))
    best = min_weight_full_bipartite_matching(matrix, maximize=True)
    return float(matrix[best].sum() - len(rows))


def _lea(shared: NDArray[np.float64], size: NDArray[np.int64], other: NDArray[np.int64]) -> float:
    """How much of clusters of a side is resolved on the other, times their sizes, summed."""
    links = shared * (shared - 1) / np.maximum(size - 1, 1)
    return float(np.where(size > 1, links, other == 1).sum())


def _divide(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole != 0)
