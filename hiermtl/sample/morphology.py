"""Inflection: plural nouns, verb forms and degrees of adjectives."""

from hiermtl.sample.wordlists import IRREGULAR_ADJECTIVES, IRREGULAR_NOUNS, IRREGULAR_VERBS

VOWELS = "aeiou"


def _rows(table: str) -> list[list[str]]:
    return [row.split() for row in table.replace("|", "\n").splitlines() if row.strip()]


_VERB_FORMS = {row[0]: (row[1], row[2]) for row in _rows(IRREGULAR_VERBS)}
_PLURALS = {row[0]: row[1] for row in _rows(IRREGULAR_NOUNS)}
_DEGREES = {row[0]: (row[1], row[2]) for row in _rows(IRREGULAR_ADJECTIVES)}
_THIRD_PERSON = {"be": "is", "have": "has", "do": "does", "go": "goes"}
_SYLLABLES_DOUBLED = {"begin", "admit", "quit", "put", "set", "shut", "forget"}
_AN_EXCEPTIONS = ("uni", "use", "eu", "one", "ut")


def _add_s(word: str) -> str:
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return word + "es"
    if word.endswith("y") and word[-2:-1] not in VOWELS:
        return word[:-1] + "ies"
    return word + "s"


def _doubles(word: str) -> bool:
    """Say whether a final consonant is doubled before -ed, -ing, -er and -est."""
    if word in _SYLLABLES_DOUBLED:
        return True
    groups = 0
    for position, letter in enumerate(word):
        if letter in VOWELS and (position == 0 or word[position - 1] not in VOWELS):
            groups += 1
    return (
        groups == 1
        and len(word) >= 3
        and word[-1] not in VOWELS + "wxy"
        and word[-2] in VOWELS
        and word[-3] not in VOWELS
    )


def plural(noun: str) -> str:
    """Return the plural of a noun."""
    return _PLURALS.get(noun) or _add_s(noun)


def third_person(verb: str) -> str:
    """Return the third person singular present of a verb."""
    return _THIRD_PERSON.get(verb) or _add_s(verb)


def _add_ed(verb: str) -> str:
    if verb.endswith("e"):
        return verb + "d"
    if verb.endswith("y") and verb[-2:-1] not in VOWELS:
        return verb[:-1] + "ied"
    return verb + (verb[-1] if _doubles(verb) else "") + "ed"


def past(verb: str) -> str:
    """Return the past tense of a verb."""
    return _VERB_FORMS[verb][0] if verb in _VERB_FORMS else _add_ed(verb)


def past_participle(verb: str) -> str:
    """Return the past participle of a verb."""
    return _VERB_FORMS[verb][1] if verb in _VERB_FORMS else _add_ed(verb)


def present_participle(verb: str) -> str:
    """Return the -ing form of a verb."""
    if verb.endswith("ie"):
        return verb[:-2] + "ying"
    if verb.endswith("e") and not verb.endswith(("ee", "oe", "ye")) and verb != "be":
        return verb[:-1] + "ing"
    return verb + (verb[-1] if _doubles(verb) else "") + "ing"


def has_degrees(adjective: str) -> bool:
    """Say whether an adjective is compared with -er and -est rather than with `more`."""
    if adjective in _DEGREES:
        return True
    return len(adjective) <= 6 and not adjective.endswith(
        ("ed", "ing", "ful", "less", "ous", "al", "ic", "en", "ile", "ive", "st", "ish", "able")
    )


def comparative(adjective: str) -> str:
    """Return the comparative in -er."""
    return _DEGREES[adjective][0] if adjective in _DEGREES else _add_ed_like(adjective, "er")


def superlative(adjective: str) -> str:
    """Return the superlative in -est."""
    return _DEGREES[adjective][1] if adjective in _DEGREES else _add_ed_like(adjective, "est")


def _add_ed_like(word: str, ending: str) -> str:
    if word.endswith("e"):
        return word + ending[1:]
    if word.endswith("y") and word[-2:-1] not in VOWELS:
        return word[:-1] + "i" + ending
    return word + (word[-1] if _doubles(word) else "") + ending


def indefinite_article(next_word: str) -> str:
    """Return `a` or `an`, by the letters the next word starts with."""
    lower = next_word.lower()
    if lower.startswith("hour"):
        return "an"
    if len(next_word) == 3 and next_word.isupper():
        return "an" if next_word[0] in "AEFHILMNORSX" else "a"
    if lower[:1] in VOWELS and not lower.startswith(_AN_EXCEPTIONS):
        return "an"
    return "a"
