"""Plans noun phrases: which referent or noun, which modifiers."""

from dataclasses import replace

from hiermtl.sample import wordlists
from hiermtl.sample.draws import Draws
from hiermtl.sample.lexicon import Adjective, Name, Noun, Slot, Vocabulary
from hiermtl.sample.meaning import Clause, Nominal, Phrase, Quality
from hiermtl.sample.morphology import present_participle
from hiermtl.sample.participants import (
    Discourse,
    marked,
    organisation_name,
    person_name,
    place_name,
)

_PRODUCTS = wordlists.PRODUCT_HEADS.split()
_WEEKDAYS = wordlists.WEEKDAYS.split()
_MONTHS = wordlists.MONTHS.split()
_NUMBERS = (
    "many",
    "many",
    "more",
    "most",
    "few",
    "two",
    "three",
    "four",
    "five",
    "ten",
    "12",
    "30",
    "200",
)
_PEOPLE = (
    Nominal("pronoun", "P", word="", number="Sing", person=1, gender=""),
    Nominal("pronoun", "P", word="", number="Sing", person=2, gender=""),
    Nominal("pronoun", "P", word="", number="Plur", person=1, gender=""),
    Nominal("pronoun", "P", word="", number="Plur", person=3, gender=""),
)
_NAME_MAKERS = {"P": person_name, "O": organisation_name, "L": place_name}
COMPOUNDS = 0.15
_NOUN_RELATIONS = {
    "president": "leads",
    "director": "leads",
    "leader": "leads",
    "head": "leads",
    "member": "member-of",
    "mother": "parent-of",
    "father": "parent-of",
    "native": "born-in",
    "city": "located-in",
    "town": "located-in",
    "village": "located-in",
}


