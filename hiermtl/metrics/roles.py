"""Precision, recall and F1 of the arguments of predicates.

Source: Carreras and Màrquez (2005), Introduction to the CoNLL-2005 Shared Task: Semantic Role
Labeling, and the program of that task, `srl-eval.pl` (2005/04/21).
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hiermtl.metrics.base import Metric, check_sentences, percentage
from hiermtl.metrics.sets import (
    annotated,
    codes_of,
    compare,
    count_rows,
    lengths_of,
    row_codes,
)

VERB = "V"
"""The role of the predicate itself, which is not scored."""

_CONTINUED = "C-"
_ARGUMENTS = ("gold", "predicted", "correct")
_PREDICATES = ("predicates_gold", "predicates_predicted", "predicates_correct")
_SENSES = ("senses", "senses_correct")
_GIVEN = ("given_predicted", "given_correct")
_SCORERS = {"f1_given": "conll05", "f1_predicate": "predicates", "accuracy": "senses"}


class RoleF1(Metric):
    """Precision, recall and F1 of arguments: the word of the predicate, extent and role agree.

    A span with the role ``C-X`` continues the nearest ``X`` before it in the same predicate, in the
    order of their first words (of two that begin together, the longer is first). An argument
    and its continuations are one item, which is right only whole. A ``C-X`` with no ``X`` before
    it is an argument ``X`` of its own, which a later ``C-X`` may continue. ``R-X`` is a role like
    others. The predicate itself, ``V``, is not counted, and neither is what continues it. What is
    said twice counts once; of ``X`` and ``C-X`` with one extent it is ``X``.

    Scores are ``f1`` (main), ``precision`` and ``recall`` of arguments, and ``f1_predicate``, of
    predicates, which are right where their word is.

    Departs: ``srl-eval.pl`` takes predicates as given and skips those that gold has not. Here their
    arguments are wrong, so ``f1`` is that program's only where the prediction has the gold
    predicates; ``f1_given`` is such a score beside one whose predicates are predicted. The program
    does not foresee arguments that nest in others of their predicate, and compares an outer one
    together with what is inside; here each is compared on its own.

    Args:
        given: Whether each prediction is a pair: frames whose predicates were predicted, and
            frames for the gold predicates. Adds ``f1_given``, of the arguments of the second.
        senses: Whether senses are scored. Adds ``accuracy``: the share of gold predicates with a
            sense whose word is predicted with that sense (among the first frames of a pair).
    """

    name: ClassVar[str] = "roles"
    scorer = "conll05+predicates"

    def __init__(self, *, given: bool = False, senses: bool = False) -> None:
        self.given = given
        self.senses = senses
        self.columns = (
            *_ARGUMENTS,
            *_PREDICATES,
            *(_SENSES if senses else ()),
            *(_GIVEN if given else ()),
        )

    @classmethod
    def from_columns(cls, columns: Sequence[str]) -> "RoleF1":
        """The metric that has these columns."""
        return cls(given=_GIVEN[0] in columns, senses=_SENSES[0] in columns)

    def count(self, gold: Sequence[Any], predicted: Sequence[Any]) -> NDArray[np.float64]:
        """Counts of each sentence.

        Args:
            gold: Per sentence its frames ``(predicate, sense or None, ((start, end, role), ...))``;
                ``None`` for a sentence that is not annotated.
            predicted: Per sentence such frames, or a pair of them with ``given``; anything where
                the gold sentence is ``None``.

        Returns:
            ``(sentences, columns)``: arguments and predicates of gold, predicted and correct; with
            ``senses``, gold predicates that have a sense and those of them with the right one;
            with ``given``, arguments predicted for gold predicates and the correct of them.

        Raises:
            ValueError: If there are not as many sentences on either side, or two frames of one
                side have the same predicate.
        """
        check_sentences(gold, predicted)
        nothing = ((), ((), ()) if self.given else ())
        gold, predicted = annotated(gold, predicted, nothing=nothing)
        roles: dict[str, int] = {}
        senses: dict[str, int] = {}
        right = _frames(gold, roles, senses, side="gold")
        free = [pair[0] for pair in predicted] if self.given else predicted
        guess = _frames(free, roles, senses, side="predicted")
        count = len(gold)
        columns = [
            np.bincount(right.items[:, 0], minlength=count),
            np.bincount(guess.items[:, 0], minlength=count),
            np.bincount(_correct(right, guess), minlength=count),
        ]
        found = compare(right.predicates[:, :2], guess.predicates[:, :2])
        columns += [
            count_rows(right.predicates, found.gold, count=count),
            count_rows(guess.predicates, found.predicted, count=count),
            count_rows(right.predicates, found.correct, count=count),
        ]
        if self.senses:
            known = right.predicates[right.predicates[:, 2] >= 0]
            same = compare(known, guess.predicates)
            columns += [
                count_rows(known, same.gold, count=count),
                count_rows(known, same.correct, count=count),
            ]
        if self.given:
            told = _frames([pair[1] for pair in predicted], roles, senses, side="predicted")
            columns += [
                np.bincount(told.items[:, 0], minlength=count),
                np.bincount(_correct(right, told), minlength=count),
            ]
        return np.stack(columns, axis=1).astype(np.float64)

    def score(self, totals: NDArray[Any]) -> dict[str, Any]:
        """Scores in per cent; see ``Metric.score`` and the class for which."""
        of = dict(zip(self.columns, np.moveaxis(np.asarray(totals), -1, 0), strict=True))
        scores = {
            "f1": percentage(2 * of["correct"], of["gold"] + of["predicted"]),
            "precision": percentage(of["correct"], of["predicted"]),
            "recall": percentage(of["correct"], of["gold"]),
        }
        if self.given:
            items = of["gold"] + of["given_predicted"]
            scores["f1_given"] = percentage(2 * of["given_correct"], items)
        found = of["predicates_gold"] + of["predicates_predicted"]
        scores["f1_predicate"] = percentage(2 * of["predicates_correct"], found)
        if self.senses:
            scores["accuracy"] = percentage(of["senses_correct"], of["senses"])
        return scores

    def items(self, totals: NDArray[Any]) -> int:
        """Number of gold arguments."""
        return int(totals[0])

    def scorer_of(self, metric: str) -> str:
        """The definition that one of the scores follows."""
        return _SCORERS.get(metric, self.scorer)


class _Frames(NamedTuple):
    """The frames of one side.

    ``predicates`` are rows of sentence, word and sense (-1 without one). ``pieces`` are rows of
    sentence, predicate, role, start and end, none twice; ``item_of`` is the argument that a piece
    belongs to; ``items`` are rows of the sentence and the number of pieces of an argument.
    """

    predicates: NDArray[np.int64]
    pieces: NDArray[np.int64]
    item_of: NDArray[np.int64]
    items: NDArray[np.int64]


def _frames(
    sentences: Sequence[Any], roles: dict[str, int], senses: dict[str, int], *, side: str
) -> _Frames:
    flat = list(chain.from_iterable(sentences))
    predicates = np.empty((len(flat), 3), dtype=np.int64)
    predicates[:, 0] = np.repeat(np.arange(len(sentences)), lengths_of(sentences))
    predicates[:, 1] = [word for word, _, _ in flat]
    predicates[:, 2] = [
        -1 if sense is None else senses.setdefault(sense, len(senses)) for _, sense, _ in flat
    ]
    _check_predicates(predicates[:, :2], side)
    spans = list(chain.from_iterable(arguments for _, _, arguments in flat))
    owners = np.repeat(np.arange(len(flat)), lengths_of([arguments for _, _, arguments in flat]))
    pieces = np.empty((len(spans), 5), dtype=np.int64)
    pieces[:, :2] = predicates[owners, :2]
    pieces[:, 2] = codes_of((role.removeprefix(_CONTINUED) for _, _, role in spans), roles)
    pieces[:, 3:] = np.array([span[:2] for span in spans], dtype=np.int64).reshape(-1, 2)
    goes_on = np.array([role.startswith(_CONTINUED) for _, _, role in spans], dtype=np.bool_)
    kept = pieces[:, 2] != roles.get(VERB, -1)
    return _joined(predicates, pieces[kept], goes_on[kept])


def _joined(
    predicates: NDArray[np.int64], pieces: NDArray[np.int64], goes_on: NDArray[np.bool_]
) -> _Frames:
    """Pieces without repetition, joined to arguments."""
    sentence, predicate, role, start, end = pieces.T
    order = np.lexsort((goes_on, -end, start, role, predicate, sentence))
    pieces, goes_on = pieces[order], goes_on[order]
    same = pieces[1:] == pieces[:-1]
    fresh = np.ones(len(pieces), dtype=np.bool_)
    fresh[1:] = ~same.all(axis=1)
    begins = np.ones(len(pieces), dtype=np.bool_)
    begins[1:] = ~same[:, :3].all(axis=1)
    begins |= ~goes_on
    pieces, begins = pieces[fresh], begins[fresh]
    item_of = np.cumsum(begins) - 1
    items = np.stack((pieces[begins, 0], np.bincount(item_of)), axis=1)
    return _Frames(predicates, pieces, item_of, items)


def _check_predicates(predicates: NDArray[np.int64], side: str) -> None:
    (codes,) = row_codes(predicates)
    _, first = np.unique(codes, return_index=True)
    repeated = np.setdiff1d(np.arange(len(codes)), first)
    if repeated.size:
        sentence, word = predicates[repeated[0]].tolist()
        raise ValueError(
            f"{side} sentence {sentence}: two frames have the predicate {word}; give one frame "
            "with the arguments of both"
        )


def _correct(gold: _Frames, predicted: _Frames) -> NDArray[np.int64]:
    """The sentence of each gold argument that is predicted with the same pieces, and no other."""
    left, right = row_codes(gold.pieces, predicted.pieces)
    _, at, to = np.intersect1d(left, right, assume_unique=True, return_indices=True)
    others = max(len(predicted.items), 1)
    pairs, shared = np.unique(gold.item_of[at] * others + predicted.item_of[to], return_counts=True)
    mine, other = np.divmod(pairs, others)
    whole = (shared == gold.items[mine, 1]) & (shared == predicted.items[other, 1])
    return gold.items[mine[whole], 0]
