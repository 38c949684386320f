"""The sample lexicon: hand-made words, and words invented from a seed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from hiermtl.sample import wordlists
from hiermtl.sample.draws import Draws, Ranked

KINDS = ("P", "O", "L", "T", "A", "E")
_ONSETS = wordlists.ONSETS.split()
_NUCLEI = wordlists.NUCLEI.split()
_CODAS = wordlists.CODAS.split()
_AVOIDED = wordlists.AVOIDED.split()
_PLACE_TAILS = wordlists.PLACE_TAILS.split()
_SURNAME_TAILS = wordlists.SURNAME_TAILS.split()
_COMPANY_TAILS = wordlists.COMPANY_TAILS.split()
_FIRST_TAILS = {"Fem": ("a", "ina", "ia", "elle"), "Masc": ("o", "us", "an", "ert")}


@dataclass(frozen=True)
class Slot:
    """A preposition that a word selects, with the classes its object may have."""

    preposition: str
    kinds: str
    obligatory: bool = False


@dataclass(frozen=True)
class Verb:
    """A verb sense with its frame and the classes of its arguments."""

    lemma: str
    frame: str
    subject: str
    object: str = ""
    slots: tuple[Slot, ...] = ()
    sense: str = "01"
    particle: str = ""
    relation: str = ""
    synonym: str = ""
    antonym: str = ""


@dataclass(frozen=True)
class Noun:
    """A noun with its class and the prepositions it selects."""

    lemma: str
    kind: str
    slots: tuple[Slot, ...] = ()
    hypernym: str = ""
    mass: bool = False
    gender: str = ""


@dataclass(frozen=True)
class Adjective:
    """An adjective; `psych` ones (tired, worried) describe people."""

    lemma: str
    antonym: str = ""
    synonym: str = ""
    psych: bool = False


@dataclass(frozen=True)
class Name:
    """A proper name: its pattern says how the parts are put together."""

    pattern: str
    parts: tuple[str, ...]
    gender: str = "Neut"


@dataclass(frozen=True)
class WordStock:
    """The open-class words of one part of the lexicon, the frequent ones first."""

    verbs: dict[str, tuple[Verb, ...]]
    nouns: dict[str, tuple[Noun, ...]]
    adjectives: tuple[Adjective, ...]
    adverbs: tuple[str, ...]
    surnames: tuple[str, ...]
    places: tuple[str, ...]
    companies: tuple[str, ...]
    demonyms: tuple[str, ...]
    first_names: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Lexicon:
    """A seed's lexicon: the words of every part, and the words kept for dev and test."""

    shared: WordStock
    reserved: WordStock
    verbs_by_lemma: dict[str, Verb] = field(default_factory=dict)
    nouns_by_lemma: dict[str, Noun] = field(default_factory=dict)
    adjectives_by_lemma: dict[str, Adjective] = field(default_factory=dict)


def _slots(column: str) -> tuple[Slot, ...]:
    if column == "-":
        return ()
    result = []
    for item in column.split(","):
        preposition, kinds = item.split(":")
        result.append(Slot(preposition, kinds.rstrip("!"), kinds.endswith("!")))
    return tuple(result)


def _marks(column: str) -> dict[str, str]:
    marks: dict[str, str] = {}
    if column != "-":
        for item in column.split(","):
            key, _, value = item.partition("=")
            marks[key] = value or "yes"
    return marks


def known_verbs() -> list[Verb]:
    """Return the hand-made verbs, in the order of the table."""
    verbs = []
    for row in wordlists.VERBS.strip().splitlines():
        word, frame, subject, object_, slots, marks_column = row.split()
        lemma, _, particle = word.partition("+")
        lemma, _, sense = lemma.partition(".")
        marks = _marks(marks_column)
        verbs.append(
            Verb(
                lemma,
                frame,
                subject,
                object_.replace("-", ""),
                _slots(slots),
                sense or "01",
                particle,
                marks.get("rel", ""),
                marks.get("syn", ""),
                marks.get("ant", ""),
            )
        )
    return verbs