class NounPlanner:
    """Plans the noun phrases of one document."""

    def __init__(self, vocabulary: Vocabulary, draws: Draws, *, discourse: Discourse) -> None:
        """Plan with these words, about these participants."""
        self.vocabulary = vocabulary
        self.draws = draws
        self.discourse = discourse
        self._nouns = {kind: [vocabulary.noun(kind) for _ in range(5)] for kind in "POLTAE"}

    def relative_clause(self, kind: str, *, depth: int) -> Clause | None:
        """Return a relative clause for a noun of a class; the planner of clauses provides it."""
        raise NotImplementedError

    def fill(
        self, kinds: str, *, depth: int, subject: bool = False, pronouns: bool = True
    ) -> Nominal:
        """Return an argument of one of the classes.

        A place that admits one class of names can hold names that several classes share.
        """
        draws = self.draws
        kind = draws.choice(kinds)
        strict = len(kinds) == 1
        draw = draws.number(0, 99)
        present = [
            item
            for item in self.discourse.participants
            if item.kind == kind and not self.discourse.used(item)
        ]
        if present and draw < (48 if kind in "POL" else 18):
            nominal = self.discourse.refer(draws.choice(present), strict=strict)
            if nominal.form == "pronoun" and not pronouns:
                nominal = self.generic(kind, depth=depth)
            return self._extended(nominal, depth=depth)
        if kind == "P" and pronouns and draw < 58:
            if draws.chance(0.15):
                word = draws.choice(("someone", "everyone", "nobody"))
                return Nominal("pronoun", "P", word=word)
            nominal = draws.choice(_PEOPLE)
            return nominal if depth == 0 or nominal.person != 2 else _PEOPLE[3]
        if kind in "POL" and draw < {"P": 72, "O": 82, "L": 88}[kind]:
            return self._passing_name(kind, strict=strict, depth=depth)
        if kind in "TA" and pronouns and strict and draw < 23:
            return Nominal("pronoun", kind, word=draws.choice(("that", "this", "something")))
        if kind in "TAE" and draw < 30:
            return self._product()
        if pronouns and draws.chance(0.05):
            owners = replace(
                self.generic(kind, depth=3), determiner="the", number="Plur", possessor=None
            )
            if owners.noun is not None and not owners.noun.mass:
                word = draws.choice(("some", "all", "none", "one", "any"))
                number = "Plur" if word in ("some", "all") else "Sing"
                owners = replace(owners, numeral="", phrases=())
                return Nominal(
                    "pronoun", kind, word=word, number=number, phrases=(Phrase("of", owners),)
                )
        nominal = self.generic(kind, depth=depth)
        if depth == 0 and draws.chance(0.05):
            second = self.generic(kind, depth=2)
            word = "and" if draws.chance(0.75) else "or"
            nominal = replace(nominal, conjunct=second, conjunction=word)
        return nominal

    def _passing_name(self, kind: str, *, strict: bool, depth: int) -> Nominal:
        """Return the name of somebody who is mentioned only once."""
        full, short = _NAME_MAKERS[kind](self.vocabulary, self.draws)
        name = short if strict and self.draws.chance(0.5) else full
        if not strict and not marked(name):
            return self.generic(kind, depth=depth)
        nominal = Nominal("name", kind, name=name, gender=name.gender)
        if kind != "L" and depth == 0 and strict and self.draws.chance(0.08):
            other = _NAME_MAKERS[kind](self.vocabulary, self.draws)[1]
            second = Nominal("name", kind, name=other, gender=other.gender)
            return replace(nominal, conjunct=second)
        return self._extended(nominal, depth=depth)

    def _extended(self, nominal: Nominal, *, depth: int) -> Nominal:
        """Add an apposition or a relative clause to a name, now and then."""
        if nominal.form != "name" or nominal.conjunct or (depth > 0 and nominal.kind != "L"):
            return nominal
        if nominal.kind == "L" and self.draws.chance(0.05):
            town = self.draws.choice(("city", "town", "village"))
            region = self._passing_name("L", strict=True, depth=2)
            relation = Phrase("in", region, "rel=located-in")
            noun = self.vocabulary.lexicon.nouns_by_lemma[town]
            extra = Nominal("noun", "L", noun=noun, determiner="a", phrases=(relation,))
            return replace(nominal, apposition=replace(extra, referent=nominal.referent))
        if nominal.kind in "PO" and self.draws.chance(0.12):
            extra = self.generic(nominal.kind, depth=1, indefinite=True, number=nominal)
            if nominal.kind == "P" and self.draws.chance(0.5):
                noun = self.vocabulary.lexicon.nouns_by_lemma[
                    self.draws.choice(("president", "director", "leader", "head", "member"))
                ]
                company = self._passing_name("O", strict=True, depth=2)
                relation = Phrase("of", company, f"rel={_NOUN_RELATIONS[noun.lemma]}")
                determiner = "a" if noun.lemma == "member" else "the"
                extra = Nominal("noun", "P", noun=noun, determiner=determiner, phrases=(relation,))
            extra = replace(extra, referent=nominal.referent, relative=None)
            return replace(nominal, apposition=extra)
        if nominal.kind == "P" and self.draws.chance(0.04):
            relative = self.relative_clause("P", depth=1)
            if relative is not None and relative.shape == "finite":
                gap = relative.subject if relative.subject and relative.subject.word else None
                if gap is not None and gap.form == "gap":
                    relative = replace(relative, subject=replace(gap, word="who"))
                    return replace(nominal, relative=relative)
        return nominal

    def _product(self) -> Nominal:
        """Return a named thing that is no person, organisation or place."""
        source = self.draws.choice(("surname", "place", "company"))
        name = Name("single", (self.vocabulary.name_part(source),))
        if self.draws.chance(0.35):
            number = str(self.draws.number(1, 9) * self.draws.choice((1, 10, 100)))
            determiner = self.draws.choice(("a", "the"))
            return Nominal("name", "T", name=name, product=number, determiner=determiner)
        head = self.draws.choice(_PRODUCTS)
        return Nominal("name", "T", name=name, product=head, determiner="the")

    def generic(
        self,
        kind: str,
        *,
        depth: int,
        indefinite: bool = False,
        number: Nominal | None = None,
    ) -> Nominal:
        """Return a noun phrase with a common noun; `number` is an argument it agrees with."""
        draws = self.draws
        chance = draws.chance
        noun = draws.choice(self._nouns[kind]) if chance(0.4) else self.vocabulary.noun(kind)
        if kind == "A" and chance(0.2):
            verb = self.vocabulary.verb("trans")
            if not verb.particle:
                slot = Slot("of", verb.object)
                noun = Noun(present_participle(verb.lemma), "A", (slot,), mass=True)
        while number is not None and noun.gender and noun.gender != number.gender:
            noun = self.vocabulary.noun(kind)
        plural = not noun.mass and chance(0.36)
        if number is not None:
            plural = number.number == "Plur" or (
                number.conjunct is not None and number.conjunction == "and"
            )
        spec = Nominal("noun", kind, noun=noun, number="Plur" if plural else "Sing")
        spec = replace(spec, gender=noun.gender or "Neut")
        spec = self._determined(spec, indefinite=indefinite)
        count = draws.weighted(((0, 56.0), (1, 36.0), (2, 8.0)))
        qualities = tuple(self.quality(person=False, attributive=True) for _ in range(count))
        if count < 2 and chance(0.07):
            qualities = (*qualities, Quality(Adjective(self.vocabulary.name_part("demonym"))))
        if len(qualities) == 2 and qualities[0].adjective == qualities[1].adjective:
            qualities = qualities[:1]
        spec = replace(spec, qualities=qualities)
        if count == 0 and chance(COMPOUNDS):
            stock = self.vocabulary.lexicon.shared.nouns[draws.choice("TAE")]
            spec = replace(spec, compound=draws.choice(stock[:40]))
        elif count == 0 and chance(0.08):
            verb = self.vocabulary.verb("trans")
            if not verb.particle:
                shape = "passive" if chance(0.6) else "progressive"
                spec = replace(spec, participle=verb, participle_shape=shape)
        return self._modified(spec, depth=depth)

    def _determined(self, spec: Nominal, *, indefinite: bool) -> Nominal:
        draws = self.draws
        plural = spec.number == "Plur"
        assert spec.noun is not None
        bare = plural or spec.noun.mass
        if indefinite:
            if plural and draws.chance(0.3):
                return replace(spec, numeral=draws.choice(_NUMBERS))
            return spec if bare else replace(spec, determiner="a")
        draw = draws.number(0, 99)
        if draw < 42:
            spec = replace(spec, determiner="the")
        elif draw < 66:
            spec = spec if bare else replace(spec, determiner="a")
        elif draw < 76:
            words = ("these", "those") if plural else ("this", "that")
            spec = replace(spec, determiner=draws.choice(words))
        elif draw < 90:
            return replace(spec, possessor=self.possessor(spec.kind))
        elif draw < 95:
            words = ("some", "any", "no") if bare else ("every", "some", "no")
            return replace(spec, determiner=draws.choice(words))
        else:
            spec = spec if bare else replace(spec, determiner="the")
        if plural and draws.chance(0.12):
            spec = replace(spec, numeral=draws.choice(_NUMBERS))
        return spec

    def possessor(self, kind: str) -> Nominal:
        """Return the owner of something: a pronoun, mostly, or a name."""
        draws = self.draws
        people = [item for item in self.discourse.participants if item.kind in "PO"]
        if draws.chance(0.5):
            used = [item for item in people if self.discourse.used(item)]
            if used:
                return self.discourse.pronoun(draws.choice(used))
            return draws.choice(_PEOPLE)
        if draws.chance(0.5) and kind in "TA":
            owner = draws.choice(("P", "O", "L"))
            full, _ = _NAME_MAKERS[owner](self.vocabulary, draws)
            if marked(full):
                return Nominal("name", owner, name=full, gender=full.gender)
        noun = self.vocabulary.noun("P")
        plural = "Plur" if draws.chance(0.3) else "Sing"
        return Nominal("noun", "P", noun=noun, determiner="the", number=plural)

    def _modified(self, spec: Nominal, *, depth: int) -> Nominal:
        draws = self.draws
        noun = spec.noun
        assert noun is not None
        if noun.slots and depth < 3 and draws.chance(0.34):
            slot = draws.choice(noun.slots)
            inner = self.fill(slot.kinds, depth=depth + 2, pronouns=False)
            role = ""
            if noun.lemma in _NOUN_RELATIONS and inner.form == "name":
                role = f"rel={_NOUN_RELATIONS[noun.lemma]}"
            return replace(spec, phrases=(Phrase(slot.preposition, inner, role),))
        if spec.kind in "POTA" and depth < 2 and draws.chance(0.07):
            relative = self.relative_clause(spec.kind, depth=depth + 1)
            return replace(spec, relative=relative)
        return spec

    def quality(self, *, person: bool, attributive: bool = False) -> Quality:
        """Return an adjective with its degree; some adjectives only describe persons."""
        draws = self.draws
        adjective = self.vocabulary.adjective()
        while adjective.psych and not person:
            adjective = self.vocabulary.adjective()
        degrees = ("very", "really") if attributive else ("very", "so", "too", "quite", "really")
        draw = draws.number(0, 99)
        if draw < 8:
            return Quality(adjective, "Cmp")
        if draw < 12 and attributive:
            return Quality(adjective, "Sup")
        if draw < 24:
            return Quality(adjective, adverb=draws.choice(degrees))
        return Quality(adjective)

    def place(self, probability: float) -> tuple[Phrase, ...]:
        """Return a phrase of place, with the given probability."""
        draws = self.draws
        if not draws.chance(probability):
            return ()
        word = draws.choice(("in", "in", "in", "near", "at", "outside", "behind"))
        if word == "behind":
            return (Phrase(word, self.generic("T", depth=3), "ARGM-LOC"),)
        return (Phrase(word, self.fill("L", depth=2), "ARGM-LOC"),)

    def date(self) -> Phrase:
        """Return a phrase of time: on Monday, in May, in 1994, after the war."""
        draws = self.draws
        draw = draws.number(0, 4)
        if draw == 0:
            return Phrase("on", _calendar(draws.choice(_WEEKDAYS)), "ARGM-TMP")
        if draw == 1:
            return Phrase("in", _calendar(draws.choice(_MONTHS)), "ARGM-TMP")
        if draw == 2:
            year = str(draws.number(1900, 2020))
            return Phrase("in", Nominal("number", word=year), "ARGM-TMP")
        word = draws.choice(("after", "before", "during", "since"))
        return Phrase(word, self.generic("E", depth=3), "ARGM-TMP")


def _calendar(word: str) -> Nominal:
    return Nominal("calendar", word=word)
