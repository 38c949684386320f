"""The numbers that the sample corpora promise, as far as no neural network is needed."""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import pytest

from hiermtl.sample.derivation import Derivation
from hiermtl.sample.draws import Draws
from hiermtl.sample.lexicon import build_lexicon
from hiermtl.sample.pairs import SentencePair, sample_pairs
from tests.unit.sample.linear import Features, LinearModel, label_features, shape, word_features
from tests.unit.sample.seeds import SEEDS, corpus_of

Labels = Sequence[str]
Split = list[Derivation]


def span_f1(gold: Sequence[Labels], predicted: Sequence[Labels]) -> float:
    right = total = 0
    for gold_tags, tags in zip(gold, predicted, strict=True):
        first, second = spans(gold_tags), spans(tags)
        right += len(first & second)
        total += len(first) + len(second)
    return 200 * right / max(1, total)


def spans(tags: Labels) -> set[tuple[int, int, str]]:
    found = set()
    start, label = -1, ""
    for position, tag in enumerate([*tags, "O"]):
        if start >= 0 and (tag[0] != "I" or tag[2:] != label):
            found.add((start, position, label))
            start = -1
        if tag[0] == "B" or (tag[0] == "I" and start < 0):
            start, label = position, tag[2:]
    return found


def accuracy(gold: Sequence[Labels], predicted: Sequence[Labels]) -> float:
    pairs = [
        (a, b)
        for first, second in zip(gold, predicted, strict=True)
        for a, b in zip(first, second, strict=True)
    ]
    return 100 * sum(a == b for a, b in pairs) / len(pairs)


@cache
def splits(seed: int) -> tuple[Split, Split]:
    corpus = corpus_of(seed)
    train = [s for document in corpus.train for s in document.sentences]
    test = [s for document in corpus.test for s in document.sentences]
    assert (len(train), len(test)) == (2000, 300)
    return train, test


def score(
    train: Split,
    test: Split,
    *,
    features: Callable[[Derivation], list[Features]],
    labels: Callable[[Derivation], Labels],
    measure: Callable[[Sequence[Labels], Sequence[Labels]], float],
) -> float:
    model = LinearModel().fit(
        [item for sentence in train for item in features(sentence)],
        [label for sentence in train for label in labels(sentence)],
    )
    flat = iter(model.predict([item for sentence in test for item in features(sentence)]))
    predicted = [[next(flat) for _ in sentence.words] for sentence in test]
    return measure([labels(sentence) for sentence in test], predicted)


def words_only(window: int) -> Callable[[Derivation], list[Features]]:
    def features(sentence: Derivation) -> list[Features]:
        size = len(sentence.words)
        return [word_features(sentence.words, place, window=window) for place in range(size)]

    return features


def with_gold(*levels: str, window: int = 1) -> Callable[[Derivation], list[Features]]:
    plain = words_only(window)

    def features(sentence: Derivation) -> list[Features]:
        items = plain(sentence)
        for level in levels:
            labels = getattr(sentence, level)
            for place, item in enumerate(items):
                item.extend(label_features(level, labels, place, window=window))
        return items

    return features


def head_offsets(sentence: Derivation) -> list[str]:
    """Where the head stands: the number of words to the left or right, at most 8."""
    return [
        "root" if head == 0 else str(max(-8, min(8, head - place)))
        for place, head in enumerate(sentence.heads, start=1)
    ]


def shuffled(sentences: Split) -> Split:
    generator = random.Random(0)
    result = []
    for sentence in sentences:
        order = list(range(len(sentence.words)))
        generator.shuffle(order)
        words = tuple(sentence.words[place] for place in order)
        upos = tuple(sentence.upos[place] for place in order)
        result.append(replace(sentence, words=words, upos=upos))
    return result


def most_frequent(
    train: Split, *, labels: Callable[[Derivation], Labels], default: str
) -> Callable[[Derivation], Labels]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for sentence in train:
        for word, label in zip(sentence.words, labels(sentence), strict=True):
            counts[word][label] += 1
    best = {word: counter.most_common(1)[0][0] for word, counter in counts.items()}
    return lambda sentence: [best.get(word, default) for word in sentence.words]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_tenth_of_the_test_words_is_unseen(seed: int) -> None:
    train, test = splits(seed)
    known = {word for sentence in train for word in sentence.words}
    words = [word for sentence in test for word in sentence.words]
    unseen = 100 * sum(word not in known for word in words) / len(words)
    assert 10 <= unseen <= 16


@pytest.mark.parametrize("seed", SEEDS)
def test_sentences_have_a_natural_length(seed: int) -> None:
    train, _ = splits(seed)
    lengths = [len(sentence.words) for sentence in train]
    assert 10.5 <= sum(lengths) / len(lengths) <= 14
    assert min(lengths) <= 2
    assert max(lengths) >= 30


@pytest.mark.parametrize("seed", SEEDS)
def test_most_frequent_tag_is_not_enough(seed: int) -> None:
    train, test = splits(seed)
    tagger = most_frequent(train, labels=lambda s: s.upos, default="NOUN")
    assert accuracy([s.upos for s in test], [tagger(s) for s in test]) <= 90