def known_nouns() -> list[Noun]:
    """Return the hand-made nouns, in the order of the table."""
    nouns = []
    for row in wordlists.NOUNS.strip().splitlines():
        columns = row.split()
        marks = _marks(",".join(columns[3:]) or "-")
        gender = "Masc" if "m" in marks else "Fem" if "f" in marks else ""
        hypernym = marks.get("hyp", "")
        slots = _slots(columns[2]) if columns[2].find(":") > 0 else ()
        nouns.append(Noun(columns[0], columns[1], slots, hypernym, "mass" in marks, gender))
    return nouns


def known_adjectives() -> list[Adjective]:
    """Return the hand-made adjectives, in the order of the table."""
    adjectives = []
    for row in wordlists.ADJECTIVES.strip().splitlines():
        lemma, column = row.split()
        marks = _marks(column)
        adjectives.append(
            Adjective(lemma, marks.get("ant", ""), marks.get("syn", ""), "psych" in marks)
        )
    return adjectives


class Inventor:
    """Invents words from syllables; no word is given twice."""

    def __init__(self, draws: Draws, *, known: Sequence[str]) -> None:
        """Invent from the given draws, but none of the known words."""
        self._draws = draws
        self._taken = set(known)

    def stem(self, *, long: float = 0.3) -> str:
        """Return a new stem; `long` is the probability of two syllables."""
        while True:
            stem = self._syllable()
            if self._draws.chance(long):
                opening = self._draws.choice(_ONSETS) + self._draws.choice(_NUCLEI[:10])
                stem = opening + stem
            if (
                len(stem) > 3
                and stem not in self._taken
                and not any(part in stem for part in _AVOIDED)
            ):
                self._taken.add(stem)
                return stem

    def _syllable(self) -> str:
        choice = self._draws.choice
        return choice(_ONSETS) + choice(_NUCLEI) + choice(_CODAS)

    def name(self, tails: Sequence[str], *, bare: float = 0.25) -> str:
        """Return a new name, mostly with one of the endings."""
        stem = self.stem(long=0.25)
        if self._draws.chance(bare):
            return stem.capitalize()
        return (stem + self._draws.choice(tails)).capitalize()


