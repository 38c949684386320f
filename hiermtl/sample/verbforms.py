"""Verb groups: the auxiliaries and the verb of a clause, in their forms."""

from hiermtl.sample.meaning import Clause
from hiermtl.sample.morphology import past, past_participle, present_participle, third_person
from hiermtl.sample.tree import Chunk, Node

_BE_PRESENT = {(1, "Sing"): "am", (3, "Sing"): "is"}
_CONTRACTED = {
    "is": "'s",
    "has": "'s",
    "are": "'re",
    "am": "'m",
    "have": "'ve",
    "had": "'d",
    "will": "'ll",
    "would": "'d",
}
_NEGATIVE_STEMS = {"will": "wo", "can": "ca"}
_NO_NEGATIVE_CONTRACTION = ("am", "may", "might")
_MODAL_LEMMAS = {"could": "can", "would": "will", "might": "may"}


def inflected(lemma: str, slot: str, *, person: int, number: str) -> tuple[str, str, str]:
    """Return the form, Penn tag and features of a verb.

    `slot` is finite-past, finite-present, base, infinitive, imperative, participle (past),
    passive, progressive or gerund.
    """
    if slot == "base" or slot == "infinitive":
        return lemma, "VB", "VerbForm=Inf"
    if slot == "imperative":
        return lemma, "VB", "Mood=Imp|Person=2|VerbForm=Fin"
    if slot == "participle":
        return (
            past_participle(lemma) if lemma != "be" else "been",
            "VBN",
            "Tense=Past|VerbForm=Part",
        )
    if slot == "passive":
        return past_participle(lemma), "VBN", "Tense=Past|VerbForm=Part|Voice=Pass"
    if slot == "progressive":
        return present_participle(lemma), "VBG", "Tense=Pres|VerbForm=Part"
    if slot == "gerund":
        return present_participle(lemma), "VBG", "VerbForm=Ger"
    agreement = f"Mood=Ind|Number={number}|Person={person}"
    if slot == "finite-past":
        form = past(lemma)
        if lemma == "be" and (number == "Plur" or person == 2):
            form = "were"
        return form, "VBD", f"{agreement}|Tense=Past|VerbForm=Fin"
    if lemma == "be":
        form = _BE_PRESENT.get((person, number), "are")
    elif (person, number) == (3, "Sing"):
        form = third_person(lemma)
    else:
        form = lemma
    xpos = "VBZ" if (person, number) == (3, "Sing") else "VBP"
    return form, xpos, f"{agreement}|Tense=Pres|VerbForm=Fin"


def verb_group(
    spec: Clause, lemma: str, *, person: int, number: str, copular: bool, inverted: bool
) -> list[Node]:
    """Return the words of the verb group without their negation; the last one is the verb.

    A copular group ends in `be` as an auxiliary. Questions (`inverted`) and negated clauses
    without another auxiliary get `do`.
    """
    chunk = Chunk("VP")
    chain: list[tuple[str, str]] = []
    if spec.modal and spec.shape == "finite":
        chain.append((spec.modal, "modal"))
    if spec.perfect:
        chain.append(("have", "aux"))
    if spec.progressive and not copular:
        chain.append(("be", "aux"))
    if spec.passive:
        chain.append(("be", "aux:pass"))
    chain.append((lemma, "cop" if copular else "verb"))
    finite = spec.shape == "finite"
    if spec.shape == "participle":
        chain = chain[-1:]
    if finite and len(chain) == 1 and not copular and (spec.negated or inverted):
        chain.insert(0, ("do", "aux"))
    if spec.mood == "imperative" and spec.negated and copular:
        chain.insert(0, ("do", "aux"))

    nodes: list[Node] = []
    previous = ""
    for position, (word, kind) in enumerate(chain):
        if kind == "modal":
            form, xpos, feats = word, "MD", "VerbForm=Fin"
        else:
            slot = _slot(spec, previous, position=position)
            form, xpos, feats = inflected(word, slot, person=person, number=number)
        upos = "VERB" if kind == "verb" else "AUX"
        node = Node(form, upos, xpos, lemma=_MODAL_LEMMAS.get(word, word), feats=feats)
        node.role = "aux" if kind == "modal" else kind
        node.chunk = chunk
        nodes.append(node)
        previous = {"aux": word, "aux:pass": "passive", "modal": "modal"}.get(kind, "")
    if spec.shape == "to":
        marker = Node("to", "PART", "TO", role="mark", chunk=chunk)
        nodes.insert(0, marker)
    return nodes


def _slot(spec: Clause, previous: str, *, position: int) -> str:
    if previous in ("modal", "do"):
        return "base"
    if previous == "have":
        return "participle"
    if previous == "be":
        return "progressive"
    if previous == "passive":
        return "passive"
    if position == 0 and spec.shape == "finite":
        if spec.mood == "imperative":
            return "imperative"
        return "finite-past" if spec.tense == "Past" else "finite-present"
    return {"ing": "gerund", "participle": "passive"}.get(spec.shape, "infinitive")


def negate(auxiliary: Node, *, contracted: bool) -> Node:
    """Return the negation that follows an auxiliary, and adapt the auxiliary to it."""
    node = Node("not", "PART", "RB", feats="Polarity=Neg", role="advmod", chunk=auxiliary.chunk)
    if contracted and auxiliary.upos == "AUX" and auxiliary.form not in _NO_NEGATIVE_CONTRACTION:
        node.form = "n't"
        auxiliary.form = _NEGATIVE_STEMS.get(auxiliary.form, auxiliary.form)
        node.joined = True
    elif auxiliary.form == "can":
        node.joined = True
    return node


def contract(auxiliary: Node) -> None:
    """Join an auxiliary to the word before it: he's, they'll, I'm."""
    if auxiliary.form in _CONTRACTED:
        auxiliary.form = _CONTRACTED[auxiliary.form]
        auxiliary.joined = True
