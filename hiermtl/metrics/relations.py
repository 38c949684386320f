"""Precision, recall and F1 of directed, labelled relations between spans."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from hiermtl.metrics.base import Metric, check_sentences, percentage
from hiermtl.metrics.sets import annotated, compare, count_rows, item_table, row_codes

_ALL = ("gold", "predicted", "correct", "correct_strict")
_GIVEN = ("given_predicted", "given_correct")
_OF_TYPE = ("gold", "predicted", "correct")
_SCORERS = {"f1_strict": "strict", "f1_given": "given", "macro_f1": "semeval10"}


class RelationF1(Metric):
    """Precision, recall and F1 of relations, by boundaries and strictly, and their mean over types.

    * ``f1`` (main), ``precision``, ``recall``: the extents of both arguments, the direction and the
      label agree ("boundaries").
    * ``f1_strict``: the types of both arguments agree besides. An extent's type are all labels that
      entities of this extent have; where it is no entity on either side, there is nothing to
      differ.
    * ``macro_f1``: the mean over given types of the F1 of their relations. A relation of the right
      type between the right spans, but in the wrong direction, is one too many and one too few of
      its type. A type that occurs on neither side has F1 0.

    Sentences without relations count: what is predicted there is wrong. A pair may have several
    labels; what is said twice counts once.

    Source: Hendrickx et al. (2010), SemEval-2010 Task 8, whose official score is ``macro_f1`` over
    the nine types, ``Other`` (no relation) not being one. For "strict" and "boundaries" see Taillé
    et al. (2020), Let's Stop Incorrect Comparisons in End-to-end Relation Extraction.

    Args:
        types: The relation types of gold, which ``macro_f1`` is the mean over. The other scores
            count relations of all types, also of those that are not named.
        given: Whether each prediction is two: one whose entities were predicted, and one for the
            gold entities. Adds ``f1_given``, by boundaries, of the second, which ``macro_f1`` is of
            then too: SemEval gives the entities.

    Raises:
        ValueError: If a type is named twice.
    """

    name: ClassVar[str] = "relations"
    scorer = "boundaries"

    def __init__(self, types: Sequence[str], *, given: bool = False) -> None:
        self.types = tuple(types)
        self.given = given
        repeated = [name for at, name in enumerate(self.types) if name in self.types[:at]]
        if repeated:
            raise ValueError(f"relation type {repeated[0]!r} is named twice")
        self.columns = (
            *_ALL,
            *(_GIVEN if given else ()),
            *(f"{name}.{what}" for name in self.types for what in _OF_TYPE),
        )

    @classmethod
    def from_columns(cls, columns: Sequence[str]) -> "RelationF1":
        """The metric that has these columns."""
        given = _GIVEN[0] in columns
        first = len(_ALL) + len(_GIVEN) * given
        types = [name.rpartition(".")[0] for name in columns[first :: len(_OF_TYPE)]]
        return cls(types, given=given)

    def count(self, gold: Sequence[Any], predicted: Sequence[Any]) -> NDArray[np.float64]:
        """Counts of each sentence.

        Args:
            gold: Per sentence a pair: its relations ``(head_start, head_end, tail_start, tail_end,
                label)`` and its entities ``(start, end, label)``; ``None`` for a sentence that is
                not annotated.
            predicted: Per sentence such a pair, or two of them with ``given``; anything where the
                gold sentence is ``None``.

        Returns:
            ``(sentences, columns)``: gold, predicted, correct and strictly correct relations; with
            ``given`` those predicted and correct for gold entities; then gold, predicted and
            correct ones of each type.

        Raises:
            ValueError: If there are not as many sentences on either side.
        """
        check_sentences(gold, predicted)
        blank = ((), ())
        gold, predicted = annotated(
            gold, predicted, nothing=(blank, (blank, blank) if self.given else blank)
        )
        told: Sequence[Any] = [pair[1] for pair in predicted] if self.given else predicted
        predicted = [pair[0] for pair in predicted] if self.given else predicted
        codes = {name: code for code, name in enumerate(self.types)}
        right = item_table([relations for relations, _ in gold], codes, numbers=4)
        guess = item_table([relations for relations, _ in predicted], codes, numbers=4)
        found = compare(right, guess)
        parts = [right[found.gold], guess[found.predicted], right[found.correct]]
        kinds: dict[str, int] = {}
        strict = _same_arguments(
            right[found.correct],
            item_table([entities for _, entities in gold], kinds, numbers=2),
            item_table([entities for _, entities in predicted], kinds, numbers=2),
        )
        count, types = len(gold), len(self.types)
        whole = [np.bincount(part[:, 0], minlength=count) for part in parts]
        whole.append(count_rows(right, found.correct[strict], count=count))
        if self.given:
            guess = item_table([relations for relations, _ in told], codes, numbers=4)
            found = compare(right, guess)
            parts = [right[found.gold], guess[found.predicted], right[found.correct]]
            whole += [np.bincount(part[:, 0], minlength=count) for part in parts[1:]]
        by_type = [_count_types(part, count=count, types=types) for part in parts]
        apart = np.stack(by_type, axis=2).reshape(count, types * len(_OF_TYPE))
        return np.concatenate((np.stack(whole, axis=1), apart), axis=1).astype(np.float64)

    def score(self, totals: NDArray[Any]) -> dict[str, Any]:
        """Scores in per cent; see ``Metric.score`` and the class for which."""
        totals = np.asarray(totals)
        gold, predicted, correct, strict = np.moveaxis(totals[..., : len(_ALL)], -1, 0)
        first = len(_ALL) + len(_GIVEN) * self.given
        by_type = totals[..., first:].reshape(*totals.shape[:-1], len(self.types), len(_OF_TYPE))
        f1 = percentage(2 * by_type[..., 2], by_type[..., 0] + by_type[..., 1])
        macro = f1.sum(axis=-1) / max(len(self.types), 1)
        return {
            "f1": percentage(2 * correct, gold + predicted),
            "precision": percentage(correct, predicted),
            "recall": percentage(correct, gold),
            "f1_strict": percentage(2 * strict, gold + predicted),
            **self._given(totals),
            "macro_f1": float(macro) if np.ndim(macro) == 0 else macro,
        }

    def _given(self, totals: NDArray[Any]) -> dict[str, Any]:
        """The score for gold entities, where there is one."""
        if not self.given:
            return {}
        told, correct = np.moveaxis(totals[..., len(_ALL) : len(_ALL) + len(_GIVEN)], -1, 0)
        return {"f1_given": percentage(2 * correct, totals[..., 0] + told)}

    def items(self, totals: NDArray[Any]) -> int:
        """Number of gold relations."""
        return int(totals[0])

    def scorer_of(self, metric: str) -> str:
        """The definition that one of the scores follows."""
        return _SCORERS.get(metric, self.scorer)


def _same_arguments(
    relations: NDArray[np.int64], gold: NDArray[np.int64], predicted: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Whether both extents of each relation have the same entity labels on both sides."""
    found = compare(gold, predicted)
    in_gold, in_guess, heads, tails = row_codes(
        gold[:, :3], predicted[:, :3], relations[:, [0, 1, 2]], relations[:, [0, 3, 4]]
    )
    labels, guesses, both = (
        np.bincount(codes[rows], minlength=len(gold) + len(predicted) + 2 * len(relations))
        for codes, rows in (
            (in_gold, found.gold),
            (in_guess, found.predicted),
            (in_gold, found.correct),
        )
    )
    same = (labels == both) & (guesses == both)
    return same[heads] & same[tails]


def _count_types(relations: NDArray[np.int64], *, count: int, types: int) -> NDArray[np.int64]:
    """Relations of each sentence and type ``(sentences, types)``; codes of types come first."""
    named = relations[relations[:, -1] < types]
    cells = np.bincount(named[:, 0] * types + named[:, -1], minlength=count * types)
    return cells.reshape(count, types)
