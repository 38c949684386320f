"""spaCy's `DocBin` files: documents with whatever spaCy's pipelines or annotators put on them."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hiermtl.errors import DataError
from hiermtl.text.bio import repair_bio
from hiermtl.text.conllu_write import sorted_feats
from hiermtl.text.lines import read_lines
from hiermtl.text.sentence import Layer, Origin, Sentence, Tree

if TYPE_CHECKING:
    from spacy.tokens import Span as SpacySpan


def read_docbin(
    path: str | Path, *, language: str = "xx", repairs: Counter[str] | None = None
) -> Iterator[Sentence]:
    """Sentences of a `DocBin` with the layers its documents carry.

    `upos`, `xpos`, `feats`, `lemma`, `dep` and `ner` (IOB2), where a document is annotated with
    them; a word without a value has `None`, and spaCy's relation `ROOT` is `root`. Features
    stand in UD's order. Tokens of white space are left out; the words before them have white space
    behind them. A document without sentence marks is one sentence. `Sentence.origin` counts
    documents, not lines. `repairs` is told what was changed: `white space` tokens left out, `ner`
    tags of entities that a sentence mark or white space cut in two.

    Raises:
        DataError: The file is missing or is no `DocBin`, or a dependency crosses sentences.
    """
    import spacy
    from spacy.tokens import DocBin

    data = b"".join(read_lines(path))
    vocabulary = spacy.blank(language).vocab
    try:
        documents = list(DocBin().from_bytes(data).get_docs(vocabulary))
    except Exception as error:  # spaCy and its decoders raise bare exceptions
        reason = str(error).strip().splitlines()[:1]
        raise DataError(
            f"no DocBin ({''.join(reason)[:200] or type(error).__name__}); write it with "
            "`DocBin.to_disk`",
            path,
        ) from None
    for number, document in enumerate(documents, 1):
        has = {name: document.has_annotation(name) for name in ("POS", "TAG", "MORPH", "LEMMA")}
        has |= {name: document.has_annotation(name) for name in ("DEP", "ENT_IOB")}
        marked = document.has_annotation("SENT_START")
        for span in document.sents if marked else [document[:]]:
            place = Origin(str(path), number)
            sentence = _sentence(span, has, f"doc-{number}", place, repairs=repairs)
            if sentence is not None:
                yield sentence


def _sentence(
    span: "SpacySpan",
    has: dict[str, bool],
    doc_id: str,
    origin: Origin,
    *,
    repairs: Counter[str] | None,
) -> Sentence | None:
    tokens: list[Any] = [token for token in span if not token.is_space]
    if repairs is not None and len(tokens) < len(span):
        repairs["white space"] += len(span) - len(tokens)
    if not tokens:
        return None
    layers: dict[str, Layer] = {}
    if has["POS"]:
        layers["upos"] = tuple(token.pos_ or None for token in tokens)
    if has["TAG"]:
        layers["xpos"] = tuple(token.tag_ or None for token in tokens)
    if has["MORPH"]:
        layers["feats"] = tuple(
            sorted_feats(str(token.morph) or "_") if token.has_morph() else None for token in tokens
        )
    if has["LEMMA"]:
        layers["lemma"] = tuple(token.lemma_ or None for token in tokens)
    if has["DEP"]:
        layers["dep"] = _tree(tokens, origin)
    if has["ENT_IOB"]:
        # An entity that began before the sentence, or with white space, begins here.
        layers["ner"], mended = repair_bio([_entity(token) for token in tokens])
        if repairs is not None and mended:
            repairs["ner"] += mended
    layers = {
        name: layer
        for name, layer in layers.items()
        if not isinstance(layer, tuple) or any(value is not None for value in layer)
    }
    return Sentence(
        tuple(token.text for token in tokens),
        layers,
        doc_id=doc_id,
        text=span.doc.text[tokens[0].idx : tokens[-1].idx + len(tokens[-1])],
        space_after=tuple(map(_space_follows, tokens)),
        origin=origin,
    )


def _space_follows(token: Any) -> bool:
    """Whether white space stands behind a token, its own or a token of it."""
    following = token.i + 1
    own = bool(token.whitespace_)
    return own or (following < len(token.doc) and token.doc[following].is_space)


def _tree(tokens: list[Any], origin: Origin) -> Tree:
    """Heads among the words; spaCy's root is its own head."""
    places = {token.i: at for at, token in enumerate(tokens, 1)}
    heads: list[int | None] = []
    for token in tokens:
        if not token.has_head():
            heads.append(None)
        elif token.head.i == token.i:
            heads.append(0)
        elif token.head.i in places:
            heads.append(places[token.head.i])
        else:
            raise DataError(
                f"the head of {token.text!r} in document {origin.line} is {token.head.text!r}, "
                "which is in another sentence or is white space; mend the document",
                origin.path,
            )
    names = (token.dep_ or None for token in tokens)
    return Tree(tuple(heads), tuple("root" if name == "ROOT" else name for name in names))


def _entity(token: Any) -> str | None:
    """The tag as spaCy marks it; `None` where a word is not annotated."""
    if not token.ent_iob_:
        return None
    return "O" if token.ent_iob_ == "O" else f"{token.ent_iob_}-{token.ent_type_}"
