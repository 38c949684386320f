"""Plans clauses: which predicate, which arguments, which form."""

from dataclasses import replace

from hiermtl.sample import wordlists
from hiermtl.sample.draws import Draws
from hiermtl.sample.lexicon import Slot, Verb, Vocabulary
from hiermtl.sample.meaning import Adverbial, Clause, Nominal, Phrase
from hiermtl.sample.nouns import NounPlanner
from hiermtl.sample.participants import Discourse

_WEEKDAYS = wordlists.WEEKDAYS.split()
_MIDDLE = wordlists.MIDDLE_ADVERBS.split()
_FRONT = wordlists.SENTENCE_ADVERBS.split()
_MODALS = ("will", "can", "may", "could", "would", "should", "must", "might")
_FRAMES = (
    ("trans", 34.0),
    ("intr", 13.0),
    ("unac", 5.0),
    ("psych", 3.0),
    ("ditr", 6.0),
    ("that", 9.0),
    ("toinf", 8.0),
    ("objinf", 4.0),
    ("adjective", 8.0),
    ("noun", 5.0),
    ("phrase", 2.0),
    ("there", 3.0),
)
_SUBORDINATORS = ("because", "when", "after", "before", "if", "although", "while", "since")
_CONTRACTIONS = 0.6


class Planner(NounPlanner):
    """Plans the clauses of one document."""

    def __init__(self, vocabulary: Vocabulary, draws: Draws, *, discourse: Discourse) -> None:
        """Plan with these words, about these participants."""
        super().__init__(vocabulary, draws, discourse=discourse)
        trans = vocabulary.lexicon.shared.verbs["trans"]
        self._related = [verb for verb in trans if verb.relation]
        self._topic = {frame: [vocabulary.verb(frame) for _ in range(6)] for frame in _VERBAL}

    def _verb(self, frame: str) -> Verb:
        if frame == "trans" and self.draws.chance(0.06):
            return self.draws.choice(self._related)
        if self.draws.chance(0.35):
            return self.draws.choice(self._topic[frame])
        return self.vocabulary.verb(frame)

    def clause(self, *, depth: int = 0, subject: Nominal | None = None) -> Clause:
        """Return a finite clause; deeper clauses are plainer. A given subject is a person."""
        frame = self.draws.weighted(_FRAMES)
        if depth >= 1 and frame in ("that", "there"):
            frame = "trans"
        if depth >= 2 and frame in ("toinf", "objinf"):
            frame = "intr"
        if subject is not None and frame in ("unac", "psych", "there"):
            frame = "trans"
        spec = self._core(frame, depth=depth, subject=subject)
        return self._dress(spec, frame, depth=depth)

    def _core(self, frame: str, *, depth: int, subject: Nominal | None) -> Clause:
        if frame in ("adjective", "noun", "phrase", "there"):
            return self._verbless(frame, depth=depth, subject=subject)
        verb = self._verb(frame)
        if subject is not None:
            for _ in range(20):
                if "P" in verb.subject:
                    break
                verb = self._verb(frame)
            else:
                return self._verbless("adjective", depth=depth, subject=subject)
        spec = Clause(verb, subject or self.fill(verb.subject, depth=depth, subject=True))
        if verb.object:
            if frame == "ditr":
                spec = replace(
                    spec,
                    recipient=self.fill("P", depth=depth + 1),
                    object=self.fill(verb.object, depth=depth + 1, pronouns=False),
                    recipient_first=self.draws.chance(0.5),
                )
            else:
                spec = replace(spec, object=self.fill(verb.object, depth=depth))
        if frame != "ditr":
            spec = replace(spec, phrases=self._slots(verb.slots, frame, depth=depth))
        if frame == "psych" and depth < 2 and self.draws.chance(0.35):
            inner = replace(self.infinitive(depth=depth + 1), shape="ing")
            return replace(spec, subject=None, subject_clause=inner)
        if frame == "that":
            spec = self._reported(spec, depth=depth)
        elif frame in ("toinf", "objinf"):
            inner = self.infinitive(depth=depth + 1)
            spec = replace(spec, complement=inner)
        return spec

    def _slots(self, slots: tuple[Slot, ...], frame: str, *, depth: int) -> tuple[Phrase, ...]:
        phrases = []
        for position, slot in enumerate(slots):
            if slot.obligatory or self.draws.chance(0.3):
                number = (2 if frame == "trans" else 1) + position
                nominal = self.fill(slot.kinds, depth=depth + 1)
                phrases.append(Phrase(slot.preposition, nominal, f"ARG{number}"))
        return tuple(phrases[:2])

    def infinitive(self, *, depth: int) -> Clause:
        """Return an infinitive clause without a subject, of what a person can do."""
        frame = self.draws.weighted((("trans", 5.0), ("intr", 2.0), ("ditr", 1.0)))
        verb = self._person_verb(frame)
        person = Nominal("gap", "P")
        spec = self._core_of(verb, frame, subject=person, depth=depth)
        return replace(spec, subject=None, shape="to")

    def _person_verb(self, frame: str) -> Verb:
        for _ in range(30):
            verb = self._verb(frame)
            if "P" in verb.subject:
                return verb
        return self.vocabulary.lexicon.verbs_by_lemma["read"]

    def _core_of(self, verb: Verb, frame: str, *, subject: Nominal, depth: int) -> Clause:
        spec = Clause(verb, subject)
        if verb.frame == "ditr":
            return replace(
                spec,
                recipient=self.fill("P", depth=depth + 1),
                object=self.fill(verb.object, depth=depth + 1, pronouns=False),
                recipient_first=self.draws.chance(0.5),
            )
        if verb.object:
            spec = replace(spec, object=self.fill(verb.object, depth=depth))
        return replace(spec, phrases=self._slots(verb.slots, frame, depth=depth))

    def _reported(self, spec: Clause, *, depth: int) -> Clause:
        inner = self.clause(depth=depth + 1)
        assert spec.verb is not None
        if spec.verb.lemma in ("say", "claim", "admit", "warn") and self.draws.chance(0.3):
            return replace(spec, complement=inner, quoted=True)
        mark = "that" if self.draws.chance(0.55) else ""
        return replace(spec, complement=inner, complement_mark=mark)

    def _verbless(self, frame: str, *, depth: int, subject: Nominal | None) -> Clause:
        """Return a clause with `be` or a verb like it."""
        tense = "Past" if self.draws.chance(0.5) else "Pres"
        if frame == "there":
            nominal = self.generic(self.draws.choice("TEAP"), depth=depth, indefinite=True)
            return Clause(
                predicate=nominal, existential=True, tense=tense, adjuncts=self.place(0.6)
            )
        kinds = self.draws.choice(("P", "P", "T", "A", "O", "E"))
        subject = subject or self.fill(kinds, depth=depth, subject=True)
        if frame == "adjective":
            quality = self.quality(person=subject.kind == "P")
            copula = "be"
            if quality.degree == "Pos" and self.draws.chance(0.2):
                copula = self.draws.choice(("become", "seem", "remain", "feel", "look"))
            return Clause(subject=subject, predicate=quality, copula=copula, tense=tense)
        if frame == "phrase" or subject.kind not in "PO":
            spot = self.place(1.0)[0]
            return Clause(subject=subject, predicate=spot, tense=tense)
        predicate = self.generic(subject.kind, depth=depth, indefinite=True, number=subject)
        copula = "become" if self.draws.chance(0.15) else "be"
        return Clause(subject=subject, predicate=predicate, copula=copula, tense=tense)

    def _dress(self, spec: Clause, frame: str, *, depth: int) -> Clause:
        """Choose the tense, the voice and the adjuncts of a clause."""
        chance = self.draws.chance
        spec = replace(spec, contracted=chance(_CONTRACTIONS))
        if spec.verb is not None or spec.copula != "be":
            spec = replace(spec, tense="Past" if chance(0.5) else "Pres")
        if chance(0.13):
            spec = replace(spec, modal=self.draws.choice(_MODALS), tense="Pres")
        elif chance(0.17):
            spec = replace(spec, perfect=True)
        elif spec.verb is not None and frame not in ("that", "psych") and chance(0.2):
            spec = replace(spec, progressive=True)
        if chance(0.08) and not spec.existential:
            spec = replace(spec, negated=True)
        if frame in ("trans", "psych", "ditr") and not spec.progressive:
            spec = self._voice(spec, frame)
        if chance(0.1):
            spec = replace(spec, middle_adverb=self.draws.choice(_MIDDLE))
        plain = spec.verb is not None and frame not in ("that", "toinf", "objinf", "psych")
        if plain and chance(0.14):
            spec = replace(spec, manner_adverb=self.vocabulary.adverb())
        if frame not in ("that", "toinf", "objinf", "there") and depth < 2:
            spec = self._circumstances(spec, depth=depth)
        if spec.verb is not None and spec.verb.particle and not spec.passive:
            object_ = spec.object
            late = object_ is not None and object_.form == "pronoun"
            plain = object_ is not None and not object_.phrases and object_.relative is None
            spec = replace(spec, particle_late=late or (plain and chance(0.4)))
        return spec

    def _voice(self, spec: Clause, frame: str) -> Clause:
        object_, subject = spec.object, spec.subject
        if object_ is None or subject is None or subject.form == "gap":
            return spec
        if frame == "psych":
            # The participles of these verbs are adjectives unless an agent follows.
            return replace(spec, passive=True) if self.draws.chance(0.5) else spec
        if not self.draws.chance(0.2):
            return spec
        shown = self.draws.chance(0.5) and subject.form != "pronoun"
        return replace(spec, passive=True, agent_shown=shown, recipient_first=False)

    def _circumstances(self, spec: Clause, *, depth: int) -> Clause:
        chance = self.draws.chance
        if chance(0.13):
            spec = replace(spec, time=self.time(past=spec.tense == "Past" or spec.perfect))
        elif chance(0.12):
            spec = replace(spec, adjuncts=(*spec.adjuncts, self.date()))
        elif chance(0.07) and not spec.phrases:
            spec = replace(spec, adjuncts=(*spec.adjuncts, *self.place(1.0)))
        if depth == 0 and chance(0.12):
            if chance(0.6):
                word = self.draws.choice(_FRONT)
                if (word == "tomorrow" and spec.tense == "Past") or (
                    word == "yesterday" and spec.tense != "Past"
                ):
                    word = "today"
                upos = "NOUN" if word in ("yesterday", "today", "tomorrow") else "ADV"
                front = Adverbial((word,), upos, "ARGM-TMP")
                spec = replace(spec, front=front, time=None)
            else:
                phrase = self.date() if chance(0.5) else self.place(1.0)[0]
                spec = replace(spec, front_phrase=phrase)
        return spec

    def time(self, *, past: bool) -> Adverbial:
        """Return a bare time expression, of the past or of the present and future."""
        draws = self.draws
        draw = draws.number(0, 4)
        if draw == 0:
            word = draws.choice(("yesterday", "today") if past else ("today", "tomorrow"))
            return Adverbial((word,), "NOUN", "ARGM-TMP")
        if draw == 1:
            return Adverbial((draws.choice(_WEEKDAYS),), "PROPN", "ARGM-TMP")
        word = draws.choice(("last", "this") if past else ("next", "every"))
        unit = draws.choice(("week", "year", "month", "morning", "night", "spring", "fall"))
        return Adverbial((word, unit), "NOUN", "ARGM-TMP")

    def relative_clause(self, kind: str, *, depth: int) -> Clause | None:
        """Return a relative or participial clause for a noun of a class, if one fits."""
        draws = self.draws
        person = kind == "P"
        if person and draws.chance(0.6):
            verb = self._person_verb(draws.choice(("trans", "trans", "intr")))
            gap = Nominal("gap", kind, word=draws.choice(("who", "who", "that")))
            spec = self._core_of(verb, verb.frame, subject=gap, depth=depth + 1)
            if draws.chance(0.2):
                return replace(spec, shape="ing", subject=Nominal("gap", kind))
            return replace(spec, tense=draws.choice(("Past", "Pres")))
        for _ in range(12):
            verb = self._verb("trans")
            if kind not in verb.object or any(slot.obligatory for slot in verb.slots):
                continue
            subject = self.fill(verb.subject, depth=depth + 2, subject=True)
            if draws.chance(0.3) and subject.form != "pronoun":
                gap = Nominal("gap", kind)
                return Clause(verb, subject, gap, passive=True, shape="participle")
            words = ("who", "that", "") if person else ("which", "that", "that", "")
            word = draws.choice(words)
            if word == "" and subject.form == "noun" and not subject.determiner:
                word = "that"
            gap = Nominal("gap", kind, word=word)
            return Clause(verb, subject, gap, tense=draws.choice(("Past", "Pres")))
        return None

    def combined(self) -> Clause:
        """Return a whole declarative clause, often with a second clause."""
        draws = self.draws
        spec = self.clause()
        draw = draws.number(0, 99)
        if spec.quoted or draw >= 30:
            return spec
        subject = spec.subject
        person = subject is not None and subject.kind == "P" and not spec.passive
        if draw < 12:
            inner = replace(self.clause(depth=1), front=None)
            mark = draws.choice(_SUBORDINATORS)
            first = draws.chance(0.35)
            if first:
                spec = replace(spec, front=None, front_phrase=None)
            return replace(spec, subordinate=inner, subordinate_mark=mark, subordinate_first=first)
        if draw < 15 and person and spec.complement is None:
            return replace(spec, subordinate=self.infinitive(depth=1), subordinate_mark="to")
        if draw < 18 and person and spec.complement is None:
            inner = replace(self.infinitive(depth=1), shape="ing")
            mark = draws.choice(("by", "without", "after", "before", ""))
            return replace(spec, subordinate=inner, subordinate_mark=mark)
        if draw < 24:
            inner = self.clause(depth=1)
            joiner = draws.choice(("and", "and", "but", "or", "so", ";"))
            joiner = "but" if joiner in ("or", "so") else joiner
            return replace(spec, coordinate=inner, coordinator=joiner)
        if person and spec.complement is None and subject is not None:
            verb = self._person_verb(draws.choice(("trans", "intr")))
            inner = self._core_of(verb, verb.frame, subject=subject, depth=1)
            inner = replace(
                inner,
                subject=None,
                tense=spec.tense,
                shape="finite",
                modal="",
            )
            if spec.modal or spec.perfect or spec.progressive or spec.negated:
                return spec
            return replace(spec, coordinate=inner, coordinator=draws.choice(("and", "but")))
        return spec


_VERBAL = ("trans", "intr", "unac", "psych", "ditr", "that", "toinf", "objinf")
