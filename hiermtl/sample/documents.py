"""Documents: sentences about the same participants, in paragraphs."""

from collections.abc import Iterator
from dataclasses import replace

from hiermtl.sample import wordlists
from hiermtl.sample.clauses import Clauses
from hiermtl.sample.derivation import Derivation, SampleDocument, derive
from hiermtl.sample.draws import Draws
from hiermtl.sample.lexicon import Lexicon, Vocabulary
from hiermtl.sample.meaning import Clause, Nominal, Phrase
from hiermtl.sample.participants import Discourse, new_participant
from hiermtl.sample.planner import Planner
from hiermtl.sample.tree import Chunk, Node, punctuation

MAXIMUM_WORDS = 45
_GREETINGS = wordlists.GREETINGS.split()
_INTERJECTIONS = ("Yes", "No", "Well", "Oh", "Hello", "Hi")


def sample_documents(
    lexicon: Lexicon, *, seed: int, split: str, sentences: int, novelty: float
) -> Iterator[SampleDocument]:
    """Yield documents of a split until they hold the given number of sentences.

    `novelty` is the share of open-class words that come from the reserved part of the lexicon.
    """
    draws = Draws(f"{seed}:{split}")
    vocabulary = Vocabulary(lexicon, draws, novelty=novelty)
    left = sentences
    number = 0
    while left > 0:
        size = min(left, draws.number(5, 15))
        if 0 < left - size < 5 and left <= 15:
            size = left
        number += 1
        yield _document(f"{split}-{number:04d}", size, vocabulary=vocabulary, draws=draws)
        left -= size


def _document(doc_id: str, size: int, *, vocabulary: Vocabulary, draws: Draws) -> SampleDocument:
    kinds = "PPO" + draws.choice(("PL", "OL", "L", "LL"))
    participants = [
        new_participant(kind, f"{kind}{position}", vocabulary=vocabulary, draws=draws)
        for position, kind in enumerate(kinds)
    ]
    for position, kind in enumerate("PTA"):
        key = f"{kind}{position + 10}"
        participants.append(
            new_participant(kind, key, vocabulary=vocabulary, draws=draws, named=False)
        )
    discourse = Discourse(participants, draws)
    planner = Planner(vocabulary, draws, discourse=discourse)
    sentences: list[Derivation] = []
    since_break = 0
    while len(sentences) < size:
        starts = not sentences or (since_break >= 3 and draws.chance(0.3))
        discourse.next_sentence()
        sentence = _sentence(planner, draws, starts_paragraph=starts)
        if len(sentence.words) > MAXIMUM_WORDS:
            continue
        since_break = 1 if starts else since_break + 1
        sentences.append(sentence)
    return SampleDocument(doc_id, tuple(sentences), _clusters(sentences))


def _clusters(sentences: list[Derivation]) -> tuple[tuple[tuple[int, int, int], ...], ...]:
    clusters: dict[str, list[tuple[int, int, int]]] = {}
    for number, sentence in enumerate(sentences):
        for mention in sentence.mentions:
            found = clusters.setdefault(mention.referent, [])
            found.append((number, mention.start, mention.end))
    return tuple(tuple(mentions) for mentions in clusters.values() if len(mentions) > 1)


def realise(spec: Clause, *, starts_paragraph: bool = False) -> Derivation:
    """Return the derivation of a sentence that means the given clause."""
    builder = Clauses()
    root = builder.sentence(spec)
    return derive(root, builder.sketch, meaning=spec, starts_paragraph=starts_paragraph)


def _sentence(planner: Planner, draws: Draws, *, starts_paragraph: bool) -> Derivation:
    draw = draws.number(0, 999)
    if draw < 50:
        return _fragment(planner, draws, starts_paragraph=starts_paragraph)
    if draw < 100:
        spec = _question(planner, draws)
    elif draw < 150:
        spec = _imperative(planner, draws)
    elif draw < 153:
        spec = _gapping(planner, draws)
    elif draw < 168:
        spec = _extraposition(planner, draws)
    else:
        spec = planner.combined()
        if draws.chance(0.02):
            spec = replace(spec, ending="!")
    return realise(spec, starts_paragraph=starts_paragraph)


