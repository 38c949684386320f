"""What a sentence means, before any word is chosen an order: clauses, arguments and qualities.

A clause is a plan. The grammar turns it into a tree, and changing a field (the voice, a negation,
a synonym) gives the meaning of a related sentence.
"""

from dataclasses import dataclass

from hiermtl.sample.lexicon import Adjective, Name, Noun, Verb


@dataclass(frozen=True)
class Quality:
    """An adjective with its degree and an optional degree adverb (`very`)."""

    adjective: Adjective
    degree: str = "Pos"
    adverb: str = ""


@dataclass(frozen=True)
class Phrase:
    """A preposition with its object, and the role label of the phrase."""

    preposition: str
    nominal: "Nominal"
    role: str = ""


@dataclass(frozen=True)
class Nominal:
    """An argument: a name, a noun with its modifiers, a pronoun, or the gap of a relative clause.

    `kind` is the argument class (P, O, L, T, A, E); `referent` names the participant of the
    document that it stands for, and is empty where there is none.
    """

    form: str
    kind: str = "T"
    referent: str = ""
    noun: Noun | None = None
    name: Name | None = None
    word: str = ""
    number: str = "Sing"
    person: int = 3
    gender: str = "Neut"
    determiner: str = ""
    possessor: "Nominal | None" = None
    numeral: str = ""
    qualities: tuple[Quality, ...] = ()
    compound: Noun | None = None
    participle: Verb | None = None
    participle_shape: str = "passive"
    phrases: tuple[Phrase, ...] = ()
    relative: "Clause | None" = None
    relative_word: str = ""
    extraposed: bool = False
    apposition: "Nominal | None" = None
    title: str = ""
    product: str = ""
    conjunct: "Nominal | None" = None
    conjunction: str = "and"


@dataclass(frozen=True)
class Adverbial:
    """An adverb or a bare time expression, with its role label."""

    words: tuple[str, ...]
    upos: str
    role: str


@dataclass(frozen=True)
class Clause:
    """A predicate with its arguments and the choices that give it a form.

    `shape` is finite, to, ing or bare; `mood` is declarative, imperative, polar, or the question
    word of a content question. A clause without a verb has a predicate: a quality, a nominal or a
    phrase.
    """

    verb: Verb | None = None
    subject: Nominal | None = None
    object: Nominal | None = None
    recipient: Nominal | None = None
    phrases: tuple[Phrase, ...] = ()
    adjuncts: tuple[Phrase, ...] = ()
    predicate: Quality | Nominal | Phrase | None = None
    copula: str = "be"
    existential: bool = False
    complement: "Clause | None" = None
    complement_mark: str = "that"
    quoted: bool = False
    tense: str = "Past"
    modal: str = ""
    perfect: bool = False
    progressive: bool = False
    negated: bool = False
    passive: bool = False
    agent_shown: bool = True
    contracted: bool = False
    shape: str = "finite"
    mood: str = "declarative"
    asked: str = ""
    recipient_first: bool = True
    particle_late: bool = False
    middle_adverb: str = ""
    manner_adverb: str = ""
    front: Adverbial | None = None
    time: Adverbial | None = None
    front_phrase: Phrase | None = None
    subordinate: "Clause | None" = None
    subordinate_mark: str = ""
    subordinate_first: bool = False
    coordinate: "Clause | None" = None
    coordinator: str = "and"
    gapped: bool = False
    subject_clause: "Clause | None" = None
    ending: str = "."