def _invent(inventor: Inventor, draws: Draws, *, size: int) -> WordStock:
    """Invent a stock of words; `size` scales every list."""
    verbs: dict[str, list[Verb]] = {"trans": [], "intr": [], "unac": []}
    nouns: dict[str, list[str]] = {kind: [] for kind in KINDS}
    adjectives: list[Adjective] = []
    adverbs: list[str] = []
    for _ in range(size):
        # Half of the stems are used as nouns and as verbs, some as adjectives too.
        stem = inventor.stem()
        verb = _invented_verb(stem, draws)
        verbs[verb.frame].append(verb)
        if draws.chance(0.6):
            nouns[draws.choice("TTAE")].append(stem)
        if draws.chance(0.1):
            adjectives.append(Adjective(stem))
        if draws.chance(0.3):
            nouns["P"].append(stem + "er")
        if draws.chance(0.3):
            nouns["A"].append(stem + draws.choice(("ment", "ation", "al", "y", "ing")))
        if draws.chance(0.15):
            adjectives.append(Adjective(stem + draws.choice(("able", "ive", "y"))))
    for _ in range(size):
        stem = inventor.stem()
        nouns[draws.choice("TTTPLOA")].append(stem)
        if draws.chance(0.35):
            verb = _invented_verb(stem, draws)
            verbs[verb.frame].append(verb)
        if draws.chance(0.2):
            nouns["P"].append(stem + draws.choice(("ist", "ist", "ic", "al")))
        if draws.chance(0.5):
            endings = ("ful", "less", "ous", "ic", "al", "ish", "y", "ly", "ly", "er", "ed", "ing")
            adjective = stem + draws.choice(endings)
            adjectives.append(Adjective(adjective))
            if adjective.endswith("ly"):
                # As with `daily`, the adverb has the same form.
                adverbs.append(adjective)
            elif draws.chance(0.5) and not adjective.endswith(("er", "ed", "ing")):
                adverbs.append(_adverb(adjective))
        elif draws.chance(0.25):
            adjectives.append(Adjective(stem))
            adverbs.append(stem if draws.chance(0.4) else stem + "ly")
    nouns_frozen = {
        kind: tuple(Noun(lemma, kind) for lemma in draws.shuffled(nouns[kind])) for kind in KINDS
    }
    surnames = [inventor.name(_SURNAME_TAILS) for _ in range(size)]
    places = [inventor.name(_PLACE_TAILS) for _ in range(size * 2 // 3)]
    companies = [inventor.name(_COMPANY_TAILS) for _ in range(size // 2)]
    demonyms = tuple(
        inventor.name(["ian", "ish", "ese", "an"], bare=0.15) for _ in range(size // 2)
    )
    first = {
        gender: tuple(inventor.name(tails, bare=0.0) for _ in range(size // 5))
        for gender, tails in _FIRST_TAILS.items()
    }
    # A third of each list of names is lent to the other lists: the same name for people, places
    # and companies, so that only the context tells them apart.
    third = size // 3
    return WordStock(
        {frame: tuple(draws.shuffled(items)) for frame, items in verbs.items()},
        nouns_frozen,
        tuple(draws.shuffled(adjectives)),
        tuple(draws.shuffled(adverbs)),
        tuple(draws.shuffled(surnames + places[:third] + companies[: third // 2])),
        tuple(draws.shuffled(places + surnames[:third] + companies[third // 2 : third])),
        tuple(draws.shuffled(companies + surnames[:third] + places[: third // 2])),
        demonyms,
        first,
    )


def _invented_verb(stem: str, draws: Draws) -> Verb:
    draw = draws.number(0, 9)
    if draw < 7:
        return Verb(stem, "trans", "P", draws.choice(("T", "T", "A", "TA")))
    if draw < 9:
        slot = Slot(draws.choice(("on", "with", "for", "at")), draws.choice("TA"), True)
        return Verb(stem, "intr", "P", "", (slot,))
    return Verb(stem, "unac", "TA")


def _adverb(adjective: str) -> str:
    if adjective.endswith("y"):
        return adjective[:-1] + "ily"
    if adjective.endswith("ic"):
        return adjective + "ally"
    return adjective + "ly"


def _in_several_classes(
    verbs: list[Verb], nouns: list[Noun], *, adjectives: list[Adjective]
) -> dict[str, int]:
    """Count for each lemma the word classes it belongs to."""
    counts: dict[str, int] = {}
    adverbs = wordlists.MANNER_ADVERBS.split() + wordlists.MIDDLE_ADVERBS.split()
    for lemmas in (
        [verb.lemma for verb in verbs],
        [noun.lemma for noun in nouns],
        [adjective.lemma for adjective in adjectives],
        adverbs,
    ):
        for lemma in dict.fromkeys(lemmas):
            counts[lemma] = counts.get(lemma, 0) + 1
    return counts


Entry = TypeVar("Entry", Verb, Noun, Adjective)


def _ambiguous_first(entries: list[Entry], counts: dict[str, int]) -> list[Entry]:
    """Put the words of several classes first, so that they are the frequent ones."""
    return sorted(entries, key=lambda entry: counts[entry.lemma] < 2)


def build_lexicon(seed: int) -> Lexicon:
    """Build the lexicon of a seed: the invented half differs from seed to seed."""
    draws = Draws(f"{seed}:lexicon")
    verbs, nouns, adjectives = known_verbs(), known_nouns(), known_adjectives()
    known = [entry.lemma for entry in (*verbs, *nouns, *adjectives)]
    inventor = Inventor(draws, known=known + wordlists.MANNER_ADVERBS.split())
    invented = _invent(inventor, draws, size=150)
    reserved = _invent(inventor, draws, size=240)
    several = _in_several_classes(verbs, nouns, adjectives=adjectives)
    by_frame: dict[str, tuple[Verb, ...]] = {}
    for frame in ("intr", "unac", "trans", "psych", "ditr", "that", "toinf", "objinf"):
        items = [verb for verb in verbs if verb.frame == frame]
        by_frame[frame] = (
            *_ambiguous_first(draws.shuffled(items), several),
            *invented.verbs.get(frame, ()),
        )
    by_kind = {
        kind: (
            *_ambiguous_first(
                draws.shuffled([noun for noun in nouns if noun.kind == kind]), several
            ),
            *invented.nouns[kind],
        )
        for kind in KINDS
    }
    shared = WordStock(
        by_frame,
        by_kind,
        (*_ambiguous_first(draws.shuffled(adjectives), several), *invented.adjectives),
        (*draws.shuffled(wordlists.MANNER_ADVERBS.split()), *invented.adverbs),
        (*draws.shuffled(wordlists.SURNAMES.split()), *invented.surnames),
        (*draws.shuffled(wordlists.PLACES.split()), *invented.places),
        (*draws.shuffled(wordlists.COMPANIES.split()), *invented.companies),
        (*wordlists.DEMONYMS.split(), *invented.demonyms),
        {
            "Fem": (*wordlists.FEMALE_NAMES.split(), *invented.first_names["Fem"]),
            "Masc": (*wordlists.MALE_NAMES.split(), *invented.first_names["Masc"]),
        },
    )
    return Lexicon(
        shared,
        reserved,
        {verb.lemma + verb.particle: verb for verb in reversed(verbs)},
        {noun.lemma: noun for noun in reversed(nouns)},
        {adjective.lemma: adjective for adjective in adjectives},
    )


class Vocabulary:
    """Draws words for one part of the corpus, a share of them from the reserved words."""

    def __init__(self, lexicon: Lexicon, draws: Draws, *, novelty: float) -> None:
        """Draw from the lexicon; `novelty` is the share of open-class words that are reserved."""
        self.lexicon = lexicon
        self._draws = draws
        self._novelty = novelty
        self._stocks = tuple(
            (
                {key: Ranked(items) for key, items in stock.verbs.items()},
                {key: Ranked(items, 6.0) for key, items in stock.nouns.items()},
                Ranked(stock.adjectives, 8.0),
                Ranked(stock.adverbs),
                {
                    "surname": Ranked(stock.surnames, 30.0),
                    "place": Ranked(stock.places, 30.0),
                    "company": Ranked(stock.companies, 30.0),
                    "demonym": Ranked(stock.demonyms, 15.0),
                    "Fem": Ranked(stock.first_names["Fem"], 15.0),
                    "Masc": Ranked(stock.first_names["Masc"], 15.0),
                },
            )
            for stock in (lexicon.shared, lexicon.reserved)
        )

    def _part(self, share: float = 1.0) -> int:
        return int(self._draws.chance(self._novelty * share))

    def verb(self, frame: str) -> Verb:
        """Draw a verb of a frame."""
        stock = self._stocks[self._part()][0]
        return (stock.get(frame) or self._stocks[0][0][frame]).draw(self._draws)

    def noun(self, kind: str) -> Noun:
        """Draw a noun of a class."""
        return self._stocks[self._part()][1][kind].draw(self._draws)

    def adjective(self) -> Adjective:
        """Draw an adjective."""
        return self._stocks[self._part()][2].draw(self._draws)

    def adverb(self) -> str:
        """Draw an adverb of manner."""
        return self._stocks[self._part()][3].draw(self._draws)

    def name_part(self, kind: str) -> str:
        """Draw a part of a name: surname, place, company, demonym, Fem or Masc (first names)."""
        share = 0.4 if kind in ("Fem", "Masc") else 1.6
        return self._stocks[self._part(share)][4][kind].draw(self._draws)