@pytest.mark.parametrize("seed", SEEDS)
def test_attaching_to_the_previous_word_is_not_enough(seed: int) -> None:
    _, test = splits(seed)
    gold = [[str(head) for head in s.heads] for s in test]
    guess = [[str(place) for place in range(len(s.words))] for s in test]
    assert accuracy(gold, guess) <= 45


@pytest.mark.parametrize("seed", SEEDS)
def test_the_word_alone_does_not_give_the_entity(seed: int) -> None:
    train, test = splits(seed)
    tagger = most_frequent(train, labels=lambda s: s.entity_tags, default="O")
    assert span_f1([s.entity_tags for s in test], [tagger(s) for s in test]) <= 60


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in SEEDS[1:])]
)
def test_the_word_and_its_shape_do_not_give_the_entity(seed: int) -> None:
    train, test = splits(seed)
    found = score(
        train,
        test,
        features=lambda s: [[f"w={word}", f"s={shape(word)}"] for word in s.words],
        labels=lambda s: s.entity_tags,
        measure=span_f1,
    )
    assert found <= 60


def test_lower_labels_help_chunks() -> None:
    train, test = splits(0)
    task = {"labels": lambda s: s.chunks, "measure": span_f1}
    plain = score(train[:700], test, features=words_only(1), **task)
    helped = score(train[:700], test, features=with_gold("upos"), **task)
    assert helped >= plain + 5


# level, lower levels, window, labels, measure
GAINS = (
    ("xpos", ("upos",), 0, lambda s: s.xpos, accuracy),
    ("feats", ("upos", "xpos"), 0, lambda s: s.feats, accuracy),
    ("chunks", ("upos", "xpos"), 1, lambda s: s.chunks, span_f1),
    ("entities", ("upos", "chunks"), 1, lambda s: s.entity_tags, span_f1),
    ("dependencies", ("upos",), 2, head_offsets, accuracy),
)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("level", [row[0] for row in GAINS])
def test_lower_labels_help_every_higher_level(level: str, seed: int) -> None:
    train, test = splits(seed)
    _, lower, window, labels, measure = next(row for row in GAINS if row[0] == level)
    task = {"labels": labels, "measure": measure}
    plain = score(train, test, features=words_only(window), **task)
    helped = score(train, test, features=with_gold(*lower, window=window), **task)
    assert helped >= plain + 5, f"{level}: {plain:.1f} without, {helped:.1f} with"


def pair_words(pair: SentencePair) -> Features:
    """What the words tell: those of one sentence alone, those of both, and the lengths."""
    first, second = ({word.lower() for word in x.words} for x in (pair.first, pair.second))
    shared = len(first & second) / max(1, len(first | second))
    longer = len(pair.second.words) - len(pair.first.words)
    return [
        "bias",
        f"shared={round(10 * shared)}",
        f"longer={max(-4, min(4, longer))}",
        *(f"-{word}" for word in sorted(first - second)),
        *(f"+{word}" for word in sorted(second - first)),
    ]


def pair_labels(pair: SentencePair) -> Features:
    """What gold lower labels add: the roles of what both say, and of what one says alone."""
    features = pair_words(pair)
    one, two = pair.first, pair.second
    roles = [dict(zip(x.lemmas, x.deprels, strict=True)) for x in (one, two)]
    features += [
        f"{role}>{roles[1][lemma]}" for lemma, role in roles[0].items() if lemma in roles[1]
    ]
    for sign, sentence, other in (("-", one, roles[1]), ("+", two, roles[0])):
        for lemma, upos, role in zip(sentence.lemmas, sentence.upos, sentence.deprels, strict=True):
            if lemma not in other:
                features += [f"{sign}upos={upos}", f"{sign}role={role}"]
    return features


@cache
def pairs_of(seed: int) -> tuple[Sequence[SentencePair], Sequence[SentencePair]]:
    lexicon = build_lexicon(seed)
    train, test = (
        sample_pairs(part, lexicon=lexicon, draws=Draws(f"{seed}:contract:{name}"))
        for name, part in zip(("train", "test"), splits(seed), strict=True)
    )
    return train, test


PAIR_LEVELS = {
    "relatedness": lambda pair: str(sum(pair.relatedness >= bound for bound in (2, 3.9))),
    "entailment": lambda pair: pair.label,
}


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in SEEDS[1:])]
)
@pytest.mark.parametrize("level", PAIR_LEVELS)
def test_lower_labels_help_pairs(level: str, seed: int) -> None:
    """Relatedness as far, near or close, so that both are a choice among labels."""
    train, test = pairs_of(seed)
    label = PAIR_LEVELS[level]

    def right(features: Callable[[SentencePair], Features]) -> float:
        model = LinearModel().fit([features(pair) for pair in train], [label(p) for p in train])
        found = model.predict([features(pair) for pair in test])
        return accuracy([[label(pair) for pair in test]], [found])

    plain, helped = right(pair_words), right(pair_labels)
    assert helped >= plain + 5, f"{plain:.1f} without, {helped:.1f} with"


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_tags_need_the_order_of_the_words(seed: int) -> None:
    train, test = splits(seed)
    task = {"features": words_only(2), "labels": lambda s: s.upos, "measure": accuracy}
    ordered = score(train, test, **task)
    mixed = score(train, shuffled(test), **task)
    assert 94 <= ordered <= 98.5
    assert mixed <= ordered - 10
