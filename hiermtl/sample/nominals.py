"""Noun phrases: names, nouns with their modifiers, pronouns."""

from hiermtl.sample.lexicon import Name
from hiermtl.sample.meaning import Clause, Nominal, Phrase, Quality
from hiermtl.sample.morphology import (
    comparative,
    has_degrees,
    indefinite_article,
    plural,
    superlative,
)
from hiermtl.sample.tree import Chunk, Mark, Node, Sketch, punctuation
from hiermtl.sample.verbforms import inflected

ENTITY_LABELS = {"P": "PER", "O": "ORG", "L": "LOC"}
_NAME_FEATS = "Number=Sing"
_SURFACE_ADJECTIVES = ("New", "North", "South")

# person, number, gender -> nominative, accusative, possessive
_PERSONAL = {
    (1, "Sing", ""): ("I", "me", "my"),
    (2, "Sing", ""): ("you", "you", "your"),
    (1, "Plur", ""): ("we", "us", "our"),
    (3, "Plur", ""): ("they", "them", "their"),
    (3, "Sing", "Masc"): ("he", "him", "his"),
    (3, "Sing", "Fem"): ("she", "her", "her"),
    (3, "Sing", "Neut"): ("it", "it", "its"),
}
_DETERMINERS = {
    "the": ("the", "DT", "Definite=Def|PronType=Art"),
    "a": ("a", "DT", "Definite=Ind|PronType=Art"),
    "this": ("this", "DT", "Number=Sing|PronType=Dem"),
    "that": ("that", "DT", "Number=Sing|PronType=Dem"),
    "these": ("this", "DT", "Number=Plur|PronType=Dem"),
    "those": ("that", "DT", "Number=Plur|PronType=Dem"),
    "some": ("some", "DT", "PronType=Ind"),
    "any": ("any", "DT", "PronType=Ind"),
    "every": ("every", "DT", "PronType=Tot"),
    "no": ("no", "DT", "PronType=Neg"),
    "which": ("which", "WDT", "PronType=Int"),
    "what": ("what", "WDT", "PronType=Int"),
}
_QUANTIFIERS = {
    "many": ("JJ", "Pos"),
    "few": ("JJ", "Pos"),
    "more": ("JJR", "Cmp"),
    "most": ("JJS", "Sup"),
}
_OTHER_PRONOUNS = {
    "some": ("some", "DT", "PronType=Ind"),
    "any": ("any", "DT", "PronType=Ind"),
    "all": ("all", "DT", "PronType=Tot"),
    "none": ("none", "NN", "Number=Sing|PronType=Neg"),
    "one": ("one", "NN", "Number=Sing|PronType=Ind"),
    "these": ("this", "DT", "Number=Plur|PronType=Dem"),
    "those": ("that", "DT", "Number=Plur|PronType=Dem"),
    "that": ("that", "DT", "Number=Sing|PronType=Dem"),
    "this": ("this", "DT", "Number=Sing|PronType=Dem"),
    "someone": ("someone", "NN", "Number=Sing|PronType=Ind"),
    "nobody": ("nobody", "NN", "Number=Sing|PronType=Neg"),
    "everyone": ("everyone", "NN", "Number=Sing|PronType=Tot"),
    "something": ("something", "NN", "Number=Sing|PronType=Ind"),
    "nothing": ("nothing", "NN", "Number=Sing|PronType=Neg"),
    "who": ("who", "WP", "PronType=Int"),
    "what": ("what", "WP", "PronType=Int"),
}


def personal(nominal: Nominal) -> tuple[str, str, str]:
    """Return the nominative, accusative and possessive forms of a personal pronoun."""
    gender = nominal.gender if (nominal.person, nominal.number) == (3, "Sing") else ""
    number = "Sing" if nominal.person == 2 else nominal.number
    return _PERSONAL[(nominal.person, number, gender)]


