"""The participants of a document: who they are, and how the text refers to them."""

from dataclasses import dataclass

from hiermtl.sample import wordlists
from hiermtl.sample.draws import Draws
from hiermtl.sample.lexicon import Name, Noun, Vocabulary
from hiermtl.sample.meaning import Nominal

_ENDS = wordlists.ORGANISATION_ENDS.split()
_HEADS = wordlists.ORGANISATION_HEADS.split()
_LOCAL_ENDS = wordlists.LOCAL_ENDS.split()
_FOUNDATION_ENDS = wordlists.FOUNDATION_ENDS.split()
_FIELDS = wordlists.MINISTRY_FIELDS.split()
_PLACE_STARTS = wordlists.PLACE_STARTS.split()
_PLACE_ENDS = wordlists.PLACE_ENDS.split()
_TITLES = {"Masc": wordlists.TITLES_MALE.split(), "Fem": wordlists.TITLES_FEMALE.split()}
_LETTERS = "ABCDEFGHJKLMNPRSTVW"


@dataclass(frozen=True)
class Participant:
    """Somebody or something a document talks about; without a name it is known by its noun."""

    key: str
    kind: str
    gender: str
    noun: Noun
    full: Name | None = None
    short: Name | None = None
    title: str = ""


def person_name(vocabulary: Vocabulary, draws: Draws) -> tuple[Name, Name]:
    """Return the full and the short name of a new person, with the gender."""
    gender = "Fem" if draws.chance(0.5) else "Masc"
    first = vocabulary.name_part(gender)
    last = vocabulary.name_part("surname")
    parts = [first, last]
    if draws.chance(0.15):
        parts.insert(1, draws.choice(_LETTERS) + ".")
    short = last if draws.chance(0.65) else first
    return Name("flat", tuple(parts), gender), Name("flat", (short,), gender)


def place_name(vocabulary: Vocabulary, draws: Draws) -> tuple[Name, Name]:
    """Return the full and the short name of a new place."""
    name = vocabulary.name_part("place")
    draw = draws.number(0, 9)
    if draw == 0:
        full = Name("start", (draws.choice(_PLACE_STARTS), name))
    elif draw == 1:
        full = Name("end", (vocabulary.name_part("surname"), draws.choice(_PLACE_ENDS)))
    else:
        full = Name("single", (name,))
    return full, full


def organisation_name(vocabulary: Vocabulary, draws: Draws) -> tuple[Name, Name]:
    """Return the full and the short name of a new organisation."""
    draw = draws.number(0, 11)
    name = vocabulary.name_part("company")
    short = Name("single", (name,))
    if draw < 4:
        return Name("end", (name, draws.choice(_ENDS))), short
    if draw == 4:
        full = Name("of", (draws.choice(_HEADS[:-1]), vocabulary.name_part("place")))
        return full, full
    if draw == 5:
        place = vocabulary.name_part("place")
        full = Name("place+end", (place, draws.choice(_LOCAL_ENDS)))
        return full, full if draws.chance(0.5) else Name("single", (place,))
    if draw == 6:
        person = vocabulary.name_part("surname")
        full = Name("person+end", (person, draws.choice(_FOUNDATION_ENDS)))
        return full, full
    if draw == 7:
        joiner = "&" if draws.chance(0.5) else "and"
        return Name("and", (name, vocabulary.name_part("surname"), joiner)), short
    if draw == 8:
        full = Name("of", ("Ministry", draws.choice(_FIELDS)))
        return full, full
    if draw == 9:
        letters = "".join(draws.choice(_LETTERS) for _ in range(3))
        return Name("single", (letters,)), Name("single", (letters,))
    return short, short


def new_participant(
    kind: str, key: str, *, vocabulary: Vocabulary, draws: Draws, named: bool = True
) -> Participant:
    """Return a new participant of a class."""
    noun = vocabulary.noun(kind)
    if not named or kind not in "POL":
        gender = "Neut"
        if kind == "P":
            gender = noun.gender or ("Fem" if draws.chance(0.5) else "Masc")
        return Participant(key, kind, gender, noun)
    maker = {"P": person_name, "O": organisation_name, "L": place_name}[kind]
    full, short = maker(vocabulary, draws)
    while noun.gender and noun.gender != full.gender:
        noun = vocabulary.noun(kind)
    title = ""
    if kind == "P" and draws.chance(0.3):
        title = draws.choice(_TITLES[full.gender])
    return Participant(key, kind, full.gender, noun, full, short, title)


def marked(name: Name) -> bool:
    """Say whether a name shows its class by itself, without any context."""
    return name.pattern not in ("single",) and len(name.parts) > 1


class Discourse:
    """Chooses referring expressions from what the document has already said."""

    def __init__(self, participants: list[Participant], draws: Draws) -> None:
        """Start a document with these participants."""
        self.participants = participants
        self._draws = draws
        self._said: dict[str, int] = {}
        self._sentence = 0
        self._used: list[str] = []

    def next_sentence(self) -> None:
        """Go on to the next sentence."""
        self._sentence += 1
        self._used = []

    def used(self, participant: Participant) -> bool:
        """Say whether the current sentence already refers to a participant."""
        return participant.key in self._used

    def refer(self, participant: Participant, *, strict: bool) -> Nominal:
        """Return an argument that refers to a participant.

        `strict` says that the place in the sentence admits only this class, so that a name that
        several classes share can be understood.
        """
        last = self._said.get(participant.key)
        self._said[participant.key] = self._sentence
        self._used.append(participant.key)
        recent = last is not None and self._sentence - last == 1
        if recent and self._clear(participant) and self._draws.chance(0.5):
            return self.pronoun(participant)
        if participant.full is None:
            determiner = "a" if last is None else "the"
            return self._described(participant, determiner)
        if last is not None and self._draws.chance(0.2) and self._only_one(participant):
            return self._described(participant, "the")
        name = participant.full
        if participant.short and last is not None and self._draws.chance(0.8):
            name = participant.short
        if not strict and not marked(name):
            name = participant.full
            if not marked(name):
                return self._described(participant, "a" if last is None else "the")
        title = ""
        if participant.title and (len(name.parts) > 1 or name.parts == name_tail(participant)):
            title = participant.title
        return Nominal(
            "name",
            participant.kind,
            participant.key,
            name=name,
            gender=participant.gender,
            title=title,
        )

    def pronoun(self, participant: Participant) -> Nominal:
        """Return a personal pronoun for a participant."""
        return Nominal("pronoun", participant.kind, participant.key, gender=participant.gender)

    def _described(self, participant: Participant, determiner: str) -> Nominal:
        determiner = "the" if participant.noun.mass else determiner
        return Nominal(
            "noun",
            participant.kind,
            participant.key,
            noun=participant.noun,
            determiner=determiner,
            gender=participant.gender,
        )

    def _clear(self, participant: Participant) -> bool:
        """Say whether no other recent participant would fit the pronoun."""
        return not any(
            other.gender == participant.gender
            and other.key != participant.key
            and self._sentence - self._said.get(other.key, -9) <= 1
            for other in self.participants
        )

    def _only_one(self, participant: Participant) -> bool:
        return not any(
            other.noun.lemma == participant.noun.lemma and other.key != participant.key
            for other in self.participants
        )


def name_tail(participant: Participant) -> tuple[str, ...]:
    """Return the last part of a participant's full name, as a name of its own."""
    return participant.full.parts[-1:] if participant.full else ()
