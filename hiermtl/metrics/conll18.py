"""Scores of analyses of raw text, where tokens, words and sentences may differ from gold.

This follows the evaluation of the CoNLL 2018 shared task (Zeman et al., 2018, section 4): tokens
and sentences are compared as character spans, everything else on aligned words (see
``hiermtl.metrics.alignment``).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hiermtl.metrics.alignment import align_words, check_characters
from hiermtl.metrics.attachment import CONTENT_RELATIONS, FUNCTIONAL_RELATIONS, universal
from hiermtl.metrics.base import Metric, check_sentences, percentage
from hiermtl.metrics.raw import NO_HEAD, Analysis

SCORES = (
    "Tokens",
    "Sentences",
    "Words",
    "UPOS",
    "XPOS",
    "UFeats",
    "AllTags",
    "Lemmas",
    "UAS",
    "LAS",
    "CLAS",
    "MLAS",
    "BLEX",
)
"""The scores of the shared task, in the order of its table."""

# fmt: off
UNIVERSAL_FEATURES = frozenset({
    "Abbr", "Animacy", "Aspect", "Case", "Definite", "Degree", "Evident", "Foreign", "Gender",
    "Mood", "NumType", "Number", "Person", "Polarity", "Polite", "Poss", "PronType", "Reflex",
    "Tense", "VerbForm", "Voice",
})
# fmt: on
"""Features that UFeats, AllTags and MLAS compare; all others are ignored."""


_ROOT, _NONE = -1, -2


class Conll18Score(NamedTuple):
    """One line of the table: rates in per cent, and the counts they come from.

    ``aligned_accuracy`` is None for scores that are not taken over aligned words.
    """

    precision: float
    recall: float
    f1: float
    aligned_accuracy: float | None
    correct: int
    gold: int
    system: int
    aligned: int | None


class RawText(Metric):
    """The CoNLL 2018 scores as a metric; a "sentence" of a row is a gold sentence.

    ``count`` takes whole documents, and its rows are the gold sentences of all documents in
    order. A correct, gold or aligned item is counted in its gold sentence, and a system item in
    the gold sentence that holds its first character, so that sums over all sentences are the
    official counts.
    """

    name: ClassVar[str] = "raw"
    scorer = "conll18"
    columns = tuple(
        f"{score}_{what}" for score in SCORES for what in ("correct", "gold", "system", "aligned")
    )

    def count(self, gold: Sequence[Any], predicted: Sequence[Any]) -> NDArray[np.float64]:
        """Counts of each gold sentence.

        Args:
            gold: Gold ``Analysis`` of each document.
            predicted: System ``Analysis`` of each document.

        Returns:
            ``(sentences, 52)``: correct, gold, system and aligned items of each score.

        Raises:
            ValueError: If there are not as many documents on either side.
            DataError: If gold and system write different characters.
        """
        check_sentences(gold, predicted)
        rows = [count_conll18(right, guess) for right, guess in zip(gold, predicted, strict=True)]
        return np.concatenate([np.zeros((0, len(self.columns))), *rows])

    def score(self, totals: NDArray[Any]) -> dict[str, Any]:
        """F1 in per cent, ``las`` being the main metric; see ``Metric.score``."""
        totals = np.asarray(totals)
        counts = totals.reshape(*totals.shape[:-1], len(SCORES), 4)
        f1 = percentage(2 * counts[..., 0], counts[..., 1] + counts[..., 2])
        names = ("LAS", "UAS", "CLAS", "MLAS", "BLEX", "AllTags", "Words", "Tokens", "Sentences")
        scores = {name.lower(): f1[..., SCORES.index(name)] for name in names}
        return {name: float(f) if np.ndim(f) == 0 else f for name, f in scores.items()}

    def items(self, totals: NDArray[Any]) -> int:
        """Number of gold words."""
        return int(totals[4 * SCORES.index("Words") + 1])


def evaluate_conll18(gold: Analysis, system: Analysis) -> dict[str, Conll18Score]:
    """The table of the CoNLL 2018 shared task.

    Args:
        gold: Gold analysis.
        system: System analysis of the same text.

    Returns:
        From each name of ``SCORES`` to its line. A rate over nothing is 0.

    Raises:
        DataError: If gold and system write different characters.
    """
    totals = count_conll18(gold, system).sum(axis=0).astype(np.int64).reshape(len(SCORES), 4)
    table = {}
    for name, (correct, of_gold, of_system, aligned) in zip(SCORES, totals.tolist(), strict=True):
        over_words = name not in {"Tokens", "Sentences", "Words"}
        table[name] = Conll18Score(
            precision=100 * correct / of_system if of_system else 0.0,
            recall=100 * correct / of_gold if of_gold else 0.0,
            f1=200 * correct / (of_gold + of_system) if of_gold + of_system else 0.0,
            aligned_accuracy=(100 * correct / aligned if aligned else 0.0) if over_words else None,
            correct=correct,
            gold=of_gold,
            system=of_system,
            aligned=aligned if over_words else None,
        )
    return table


def count_conll18(gold: Analysis, system: Analysis) -> NDArray[np.float64]:
    """Counts behind the table, apart for each gold sentence.

    Args:
        gold: Gold analysis.
        system: System analysis of the same text.

    Returns:
        ``(sentences, 52)``, columns as in ``RawText``.

    Raises:
        DataError: If gold and system write different characters.
    """
    check_characters(gold, system)
    starts = np.array([tokens[0].start for tokens in gold.sentences], dtype=np.int64)
    count = len(starts)
    counts = np.zeros((len(SCORES), 4, count))

    def tally(score: str, what: int, at: NDArray[np.int64]) -> None:
        sentence = np.searchsorted(starts, at, side="right") - 1
        counts[SCORES.index(score), what] += np.bincount(sentence, minlength=count)

    for score, right, guess in (
        ("Tokens", _token_spans(gold), _token_spans(system)),
        ("Sentences", _sentence_spans(gold), _sentence_spans(system)),
    ):
        for what, spans in ((0, right & guess), (1, right), (2, guess)):
            tally(score, what, np.array([start for start, _ in spans], dtype=np.int64))

    gold_words, system_words = _Words.of(gold), _Words.of(system)
    pairs = align_words(gold, system)
    partner = np.full(len(system_words.start) + 2, _NONE)
    partner[pairs[:, 1]] = pairs[:, 0]
    partner[_ROOT] = _ROOT
    content = gold_words.content
    agreements = _agreements(gold_words, system_words, pairs=pairs, partner=partner)
    for score, agreed in agreements.items():
        narrow = score in {"CLAS", "MLAS", "BLEX"}
        of_gold = gold_words.start[content] if narrow else gold_words.start
        of_system = system_words.start[system_words.content] if narrow else system_words.start
        chosen = content[pairs[:, 0]] if narrow else np.ones(len(pairs), dtype=np.bool_)
        tally(score, 0, gold_words.start[pairs[chosen & agreed, 0]])
        tally(score, 1, of_gold)
        tally(score, 2, of_system)
        tally(score, 3, gold_words.start[pairs[chosen, 0]])
    return counts.reshape(4 * len(SCORES), count).T.copy()


@dataclass(slots=True)
class Columns:
    """The columns of CoNLL-U of sentences whose words are given, sentence after sentence.

    `_` and `NO_HEAD` stand where a column is empty; heads count from 1 in each sentence.
    """

    lengths: list[int] = field(default_factory=list)
    upos: list[str] = field(default_factory=list)
    xpos: list[str] = field(default_factory=list)
    feats: list[str] = field(default_factory=list)
    lemma: list[str] = field(default_factory=list)
    head: list[int] = field(default_factory=list)
    relation: list[str] = field(default_factory=list)


def count_gold_words(gold: Columns, system: Columns) -> NDArray[np.float64]:
    """The counts of `count_conll18` where the words of both sides are the same.

    Every word is then a token and aligned with itself, so that nothing has to be looked for.

    Returns:
        ``(sentences, 52)``, columns as in ``RawText``.

    Raises:
        ValueError: If a column has not as many values as there are words.
    """
    count = len(gold.lengths)
    mine, other = _Words.of_columns(gold), _Words.of_columns(system)
    same = np.arange(len(mine.start))
    partner = np.append(same, [_NONE, _ROOT])
    agreements = _agreements(mine, other, pairs=np.stack([same, same], axis=1), partner=partner)
    counts = np.zeros((len(SCORES), 4, count))
    lengths = np.array(gold.lengths, dtype=np.float64)
    counts[SCORES.index("Tokens"), :3] = lengths
    counts[SCORES.index("Sentences"), :3] = 1
    for score, agreed in agreements.items():
        narrow = score in {"CLAS", "MLAS", "BLEX"}
        of_gold = mine.content if narrow else np.ones(len(same), dtype=np.bool_)
        of_system = other.content if narrow else of_gold
        for what, chosen in enumerate((agreed & of_gold, of_gold, of_system, of_gold)):
            counts[SCORES.index(score), what] = np.bincount(
                mine.start, weights=chosen, minlength=count
            )
    return counts.reshape(4 * len(SCORES), count).T.copy()


class _Words(NamedTuple):
    """Columns of all words of a text; relations universal, features filtered and sorted."""

    start: NDArray[np.int64]
    upos: list[str]
    xpos: list[str]
    feats: list[str]
    lemma: list[str]
    head: NDArray[np.int64]  # index of the head word, _ROOT or _NONE
    relation: list[str]
    content: NDArray[np.bool_]
    functional: dict[int, list[int]]  # function words that depend on a word, if any

    @classmethod
    def of(cls, analysis: Analysis) -> "_Words":
        start, upos, xpos, feats, lemma, relation = [], [], [], [], [], []
        head: list[int] = []
        for tokens in analysis.sentences:
            first = len(start)
            for token in tokens:
                for word in token.words:
                    start.append(token.start)
                    upos.append(word.upos)
                    xpos.append(word.xpos)
                    feats.append(universal_features(word.feats))
                    lemma.append(word.lemma)
                    head.append(
                        _NONE
                        if word.head == NO_HEAD
                        else first + word.head - 1
                        if word.head
                        else _ROOT
                    )
                    relation.append(universal(word.deprel))
        return cls._made(start, upos, xpos, feats, lemma, head, relation)

    @classmethod
    def of_columns(cls, columns: Columns) -> "_Words":
        """Of sentences whose words are given; a word starts at the number of its sentence."""
        lengths = np.array(columns.lengths, dtype=np.int64)
        start = np.repeat(np.arange(len(lengths)), lengths)
        for name in ("upos", "xpos", "feats", "lemma", "head", "relation"):
            if len(getattr(columns, name)) != len(start):
                raise ValueError(f"{len(getattr(columns, name))} {name} of {len(start)} words")
        head = np.array(columns.head, dtype=np.int64)
        first = np.repeat(np.cumsum(lengths) - lengths, lengths)
        placed = np.where(head == NO_HEAD, _NONE, np.where(head == 0, _ROOT, first + head - 1))
        return cls._made(
            start,
            columns.upos,
            columns.xpos,
            list(map(universal_features, columns.feats)),
            columns.lemma,
            placed,
            list(map(universal, columns.relation)),
        )

    @classmethod
    def _made(
        cls,
        start: Any,
        upos: list[str],
        xpos: list[str],
        feats: list[str],
        lemma: list[str],
        head: Any,
        relation: list[str],
    ) -> "_Words":
        functional: dict[int, list[int]] = {}
        head = np.array(head, dtype=np.int64)
        for word, (parent, name) in enumerate(zip(head.tolist(), relation, strict=True)):
            if parent >= 0 and name in FUNCTIONAL_RELATIONS:
                functional.setdefault(parent, []).append(word)
        return cls(
            start=np.array(start, dtype=np.int64),
            upos=upos,
            xpos=xpos,
            feats=feats,
            lemma=lemma,
            head=head,
            relation=relation,
            content=np.array([name in CONTENT_RELATIONS for name in relation], dtype=np.bool_),
            functional=functional,
        )


def _agreements(
    gold: _Words,
    system: _Words,
    *,
    pairs: NDArray[np.int64],
    partner: NDArray[np.int64],
) -> dict[str, NDArray[np.bool_]]:
    """Which aligned pairs agree, for each score over words.

    ``partner`` maps system words to gold words (or ``_NONE``), ``_ROOT`` and ``_NONE`` to
    themselves.
    """
    index = pairs.tolist()

    def same(mine: list[str], other: list[str]) -> NDArray[np.bool_]:
        return np.array([mine[g] == other[s] for g, s in index], dtype=np.bool_)

    upos, xpos, feats = (
        same(gold.upos, system.upos),
        same(gold.xpos, system.xpos),
        same(gold.feats, system.feats),
    )
    lemmas = np.array(
        [gold.lemma[g] == "_" or gold.lemma[g] == system.lemma[s] for g, s in index],
        dtype=np.bool_,
    )
    heads = gold.head[pairs[:, 0]]
    attached = (heads == partner[system.head[pairs[:, 1]]]) & (heads != _NONE)
    labelled = attached & same(gold.relation, system.relation)

    def function(
        words: _Words, children: Sequence[int], names: Sequence[int]
    ) -> list[tuple[Any, ...]]:
        return [
            (name, words.relation[child], words.upos[child], words.feats[child])
            for child, name in zip(children, names, strict=True)
        ]

    mlas = labelled & upos & feats
    for at in np.nonzero(mlas)[0].tolist():
        g, s = index[at]
        mine, other = gold.functional.get(g, ()), system.functional.get(s, ())
        mlas[at] = len(mine) == len(other) and (
            not mine
            or function(gold, mine, mine)
            == function(system, other, [int(partner[child]) for child in other])
        )
    return {
        "Words": np.ones(len(pairs), dtype=np.bool_),
        "UPOS": upos,
        "XPOS": xpos,
        "UFeats": feats,
        "AllTags": upos & xpos & feats,
        "Lemmas": lemmas,
        "UAS": attached,
        "LAS": labelled,
        "CLAS": labelled,
        "MLAS": mlas,
        "BLEX": labelled & lemmas,
    }


@lru_cache(maxsize=4096)
def universal_features(features: str) -> str:
    """The features that the shared task compares, in order; those of single languages left out."""
    if features == "_":
        return ""
    kept = [f for f in features.split("|") if f.partition("=")[0] in UNIVERSAL_FEATURES]
    return "|".join(sorted(kept))


def _token_spans(analysis: Analysis) -> set[tuple[int, int]]:
    return {(token.start, token.end) for tokens in analysis.sentences for token in tokens}


def _sentence_spans(analysis: Analysis) -> set[tuple[int, int]]:
    return {(tokens[0].start, tokens[-1].end) for tokens in analysis.sentences}
