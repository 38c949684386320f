"""Clauses: from a plan of a predicate and its arguments to a dependency tree."""

from hiermtl.sample.meaning import Adverbial, Clause, Nominal, Phrase, Quality
from hiermtl.sample.nominals import Nominals
from hiermtl.sample.tree import Chunk, Node, Predicate, punctuation, quote
from hiermtl.sample.verbforms import contract, negate, verb_group

_WH_ADVERBS = ("when", "where", "why", "how")
_SUBORDINATOR_ROLES = {
    "because": "ARGM-CAU",
    "since": "ARGM-CAU",
    "when": "ARGM-TMP",
    "after": "ARGM-TMP",
    "before": "ARGM-TMP",
    "while": "ARGM-TMP",
    "by": "ARGM-MNR",
    "without": "ARGM-MNR",
    "to": "ARGM-PRP",
}
_RELATIVE_PRONOUNS = {"who": "WP", "which": "WDT", "that": "WDT"}
_FUNCTION_ADVERBS = {"there": "PronType=Dem", "here": "PronType=Dem", "never": "PronType=Neg"}


def adverb(word: str, *, chunk: Chunk | None = None) -> Node:
    """Return an adverb."""
    feats = _FUNCTION_ADVERBS.get(word, "")
    return Node(word, "ADV", "RB", feats=feats, role="advmod", chunk=chunk or Chunk("ADVP"))