class Nominals:
    """Turns arguments into subtrees, and notes what they mention."""

    def __init__(self) -> None:
        """Start a sentence."""
        self.sketch = Sketch()

    def clause(self, spec: Clause, *, role: str, controller: Node | None = None) -> Node:
        """Return the subtree of a clause; the grammar of clauses provides it."""
        raise NotImplementedError

    def nominal(self, spec: Nominal, *, role: str, case: str = "Acc") -> Node:
        """Return the subtree of an argument, marked as a mention."""
        if spec.form == "pronoun":
            head = self._pronoun(spec, case=case)
        elif spec.form == "name":
            head = self._name_phrase(spec)
        elif spec.form == "calendar":
            chunk = Chunk("NP")
            head = Node(spec.word, "PROPN", "NNP", feats=_NAME_FEATS, chunk=chunk)
        elif spec.form == "number":
            feats = "NumForm=Digit|NumType=Card"
            head = Node(spec.word, "NUM", "CD", feats=feats, chunk=Chunk("NP"))
        else:
            head = self._noun_phrase(spec)
        head.role = role
        source = {"pronoun": "PRO", "name": "NAM"}.get(spec.form, "NOM")
        # A name's own stretch of words is marked where the name is built; this is the mention.
        if spec.referent or spec.form == "noun":
            label = ENTITY_LABELS.get(spec.kind, "")
            self.sketch.marks.append(Mark(label, source, spec.referent, head, kind=spec.kind))
        if spec.conjunct:
            second = self.nominal(spec.conjunct, role="conj", case=case)
            second.before.insert(0, Node(spec.conjunction, "CCONJ", "CC", role="cc"))
            second.before[0].head = second
            head.follow(second, "conj")
        return head

    def _pronoun(self, spec: Nominal, *, case: str) -> Node:
        chunk = Chunk("NP")
        if spec.word:
            lemma, xpos, feats = _OTHER_PRONOUNS[spec.word]
            head = Node(spec.word, "PRON", xpos, lemma=lemma, feats=feats, chunk=chunk)
            self._modifiers(head, spec)
            return head
        nominative, accusative, _ = personal(spec)
        feats = f"Number={spec.number}|Person={spec.person}|PronType=Prs"
        if spec.person == 2:
            feats = "Person=2|PronType=Prs"
        if nominative in ("he", "she", "it"):
            feats = f"Gender={spec.gender}|{feats}"
        feats = f"Case={case}|{feats}"
        form = nominative if case == "Nom" else accusative
        return Node(form, "PRON", "PRP", lemma=nominative, feats=feats, chunk=chunk)

    def _name_phrase(self, spec: Nominal) -> Node:
        chunk = Chunk("NP")
        assert spec.name is not None
        if spec.product:
            return self._product(spec, chunk)
        head = self.name(spec.name, spec.kind, chunk=chunk)
        if spec.title:
            title = Node(spec.title, "PROPN", "NNP", feats=_NAME_FEATS, chunk=chunk)
            title.head, title.role = head, "nmod:desc"
            head.before.insert(0, title)
        if spec.determiner:
            article = self._determiner(spec.determiner, chunk)
            article.head = head
            head.before.insert(0, article)
        self._modifiers(head, spec)
        return head

    def _product(self, spec: Nominal, chunk: Chunk) -> Node:
        """A named thing that is no entity of the three classes: the Hunter Prize, a Falcon 300."""
        assert spec.name is not None
        part = Node(spec.name.parts[-1], "PROPN", "NNP", feats=_NAME_FEATS, chunk=chunk)
        article = self._determiner(spec.determiner or "the", chunk)
        if spec.product.isdigit():
            head = part
            head.lead(article)
            number = Node(spec.product, "NUM", "CD", feats="NumForm=Digit|NumType=Card")
            number.chunk = chunk
            head.follow(number, "nummod")
        else:
            head = Node(spec.product, "PROPN", "NNP", feats=_NAME_FEATS, chunk=chunk)
            head.lead(article)
            head.lead(part, "compound")
        if article.lemma == "a":
            article.form = indefinite_article(part.form)
        return head

    def name(self, name: Name, kind: str, *, chunk: Chunk) -> Node:
        """Return the subtree of a bare name, and mark it and the names inside it."""

        def word(form: str, role: str = "compound") -> Node:
            upos, feats = "PROPN", _NAME_FEATS
            if form in _SURFACE_ADJECTIVES:
                upos, feats, role = "ADJ", "Degree=Pos", "amod"
            return Node(form, upos, "NNP", feats=feats, role=role, chunk=chunk)

        parts = name.parts
        pattern = name.pattern
        inner: tuple[Node, str] | None = None
        if pattern == "of":
            head = word(parts[0])
            inside = word(parts[1])
            inside.chunk = Chunk("NP")
            inside.lead(Node("of", "ADP", "IN", role="case", chunk=Chunk("PP")))
            head.follow(inside, "nmod")
            if kind == "O" and parts[0] != "Ministry":
                inner = (inside, "L")
        elif pattern == "and":
            head = word(parts[0])
            second = word(parts[1])
            joiner = Node(parts[2], "CCONJ", "CC", role="cc", chunk=chunk)
            joiner.lemma = "and"
            second.lead(joiner)
            head.follow(second, "conj")
        elif pattern == "flat":
            head = word(parts[0])
            for part in parts[1:]:
                head.follow(word(part), "flat")
        else:
            head = word(parts[-1])
            for part in parts[:-1]:
                head.lead(word(part))
            if pattern in ("place+end", "person+end"):
                inner = (head.before[0], "L" if pattern == "place+end" else "P")
        nodes = tuple(head.walk())
        self.sketch.marks.append(Mark(ENTITY_LABELS[kind], "NAME", "", head, nodes, kind))
        if inner:
            node, inside = inner
            label = ENTITY_LABELS[inside]
            self.sketch.marks.append(Mark(label, "INNER", "", node, (node,), inside))
        return head

    def _determiner(self, word: str, chunk: Chunk) -> Node:
        lemma, xpos, feats = _DETERMINERS[word]
        return Node(word, "DET", xpos, lemma=lemma, feats=feats, role="det", chunk=chunk)

    def _noun_phrase(self, spec: Nominal) -> Node:
        chunk = Chunk("NP")
        assert spec.noun is not None
        lemma = spec.noun.lemma
        form = plural(lemma) if spec.number == "Plur" else lemma
        xpos = "NNS" if spec.number == "Plur" else "NN"
        head = Node(form, "NOUN", xpos, lemma=lemma, feats=f"Number={spec.number}", chunk=chunk)
        if spec.possessor:
            self._possessor(head, spec.possessor, chunk=chunk)
        elif spec.determiner:
            head.lead(self._determiner(spec.determiner, chunk))
        if spec.numeral:
            form_feature = "Digit" if spec.numeral.isdigit() else "Word"
            feats = f"NumForm={form_feature}|NumType=Card"
            if spec.numeral in _QUANTIFIERS:
                tag, degree = _QUANTIFIERS[spec.numeral]
                feats = f"Degree={degree}"
                head.lead(Node(spec.numeral, "ADJ", tag, feats=feats, chunk=chunk), "amod")
            else:
                head.lead(Node(spec.numeral, "NUM", "CD", feats=feats, chunk=chunk), "nummod")
        for quality in spec.qualities:
            head.lead(self.quality(quality, chunk=chunk), "amod")
        if spec.participle:
            verb = spec.participle.lemma
            form, tag, feats = inflected(verb, spec.participle_shape, person=3, number="Sing")
            feats = feats.replace("|Voice=Pass", "")
            node = Node(form, "VERB", tag, lemma=verb, feats=feats, chunk=chunk)
            head.lead(node, "amod")
        if spec.compound:
            other = spec.compound.lemma
            feats = "Number=Sing"
            head.lead(Node(other, "NOUN", "NN", feats=feats, chunk=chunk), "compound")
        if spec.determiner == "a" and not spec.possessor:
            words = list(head.walk())
            words[0].form = indefinite_article(words[1].form)
        self._modifiers(head, spec)
        return head

    def _possessor(self, head: Node, possessor: Nominal, *, chunk: Chunk) -> None:
        if possessor.form == "pronoun":
            form = personal(possessor)[2]
            number = "" if possessor.person == 2 else f"|Number={possessor.number}"
            gender = f"|Gender={possessor.gender}" if form in ("his", "her", "its") else ""
            feats = f"Case=Gen{gender}{number}|Person={possessor.person}|Poss=Yes|PronType=Prs"
            node = Node(form, "PRON", "PRP$", feats=feats, chunk=chunk)
            head.lead(node, "nmod:poss")
            label = ENTITY_LABELS.get(possessor.kind, "")
            mark = Mark(label, "PRO", possessor.referent, node, kind=possessor.kind)
            self.sketch.marks.append(mark)
            return
        owner = self.nominal(possessor, role="nmod:poss")
        ends_in_s = list(owner.walk())[-1].xpos == "NNS"
        case = Node("'" if ends_in_s else "'s", "PART", "POS", lemma="'s", chunk=chunk)
        case.joined = True
        owner.follow(case, "case")
        head.lead(owner)

    def quality(self, quality: Quality, *, chunk: Chunk) -> Node:
        """Return the subtree of an adjective with its degree."""
        lemma = quality.adjective.lemma
        feats = f"Degree={quality.degree}"
        xpos = {"Pos": "JJ", "Cmp": "JJR", "Sup": "JJS"}[quality.degree]
        form = lemma
        helper: Node | None = None
        if quality.degree != "Pos" and has_degrees(lemma):
            form = comparative(lemma) if quality.degree == "Cmp" else superlative(lemma)
        elif quality.degree != "Pos":
            xpos, feats = "JJ", "Degree=Pos"
            word, helper_xpos = ("more", "RBR") if quality.degree == "Cmp" else ("most", "RBS")
            base = "more" if quality.degree == "Cmp" else "most"
            helper = Node(word, "ADV", helper_xpos, lemma=base, feats=f"Degree={quality.degree}")
        elif quality.adverb:
            helper = Node(quality.adverb, "ADV", "RB")
        head = Node(form, "ADJ", xpos, lemma=lemma, feats=feats, chunk=chunk)
        if helper:
            helper.chunk = chunk
            head.lead(helper, "advmod")
        return head

    def phrase(self, phrase: Phrase, *, role: str) -> Node:
        """Return the subtree of a prepositional phrase, headed by its object."""
        node = self.nominal(phrase.nominal, role=role)
        words = phrase.preposition.split()
        case = Node(words[0], "ADP", "IN", role="case", chunk=Chunk("PP"))
        case.head = node
        for word in words[1:]:
            case.follow(Node(word, "ADP", "IN", chunk=case.chunk), "fixed")
        node.before.insert(0, case)
        return node

    def _modifiers(self, head: Node, spec: Nominal) -> None:
        for phrase in spec.phrases:
            node = self.phrase(phrase, role="nmod")
            head.follow(node)
            if phrase.role.startswith("rel="):
                self.sketch.relations.append((phrase.role[4:], head, node))
        if spec.apposition:
            extra = self.nominal(spec.apposition, role="appos")
            comma = punctuation(",")
            comma.head = extra
            extra.before.insert(0, comma)
            extra.follow(punctuation(","))
            head.follow(extra)
        if spec.relative:
            finite = spec.relative.shape == "finite"
            clause = self.clause(
                spec.relative, role="acl:relcl" if finite else "acl", controller=head
            )
            clause.head = head
            if spec.extraposed:
                self.sketch.extraposed.append((head, clause))
            else:
                if spec.form == "name":
                    comma = punctuation(",")
                    comma.head = clause
                    clause.before.insert(0, comma)
                    clause.follow(punctuation(","))
                head.after.append(clause)
