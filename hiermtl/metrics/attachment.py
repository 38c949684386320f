"""Attachment scores of dependency trees over gold words."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from hiermtl.metrics.base import (
    Metric,
    check_sentences,
    check_words,
    percentage,
    sum_by_sentence,
)

# fmt: off
CONTENT_RELATIONS = frozenset({
    "acl", "advcl", "advmod", "amod", "appos", "ccomp", "compound", "conj", "csubj", "dep",
    "discourse", "dislocated", "expl", "fixed", "flat", "goeswith", "iobj", "list", "nmod",
    "nsubj", "nummod", "obj", "obl", "orphan", "parataxis", "reparandum", "root", "vocative",
    "xcomp",
})
# fmt: on
"""Universal relations of content words (Zeman et al., 2018, section 4.3)."""

FUNCTIONAL_RELATIONS = frozenset({"aux", "case", "cc", "clf", "cop", "det", "mark"})
"""Universal relations of function words (Zeman et al., 2018, section 4.3)."""


def universal(relation: str) -> str:
    """A relation without its language-specific subtype: ``nsubj:pass`` becomes ``nsubj``."""
    return relation.partition(":")[0]


class Attachment(Metric):
    """UAS, LAS and CLAS as the CoNLL 2018 shared task defines them (Zeman et al., 2018, 4.3).

    Relations are compared without their subtypes. CLAS counts words with a content relation: its
    recall over those of gold, its precision over those predicted. Punctuation counts for UAS and
    LAS. With gold words UAS and LAS are accuracies; from raw text use ``hiermtl.metrics.conll18``.
    """

    name: ClassVar[str] = "attachment"
    scorer = "conll18"
    columns = (
        "words",
        "heads_correct",
        "arcs_correct",
        "content_gold",
        "content_predicted",
        "content_correct",
    )

    def count(self, gold: Sequence[Any], predicted: Sequence[Any]) -> NDArray[np.float64]:
        """Counts of each sentence.

        Args:
            gold: Per sentence a pair of heads (0 for the root, words from 1) and relations;
                ``None`` for a sentence that is not annotated.
            predicted: Per sentence such a pair; anything where the gold sentence is ``None``.

        Returns:
            ``(sentences, 6)``: words; correct heads; correct heads with relations; words with
            content relations in gold, in the prediction, and correct of those in gold.

        Raises:
            ValueError: If gold and predictions differ in length, as a whole or in a sentence, or
                if a sentence has not as many heads as relations.
        """
        check_sentences(gold, predicted)
        if any(tree is None for tree in gold):
            predicted = [
                ((), ()) if tree is None else guess
                for tree, guess in zip(gold, predicted, strict=True)
            ]
            gold = [((), ()) if tree is None else tree for tree in gold]
        codes: dict[str, int] = {}
        lengths, gold_heads, gold_relations = _flatten(gold, codes, side="gold")
        guesses, heads, relations = _flatten(predicted, codes, side="predicted")
        check_words(lengths, guesses, unit="words")
        content = np.array([relation in CONTENT_RELATIONS for relation in codes], dtype=np.bool_)
        in_gold, in_prediction = content[gold_relations], content[relations]
        attached = gold_heads == heads
        labelled = attached & (gold_relations == relations)
        return sum_by_sentence(
            np.repeat(np.arange(len(gold)), lengths),
            np.ones(len(heads)),
            attached,
            labelled,
            in_gold,
            in_prediction,
            labelled & in_gold,
            count=len(gold),
        )

    def score(self, totals: NDArray[Any]) -> dict[str, Any]:
        """LAS (main), UAS and CLAS in per cent; see ``Metric.score``."""
        words, heads, arcs, gold, predicted, correct = np.moveaxis(np.asarray(totals), -1, 0)
        return {
            "las": percentage(arcs, words),
            "uas": percentage(heads, words),
            "clas": percentage(2 * correct, gold + predicted),
        }

    def items(self, totals: NDArray[Any]) -> int:
        """Number of gold words."""
        return int(totals[0])


def _flatten(
    trees: Sequence[Any], codes: dict[str, int], *, side: str
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Number of words per sentence, and heads and relation codes of all words."""
    lengths = np.fromiter((len(heads) for heads, _ in trees), np.int64, len(trees))
    named = np.fromiter((len(relations) for _, relations in trees), np.int64, len(trees))
    wrong = np.nonzero(lengths != named)[0]
    if wrong.size:
        at = int(wrong[0])
        raise ValueError(
            f"{side} sentence {at}: {int(lengths[at])} heads, but {int(named[at])} relations"
        )
    flat: Iterable[int] = chain.from_iterable(heads for heads, _ in trees)
    heads = np.fromiter(flat, np.int64, int(lengths.sum()))
    names: dict[str, int] = {}
    relations = []
    for relation in chain.from_iterable(relations for _, relations in trees):
        code = names.get(relation)
        if code is None:
            code = names[relation] = codes.setdefault(universal(relation), len(codes))
        relations.append(code)
    return lengths, heads, np.array(relations, dtype=np.int64)