class Clauses(Nominals):
    """Turns clauses into subtrees, and notes their predicates and relations."""

    def clause(self, spec: Clause, *, role: str, controller: Node | None = None) -> Node:
        """Return the subtree of a clause.

        `controller` is the node that an unexpressed subject or a gap stands for.
        """
        roles: list[tuple[str, Node]] = []
        subject_spec = spec.object if spec.passive else spec.subject
        subject_label, object_label = self._labels(spec)
        lead: list[Node] = []
        subject = self._subject(spec, subject_spec)
        if spec.subject_clause is not None:
            subject = self.clause(spec.subject_clause, role="csubj")
        if subject is not None:
            gap = subject_spec is not None and subject_spec.form == "gap"
            roles.append((("R-" if gap else "") + subject_label, subject))
            if gap and controller is not None:
                roles.append((subject_label, controller))
        elif controller is not None and spec.mood == "declarative" and not spec.existential:
            roles.append((subject_label, controller))

        inverted = spec.mood not in ("declarative", "imperative") and not self._asks_subject(spec)
        person, number = self._agreement(spec, subject_spec, controller=controller)
        copular = spec.predicate is not None and spec.copula == "be"
        lemma = spec.verb.lemma if spec.verb else spec.copula
        group = verb_group(
            spec, lemma, person=person, number=number, copular=copular, inverted=inverted
        )
        head = self._predicate(spec, roles) if copular else group[-1]
        head.role = role
        own_before, head.before = head.before, []
        if not copular:
            group_before, verb_words = group[:-1], group
        else:
            group_before, verb_words = group, group

        self._front(spec, head, lead=lead, roles=roles)
        asked = self._question_word(spec, roles, object_label=object_label)
        if asked is not None:
            lead.append(asked)
        gapped = self._object_gap(spec, roles, object_label=object_label, controller=controller)
        if gapped is not None:
            lead.append(gapped)
        middle = self._middle(spec, verb_words, roles=roles)
        if inverted and group_before:
            first = group_before[0]
            lead.append(first)
            rest = middle[1:]
            if rest and rest[0].joined:
                lead.append(rest.pop(0))
            if subject is not None:
                lead.append(subject)
            lead.extend(rest)
        else:
            if subject is not None:
                lead.append(subject)
                self._contract_subject(spec, subject, middle=middle)
            lead.extend(middle)
        for node in lead:
            if node is not head and node.head is None:
                node.head = head
        head.before = [node for node in lead if node is not head] + own_before
        self._complements(
            spec, head, roles=roles, subject=subject if subject is not None else controller
        )
        if spec.verb:
            sense = f"{spec.verb.lemma}{'_' + spec.verb.particle if spec.verb.particle else ''}"
            self.sketch.predicates.append(
                Predicate(head, f"{sense}.{spec.verb.sense}", tuple(roles))
            )
        self._relate(spec, roles)
        return head

    def sentence(self, spec: Clause) -> Node:
        """Return the tree of a whole sentence, with its final punctuation."""
        root = self.clause(spec, role="root")
        for antecedent, clause in self.sketch.extraposed:
            root.after.append(clause)
            clause.head = antecedent
        if spec.ending:
            root.follow(punctuation(spec.ending))
        return root

    def _labels(self, spec: Clause) -> tuple[str, str]:
        if spec.verb is None:
            return "ARG1", "ARG1"
        if spec.passive or spec.verb.frame == "unac":
            return "ARG1", "ARG1"
        return "ARG0", "ARG1"

    def _subject(self, spec: Clause, subject: Nominal | None) -> Node | None:
        passive = ":pass" if spec.passive else ""
        if spec.existential:
            chunk = Chunk("NP")
            feats = "PronType=Dem"
            return Node("there", "PRON", "EX", feats=feats, role="expl", chunk=chunk)
        if subject is None or (subject.form == "gap" and not subject.word):
            return None
        if subject.form == "gap":
            feats = "PronType=Rel"
            xpos = _RELATIVE_PRONOUNS[subject.word]
            node = Node(subject.word, "PRON", xpos, feats=feats, chunk=Chunk("NP"))
            node.role = f"nsubj{passive}"
            return node
        if spec.mood == "imperative":
            return None
        return self.nominal(subject, role=f"nsubj{passive}", case="Nom")

    def _agreement(
        self, spec: Clause, subject: Nominal | None, *, controller: Node | None
    ) -> tuple[int, str]:
        if spec.existential and isinstance(spec.predicate, Nominal):
            return 3, spec.predicate.number
        if spec.subject_clause is not None:
            return 3, "Sing"
        if subject is None or subject.form == "gap":
            if subject is None and controller is None:
                return 2, "Sing"
            feats = controller.feats if controller is not None else ""
            number = "Plur" if "Number=Plur" in feats else "Sing"
            person = 1 if "Person=1" in feats else 2 if "Person=2" in feats else 3
            if controller is not None and any(n.role == "conj" for n in controller.after):
                number = "Plur"
            return person, number
        if subject.conjunct and subject.conjunction == "and":
            return 3, "Plur"
        return subject.person, subject.number

    def _asks_subject(self, spec: Clause) -> bool:
        return (
            spec.subject is not None
            and spec.subject.word in ("who", "what")
            and (spec.subject.form == "pronoun")
        )

    def _predicate(self, spec: Clause, roles: list[tuple[str, Node]]) -> Node:
        predicate = spec.predicate
        if isinstance(predicate, Quality):
            return self.quality(predicate, chunk=Chunk("ADJP"))
        if isinstance(predicate, Phrase):
            node = self.phrase(predicate, role="root")
            roles.append(("ARG2", node))
            return node
        assert predicate is not None
        return self.nominal(predicate, role="root", case="Nom")

    def _front(
        self, spec: Clause, head: Node, *, lead: list[Node], roles: list[tuple[str, Node]]
    ) -> None:
        """Add what comes before the subject: subordinate clauses, adverbials, quotations."""
        if spec.subordinate is not None and spec.subordinate_first:
            node = self._subordinate(spec, None)
            node.head = head
            lead.extend((node, self._comma(head)))
        if spec.front:
            node = self._adverbial(spec.front, roles)
            lead.append(node)
            if spec.front.upos != "CCONJ":
                lead.append(self._comma(head))
        if spec.front_phrase:
            node = self.phrase(spec.front_phrase, role="obl")
            roles.append((spec.front_phrase.role, node))
            lead.extend((node, self._comma(head)))
        if spec.complement is not None and spec.quoted:
            node = self.clause(spec.complement, role="ccomp")
            opening = quote(opening=True)
            opening.head = node
            node.before.insert(0, opening)
            node.follow(punctuation(","))
            node.follow(quote(opening=False))
            roles.append(("ARG1", node))
            lead.append(node)

    def _comma(self, head: Node) -> Node:
        comma = punctuation(",")
        comma.head = head
        return comma

    def _adverbial(self, item: Adverbial, roles: list[tuple[str, Node]]) -> Node:
        if item.upos == "CCONJ":
            return Node(item.words[0], "CCONJ", "CC", role="cc")
        if item.upos == "ADV":
            node = adverb(item.words[0])
            roles.append((item.role, node))
            return node
        chunk = Chunk("NP")
        last = item.words[-1]
        xpos = "NNP" if item.upos == "PROPN" else "NN"
        node = Node(last, item.upos, xpos, feats="Number=Sing", role="obl:tmod", chunk=chunk)
        for word in item.words[:-1]:
            if word in ("this", "every"):
                feats = "Number=Sing|PronType=Dem" if word == "this" else "PronType=Tot"
                node.lead(Node(word, "DET", "DT", feats=feats, chunk=chunk), "det")
            else:
                node.lead(Node(word, "ADJ", "JJ", feats="Degree=Pos", chunk=chunk), "amod")
        roles.append((item.role, node))
        return node

    def _question_word(
        self, spec: Clause, roles: list[tuple[str, Node]], *, object_label: str
    ) -> Node | None:
        if spec.asked in _WH_ADVERBS:
            relative = spec.mood == "declarative"
            feats = "PronType=Rel" if relative else "PronType=Int"
            node = Node(spec.asked, "ADV", "WRB", feats=feats, role="advmod", chunk=Chunk("ADVP"))
            labels = {"when": "ARGM-TMP", "where": "ARGM-LOC", "why": "ARGM-CAU"}
            roles.append((labels.get(spec.asked, "ARGM-MNR"), node))
            return node
        asked = spec.object
        if spec.asked == "object" and asked is not None:
            node = self.nominal(asked, role="obj")
            roles.append((object_label, node))
            return node
        if spec.asked == "phrase" and spec.phrases:
            node = self.nominal(spec.phrases[0].nominal, role="obl")
            roles.append((spec.phrases[0].role, node))
            return node
        return None

    def _object_gap(
        self,
        spec: Clause,
        roles: list[tuple[str, Node]],
        *,
        object_label: str,
        controller: Node | None,
    ) -> Node | None:
        gap = spec.object
        if gap is None or gap.form != "gap" or spec.passive:
            return None
        if controller is not None:
            roles.append((object_label, controller))
        if not gap.word:
            return None
        xpos = _RELATIVE_PRONOUNS[gap.word]
        node = Node(gap.word, "PRON", xpos, feats="PronType=Rel", role="obj", chunk=Chunk("NP"))
        roles.append(("R-" + object_label, node))
        return node

    def _middle(
        self, spec: Clause, group: list[Node], *, roles: list[tuple[str, Node]]
    ) -> list[Node]:
        """Return the verb group with its negation and its adverb, in order."""
        words = list(group)
        place = 1
        if spec.negated:
            if spec.shape == "finite":
                words.insert(1, negate(words[0], contracted=spec.contracted))
                roles.append(("ARGM-NEG", words[1]))
                place = 2
            else:
                negation = negate(Node("to", "PART", "TO"), contracted=False)
                negation.chunk = words[0].chunk
                words.insert(0, negation)
                roles.append(("ARGM-NEG", negation))
        if spec.middle_adverb:
            chunk = group[0].chunk
            if len(group) == 1 and group[0].upos == "VERB" and not spec.negated:
                # Before a lone verb the adverb opens the verb chunk.
                place = 0
            node = adverb(spec.middle_adverb, chunk=chunk)
            words.insert(place, node)
            roles.append(("ARGM-TMP", node))
        if group[0].xpos == "MD":
            roles.append(("ARGM-MOD", group[0]))
        return words

    def _contract_subject(self, spec: Clause, subject: Node, *, middle: list[Node]) -> None:
        """Join the first auxiliary to a one-word subject, in clauses that contract."""
        if not spec.contracted or (len(middle) > 1 and middle[1].joined):
            return
        first = middle[0]
        last = list(subject.walk())[-1]
        pronoun = last.upos == "PRON" and last.xpos in ("PRP", "EX")
        short = first.form in ("is", "has", "would", "had") and last.upos in ("PROPN", "NOUN")
        # A lone verb is no auxiliary; a name inside a modifier does not carry the contraction.
        if first.upos == "AUX" and last.xpos != "NNS" and (pronoun or short):
            contract(first)

    def _complements(
        self,
        spec: Clause,
        head: Node,
        *,
        roles: list[tuple[str, Node]],
        subject: Node | None,
    ) -> None:
        """Add what follows the predicate."""
        verb = spec.verb
        if verb and verb.particle and not spec.particle_late:
            head.follow(self._particle(verb.particle))
        object_node = self._objects(spec, head, roles=roles)
        if verb and verb.particle and spec.particle_late:
            head.follow(self._particle(verb.particle))
        if spec.predicate is not None and spec.copula != "be":
            node = self._predicate(spec, [])
            head.follow(node, "xcomp")
        for position, phrase in enumerate(spec.phrases):
            if spec.asked == "phrase" and position == 0:
                wh = next(node for node in head.before if node.role == "obl")
                case = Node(phrase.preposition, "ADP", "IN", chunk=Chunk("PP"))
                head.follow(case, "case", governor=wh)
                continue
            node = head.follow(self.phrase(phrase, role="obl"))
            roles.append((phrase.role, node))
        if spec.passive and spec.agent_shown and spec.subject is not None:
            node = head.follow(self.phrase(Phrase("by", spec.subject), role="obl:agent"))
            roles.append(("ARG0", node))
        if spec.manner_adverb:
            node = head.follow(adverb(spec.manner_adverb))
            roles.append(("ARGM-MNR", node))
        for phrase in spec.adjuncts:
            node = head.follow(self.phrase(phrase, role="obl"))
            roles.append((phrase.role, node))
        if spec.time:
            head.follow(self._adverbial(spec.time, roles))
        self._clausal_complement(spec, head, roles=roles, controller=object_node or subject)
        if spec.subordinate is not None and not spec.subordinate_first:
            node = self._subordinate(spec, subject)
            head.follow(node)
            roles.append((_SUBORDINATOR_ROLES.get(spec.subordinate_mark, "ARGM-ADV"), node))
        if spec.coordinate is not None:
            self._coordinate(spec, head, subject=subject)

    def _objects(self, spec: Clause, head: Node, *, roles: list[tuple[str, Node]]) -> Node | None:
        object_node: Node | None = None
        if spec.recipient is not None and spec.recipient_first:
            node = head.follow(self.nominal(spec.recipient, role="iobj"))
            roles.append(("ARG2", node))
        shown = spec.object is not None and not spec.passive and spec.asked != "object"
        if shown and spec.object is not None and spec.object.form != "gap":
            object_node = head.follow(self.nominal(spec.object, role="obj"))
            roles.append(("ARG1", object_node))
        if spec.recipient is not None and not spec.recipient_first:
            node = head.follow(self.phrase(Phrase("to", spec.recipient), role="obl"))
            roles.append(("ARG2", node))
        return object_node

    def _particle(self, word: str) -> Node:
        return Node(word, "ADP", "RP", role="compound:prt", chunk=Chunk("PRT"))

    def _clausal_complement(
        self,
        spec: Clause,
        head: Node,
        *,
        roles: list[tuple[str, Node]],
        controller: Node | None,
    ) -> None:
        inner = spec.complement
        if inner is None or spec.quoted:
            return
        if inner.shape == "finite":
            node = self.clause(inner, role="ccomp")
            if spec.complement_mark:
                node.before.insert(0, self._mark(spec.complement_mark, node))
        else:
            node = self.clause(inner, role="xcomp", controller=controller)
            # A verb and the infinitive right after it make one verb chunk: hopes to sell.
            inner_chunk = node.chunk
            for word in node.walk() if inner_chunk and not head.after else ():
                if word.chunk is inner_chunk:
                    word.chunk = head.chunk
        head.follow(node)
        roles.append(("ARG2" if spec.object is not None else "ARG1", node))

    def _mark(self, word: str, node: Node) -> Node:
        mark = Node(word, "SCONJ", "IN", role="mark", chunk=Chunk("SBAR"))
        if word == "when":
            mark = Node(word, "ADV", "WRB", feats="PronType=Int", role="advmod")
            mark.chunk = Chunk("ADVP")
        mark.head = node
        return mark

    def _subordinate(self, spec: Clause, controller: Node | None) -> Node:
        assert spec.subordinate is not None
        node = self.clause(spec.subordinate, role="advcl", controller=controller)
        if spec.subordinate_mark and spec.subordinate.shape != "to":
            node.before.insert(0, self._mark(spec.subordinate_mark, node))
        return node

    def _coordinate(self, spec: Clause, head: Node, *, subject: Node | None) -> None:
        inner = spec.coordinate
        assert inner is not None
        if spec.coordinator == ";":
            node = self.clause(inner, role="parataxis")
            mark = punctuation(";")
            mark.head = node
            node.before.insert(0, mark)
        elif spec.gapped:
            assert inner.subject is not None
            assert inner.object is not None
            node = self.nominal(inner.subject, role="conj", case="Nom")
            rest = self.nominal(inner.object, role="orphan")
            node.follow(rest)
            joiner = Node(spec.coordinator, "CCONJ", "CC", role="cc")
            joiner.head = node
            node.before.insert(0, joiner)
            self.sketch.gaps.append((head, node, rest, joiner))
        else:
            node = self.clause(inner, role="conj", controller=subject)
            joiner = Node(spec.coordinator, "CCONJ", "CC", role="cc")
            joiner.head = node
            node.before.insert(0, joiner)
            if inner.subject is not None:
                node.before.insert(0, self._comma(node))
        head.follow(node)

    def _relate(self, spec: Clause, roles: list[tuple[str, Node]]) -> None:
        if spec.verb is None or not spec.verb.relation or spec.negated or spec.modal:
            return
        found = {label: node for label, node in roles if not label.startswith("R-")}
        second = found.get("ARG1") or found.get("ARG2")
        if "ARG0" in found and second is not None:
            self.sketch.relations.append((spec.verb.relation, found["ARG0"], second))
