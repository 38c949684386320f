"""Documents to spaCy."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from hiermtl.document.base import Document
from hiermtl.document.parts import Span

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

_BIO = ("B-", "I-")
TOKEN_FIELDS = ("upos", "xpos", "feats", "lemma")
"""Levels that are fields of spaCy's tokens."""


def as_spacy(document: Document, nlp: "Language | None") -> "Doc":
    """See `Document.to_spacy`."""
    import spacy
    from spacy.parts_of_speech import IDS as POS
    from spacy.tokens import Doc
    from spacy.tokens import Span as SpacySpan

    vocab = (nlp or spacy.blank(document.language)).vocab
    fields: dict[str, Any] = {}
    for task, name in (("xpos", "tags"), ("lemma", "lemmas")):
        if task in document.kinds:
            fields[name] = [tag or "" for tag in document.tags(task)]
    if "upos" in document.kinds:
        fields["pos"] = [tag if tag in POS else "" for tag in document.tags("upos")]
    if "feats" in document.kinds:
        fields["morphs"] = ["" if tag in (None, "_") else tag for tag in document.tags("feats")]
    starts = {sentence.start for sentence in document.sentences}
    if "dep" in document.kinds:
        arcs = document.tree
        fields["heads"] = [i if head < 0 else head for i, head in enumerate(arcs.heads)]
        fields["deps"] = ["ROOT" if name == "root" else name for name in arcs.relations]
    else:
        fields["sent_starts"] = [place in starts for place in range(len(document))]
    doc = Doc(vocab, words=list(document.words), spaces=list(_spaces(document)), **fields)

    def put(group: str, spans: Iterable[Span]) -> None:
        doc.spans[group] = [SpacySpan(doc, s.start, s.end, s.label) for s in spans]

    data = document.to_dict()
    for task, kind in document.kinds.items():
        if task == "ner":
            doc.set_ents([SpacySpan(doc, s.start, s.end, s.label) for s in document.spans("ner")])
        elif kind == "spans" or (
            kind == "tags" and task not in TOKEN_FIELDS and _is_bio(document, task)
        ):
            put(task, document.spans(task))
        elif kind == "mentions":
            for number, chain in enumerate(document.chains(task), 1):
                put(f"{task}_clusters_{number}", chain)
        elif kind in ("frames", "relations"):
            key = "roles" if kind == "frames" else kind
            doc.user_data[f"hiermtl.{task}"] = data[key][task]
    return doc


def _is_bio(document: Document, task: str) -> bool:
    tags = document.tags(task)
    return all(tag is not None and (tag == "O" or tag[:2] in _BIO) for tag in tags)


def _spaces(document: Document) -> Iterator[bool]:
    """Whether white space follows each word; unknown counts as yes, but for the last."""
    last = len(document.source) - 1
    for place, sentence in enumerate(document.source):
        known = sentence.space_after or (True,) * len(sentence.words)
        if place < last:
            yield from known
        elif known:
            yield from (*known[:-1], False)