def _fragment(planner: Planner, draws: Draws, *, starts_paragraph: bool) -> Derivation:
    """A sentence without a verb: a greeting, a headline, a date line."""
    builder = Clauses()
    draw = draws.number(0, 9)
    meaning: Clause | None = None
    if draw < 2:
        word = draws.choice(_GREETINGS)
        root = Node(word, "INTJ", "UH", lemma=word.lower(), chunk=Chunk("INTJ"))
        if word == "Thanks":
            root = Node(word, "NOUN", "NNS", lemma="thanks", feats="Number=Plur")
            root.chunk = Chunk("NP")
        root.follow(punctuation(draws.choice((".", "!"))))
    elif draw < 3:
        spec = planner.clause()
        meaning = spec
        root = builder.sentence(replace(spec, front=None, front_phrase=None))
        word = draws.choice(_INTERJECTIONS)
        comma = punctuation(",")
        opener = Node(word, "INTJ", "UH", lemma=word.lower(), role="discourse")
        opener.chunk = Chunk("INTJ")
        opener.head = comma.head = root
        root.before[:0] = [opener, comma]
    elif draw < 5:
        nominal = planner.fill(draws.choice("PL"), depth=1, pronouns=False)
        root = builder.nominal(nominal, role="root")
        root.follow(punctuation(draws.choice((".", "?", "!"))))
    else:
        nominal = planner.generic(draws.choice("AE"), depth=1, indefinite=True)
        nominal = replace(nominal, determiner="", phrases=(*nominal.phrases, *planner.place(0.6)))
        root = builder.nominal(nominal, role="root")
        if draws.chance(0.4):
            root.after.append(_today(root))
        if draws.chance(0.5):
            _title_case(root)
    root.role = "root"
    return derive(root, builder.sketch, meaning=meaning, starts_paragraph=starts_paragraph)


def _title_case(root: Node) -> None:
    """Capitalise the open-class words of a headline, as newspapers do."""
    for node in root.walk():
        if node.upos in ("NOUN", "ADJ", "VERB", "ADV"):
            node.form = node.form[:1].upper() + node.form[1:]


def _today(root: Node) -> Node:
    node = Node("today", "NOUN", "NN", feats="Number=Sing", role="nmod:tmod", chunk=Chunk("NP"))
    node.head = root
    return node


def _question(planner: Planner, draws: Draws) -> Clause:
    spec = planner.clause(depth=1)
    while spec.quoted or spec.existential or spec.subject is None:
        spec = planner.clause(depth=1)
    spec = replace(spec, front=None, front_phrase=None, ending="?", middle_adverb="")
    draw = draws.number(0, 9)
    verb = spec.verb
    if draw < 3:
        return replace(spec, mood="polar")
    if draw < 5:
        word = draws.choice(("when", "where", "why", "how"))
        return replace(spec, mood="content", asked=word, time=None, adjuncts=(), negated=False)
    if draw < 7 and verb is not None and verb.frame == "intr" and spec.phrases:
        return replace(_stranded(spec, draws), negated=False)
    if verb is not None and verb.frame in ("trans", "ditr") and draw < 9:
        word = "who" if verb.object == "P" else "what"
        asked = Nominal("pronoun", word=word)
        return replace(
            spec, mood="content", asked="object", object=asked, passive=False, negated=False
        )
    if not spec.passive and spec.subject is not None and spec.subject.kind == "P":
        asked = Nominal("pronoun", "P", word="who")
        return replace(spec, mood="content", subject=asked, contracted=False, negated=False)
    return replace(spec, mood="polar")


def _stranded(spec: Clause, draws: Draws) -> Clause:
    first = spec.phrases[0]
    word = "who" if first.nominal.kind == "P" else "what"
    phrase = Phrase(first.preposition, Nominal("pronoun", word=word), first.role)
    return replace(
        spec, mood="content", asked="phrase", phrases=(phrase,), manner_adverb="", adjuncts=()
    )


def _imperative(planner: Planner, draws: Draws) -> Clause:
    spec = planner.infinitive(depth=0)
    return replace(
        spec,
        shape="finite",
        mood="imperative",
        negated=draws.chance(0.25),
        contracted=draws.chance(0.7),
        ending=draws.choice((".", ".", "!")),
    )


def _gapping(planner: Planner, draws: Draws) -> Clause:
    """Mary likes tea and John coffee: the second verb is elided."""
    verb = planner.vocabulary.lexicon.verbs_by_lemma[draws.choice(("buy", "like", "read", "find"))]
    first, second = (planner.fill("P", depth=2, pronouns=False) for _ in range(2))
    things = [planner.generic("T", depth=3) for _ in range(2)]
    inner = Clause(verb, second, things[1])
    return Clause(verb, first, things[0], coordinate=inner, gapped=True)


def _extraposition(planner: Planner, draws: Draws) -> Clause:
    """Somebody arrived yesterday who ...: the relative clause stands after the predicate."""
    if draws.chance(0.35):
        for _ in range(20):
            spec = planner.clause(depth=1)
            if spec.verb is not None and spec.verb.frame == "intr" and spec.phrases:
                plain = replace(spec, front=None, front_phrase=None, ending="?", negated=False)
                return replace(_stranded(plain, draws), middle_adverb="")
    verb = planner.vocabulary.lexicon.verbs_by_lemma[draws.choice(("arrive", "disappear"))]
    subject = planner.generic("P", depth=2, indefinite=True)
    relative = planner.relative_clause("P", depth=2)
    while relative is None or relative.shape != "finite" or not _overt(relative):
        relative = planner.relative_clause("P", depth=2)
    subject = replace(subject, relative=relative, extraposed=True, phrases=())
    phrases = planner.place(1.0) if verb.slots else ()
    return Clause(verb, subject, phrases=phrases, time=planner.time(past=True))


def _overt(relative: Clause) -> bool:
    return any(
        item is not None and item.form == "gap" and bool(item.word)
        for item in (relative.subject, relative.object)
    )
