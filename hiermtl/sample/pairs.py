"""Pairs of sentences with their relatedness and entailment, read off the change of meaning."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from hiermtl.sample.derivation import Derivation
from hiermtl.sample.documents import realise
from hiermtl.sample.draws import Draws
from hiermtl.sample.lexicon import Lexicon
from hiermtl.sample.meaning import Clause, Nominal, Quality

ENTAILMENT = "ENTAILMENT"
NEUTRAL = "NEUTRAL"
CONTRADICTION = "CONTRADICTION"


@dataclass(frozen=True)
class SentencePair:
    """Two sentences, their relatedness (1 to 5), the label of the second given the first.

    `change` names what was done to the meaning: voice, moved, synonym, hypernym, dropped, added,
    negated, antonym, swapped, turned, other-object or unrelated.
    """

    first: Derivation
    second: Derivation
    relatedness: float
    label: str
    change: str


# So far on that the two come from different documents, but in the smallest corpora.
_APART = 17

Change = Callable[[Clause, Lexicon, Draws], Clause | None]


def _nominals(spec: Clause) -> list[tuple[str, Nominal]]:
    found = (("subject", spec.subject), ("object", spec.object))
    return [(place, item) for place, item in found if item is not None]


def _change_nominal(spec: Clause, change: Callable[[Nominal], Nominal | None]) -> Clause | None:
    for place, nominal in _nominals(spec):
        changed = change(nominal)
        if changed is not None:
            return replace(spec, **{place: changed})
    return None


def _voice(spec: Clause, lexicon: Lexicon, draws: Draws) -> Clause | None:
    verb = spec.verb
    if verb is None or verb.frame not in ("trans", "ditr") or spec.object is None:
        return None
    if spec.passive and not spec.agent_shown:
        return None
    if spec.progressive or spec.object.form == "gap" or spec.subject is None:
        return None
    if spec.subject.form == "pronoun" or spec.object.form == "pronoun":
        return None
    return replace(
        spec, passive=not spec.passive, agent_shown=True, recipient_first=False, contracted=False
    )


def _synonym(spec: Clause, lexicon: Lexicon, draws: Draws) -> Clause | None:
    verb = spec.verb
    other = lexicon.verbs_by_lemma.get(verb.synonym) if verb else None
    if verb is not None and other is not None and not spec.phrases:
        return replace(spec, verb=other, particle_late=False)

    def nominal(item: Nominal) -> Nominal | None:
        for position, quality in enumerate(item.qualities):
            synonym = lexicon.adjectives_by_lemma.get(quality.adjective.synonym)
            if synonym is not None and quality.degree == "Pos":
                changed = replace(quality, adjective=synonym)
                before, after = item.qualities[:position], item.qualities[position + 1 :]
                return replace(item, qualities=(*before, changed, *after))
        return None

    return _change_nominal(spec, nominal)


def _upward(item: Nominal) -> bool:
    """Say whether a more general noun keeps the sentence true."""
    return item.determiner in ("a", "the", "some", "this", "that") and item.form == "noun"


def _hypernym(spec: Clause, lexicon: Lexicon, draws: Draws) -> Clause | None:
    if spec.negated:
        return None

    def nominal(item: Nominal) -> Nominal | None:
        other = lexicon.nouns_by_lemma.get(item.noun.hypernym) if item.noun else None
        if other is None or not _upward(item):
            return None
        return replace(item, noun=other, phrases=())

    return _change_nominal(spec, nominal)


def _dropped(spec: Clause, lexicon: Lexicon, draws: Draws) -> Clause | None:
    if spec.negated:
        return None
    if spec.time is not None:
        return replace(spec, time=None)
    if spec.adjuncts:
        return replace(spec, adjuncts=spec.adjuncts[:-1])
    if spec.manner_adverb:
        return replace(spec, manner_adverb="")

    def nominal(item: Nominal) -> Nominal | None:
        if _upward(item) and item.qualities and item.qualities[0].degree == "Pos":
            return replace(item, qualities=item.qualities[1:])
        return None

    return _change_nominal(spec, nominal)


def _added(spec: Clause, lexicon: Lexicon, draws: Draws) -> Clause | None:
    if spec.negated:
        return None

    def nominal(item: Nominal) -> Nominal | None:
        if not _upward(item) or item.qualities:
            return None
        adjective = draws.choice(lexicon.shared.adjectives[:60])
        return None if adjective.psych else replace(item, qualities=(Quality(adjective),))

    return _change_nominal(spec, nominal)


def _negated(spec: Clause, lexicon: Lexicon, draws: Draws) -> Clause | None:
    if spec.existential or spec.middle_adverb == "never":
        return None
    for _, item in _nominals(spec):
        # Beside these words a negation does not contradict the sentence.
        if item.determiner in ("some", "any", "every", "no") or item.word or item.numeral:
            return None
    return replace(spec, negated=not spec.negated)


def _antonym(spec: Clause, lexicon: Lexicon, draws: Draws) -> Clause | None:
    if isinstance(spec.predicate, Quality) and spec.predicate.degree == "Pos":
        opposite = lexicon.adjectives_by_lemma.get(spec.predicate.adjective.antonym)
        if opposite is not None and not spec.negated:
            return replace(spec, predicate=replace(spec.predicate, adjective=opposite))
    if spec.verb is not None and not spec.negated and not spec.phrases:
        other = lexicon.verbs_by_lemma.get(spec.verb.antonym)
        if other is not None and other.frame == spec.verb.frame:
            return replace(spec, verb=other)
    return None


def _swapped(spec: Clause, lexicon: Lexicon, draws: Draws) -> Clause | None:
    subject, object_ = spec.subject, spec.object
    if subject is None or object_ is None or (spec.passive and not spec.agent_shown):
        return None
    if subject.form == "pronoun" or object_.form == "pronoun" or spec.complement is not None:
        return None
    return replace(spec, subject=object_, object=subject)


def _turned(spec: Clause, lexicon: Lexicon, draws: Draws) -> Clause | None:
    """The other voice and the other roles: the words of `_voice`, not its meaning."""
    swapped = _swapped(spec, lexicon, draws)
    return None if swapped is None else _voice(swapped, lexicon, draws)


def _moved(spec: Clause, lexicon: Lexicon, draws: Draws) -> Clause | None:
    """The same words in another order, as in `_swapped`, and the same meaning."""
    if spec.time is not None:
        return replace(spec, time=None, front=spec.time)
    if spec.adjuncts:
        return replace(spec, adjuncts=spec.adjuncts[:-1], front_phrase=spec.adjuncts[-1])
    return None


def _other_object(spec: Clause, lexicon: Lexicon, draws: Draws) -> Clause | None:
    item = spec.object
    if item is None or item.noun is None or item.form != "noun":
        return None
    pool = lexicon.shared.nouns[item.kind][:40]
    noun = draws.choice(pool)
    if noun.lemma == item.noun.lemma or noun.mass != item.noun.mass:
        return None
    return replace(spec, object=replace(item, noun=noun, phrases=(), gender=noun.gender or "Neut"))


# change, function, relatedness, label
_CHANGES: tuple[tuple[str, Change, float, str], ...] = (
    ("voice", _voice, 4.9, ENTAILMENT),
    ("moved", _moved, 4.8, ENTAILMENT),
    ("synonym", _synonym, 4.7, ENTAILMENT),
    ("hypernym", _hypernym, 4.4, ENTAILMENT),
    ("dropped", _dropped, 4.3, ENTAILMENT),
    ("added", _added, 4.1, NEUTRAL),
    ("negated", _negated, 3.6, CONTRADICTION),
    ("antonym", _antonym, 3.4, CONTRADICTION),
    ("swapped", _swapped, 3.5, NEUTRAL),
    ("turned", _turned, 3.4, NEUTRAL),
    ("other-object", _other_object, 3.0, NEUTRAL),
)
CHANGES = (*(name for name, *_ in _CHANGES), "unrelated")


def _plain(spec: Clause) -> Clause:
    """Return the clause without what a change of meaning should not have to look after."""
    return replace(
        spec,
        contracted=False,
        front=None,
        front_phrase=None,
        subordinate=None,
        subordinate_mark="",
        coordinate=None,
        ending=".",
    )


def usable(sentence: Derivation) -> bool:
    """Say whether a pair can be made from a sentence: a declarative one with an open subject."""
    spec = sentence.meaning
    return (
        spec is not None
        and spec.mood == "declarative"
        and not spec.quoted
        and not spec.gapped
        and spec.subject is not None
        and spec.subject.form != "gap"
        and not spec.subject.extraposed
        and not spec.modal
    )


def sample_pair(
    sentence: Derivation, other: Derivation, *, lexicon: Lexicon, draws: Draws
) -> SentencePair:
    """Make a pair from a sentence; `other` is the second sentence of an unrelated pair.

    Changes are tried in a random order until one fits the sentence. The relatedness is the
    typical value of the change, moved at random by at most 0.2.

    Raises:
        ValueError: No pair can be made from one of the sentences (see `usable`).
    """
    if not usable(sentence) or not usable(other):
        raise ValueError("a pair needs two declarative sentences with a subject")
    assert sentence.meaning is not None
    assert other.meaning is not None
    spec = _plain(sentence.meaning)
    first = realise(spec)
    noise = 0.1 * draws.number(-2, 2)
    if not draws.chance(0.15):
        order = draws.shuffled(_CHANGES)
        if draws.chance(0.7):
            # A negation fits nearly every sentence, so it would crowd out the other changes.
            order.sort(key=lambda item: item[0] in ("negated", "added"))
        if draws.chance(0.5):
            # These fit few sentences, and only who does what tells their labels apart.
            order.sort(key=lambda item: item[0] not in ("voice", "turned"))
        for name, change, relatedness, label in order:
            changed = change(spec, lexicon, draws)
            if changed is None:
                continue
            second = realise(changed)
            if second.words != first.words:
                value = round(min(5.0, relatedness + noise), 1)
                return SentencePair(first, second, value, label, name)
    second = realise(_plain(other.meaning))
    return SentencePair(first, second, round(1.3 + noise, 1), NEUTRAL, "unrelated")


def sample_pairs(
    sentences: Sequence[Derivation], *, lexicon: Lexicon, draws: Draws
) -> list[SentencePair]:
    """Make one pair from every usable sentence; the usable one `_APART` on is the unrelated one."""
    sources = [sentence for sentence in sentences if usable(sentence)]
    return [
        sample_pair(
            sentence, sources[(place + _APART) % len(sources)], lexicon=lexicon, draws=draws
        )
        for place, sentence in enumerate(sources)
    ]
