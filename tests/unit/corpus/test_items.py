"""Spans, relations, frames and mentions through the stored form, and as the loop reads them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hiermtl.corpus import store
from hiermtl.corpus.build import Source, build_corpus
from hiermtl.corpus.encoded import encode_split
from hiermtl.corpus.examples import Examples, Wanted
from hiermtl.corpus.items import from_items
from hiermtl.errors import DataError
from hiermtl.records import MISSING
from hiermtl.text.conllu import read_conllu
from hiermtl.text.edits import edit_script
from hiermtl.text.propbank import read_propbank
from hiermtl.text.relations import read_crossre
from hiermtl.text.sentence import (
    Frame,
    Frames,
    Mentions,
    Relation,
    Relations,
    Sentence,
    Span,
    Spans,
    Structure,
)

WORDS = ("She", "got", "the", "old", "map", "of", "Rome", "and", "went")
FULL: dict[str, Structure] = {
    "entity": Spans((Span(0, 1, "person"), Span(2, 7, "object"), Span(6, 7, "place"))),
    "relation": Relations(
        (
            Relation((0, 1), (2, 7), "has"),
            Relation((2, 7), (6, 7), "of"),
            Relation((0, 1), (2, 7), "x"),
        )
    ),
    "srl": Frames(
        (
            Frame(1, "get.01", (Span(0, 1, "ARG0"), Span(2, 7, "ARG1"))),
            Frame(8, None, (Span(0, 1, "ARG0"),)),
        )
    ),
    "coref": Mentions((Span(0, 1, "9"), Span(2, 7, "4"), Span(6, 7, "9"))),
}
EMPTY: dict[str, Structure] = {
    "entity": Spans(()),
    "relation": Relations(()),
    "srl": Frames(()),
    "coref": Mentions(()),
}


def corpus_of(folder: Path, sentences: Sequence[Sentence], **splits: Sequence[Sentence]) -> Any:
    file = folder / "a.txt"
    file.write_text("")
    every = {"train": sentences, **splits}
    sources = {
        name: Source((file,), lambda own=own: own, options={"content": repr(own)})
        for name, own in every.items()
    }
    return build_corpus("toy", sources, cache=folder)


def renumbered(sentences: Sequence[Sentence]) -> list[dict[str, Any]]:
    """Layers with entities called by their number in the document, in the order of the text."""
    known: dict[str, dict[str, str]] = {}
    found = []
    for sentence in sentences:
        own = dict(sentence.layers)
        coref = own.get("coref")
        if isinstance(coref, Mentions):
            names = known.setdefault(sentence.doc_id or "", {})
            own["coref"] = Mentions(
                tuple(
                    Span(m.start, m.end, names.setdefault(m.label, str(len(names))))
                    for m in coref.mentions
                )
            )
        found.append(own)
    return found


@pytest.mark.parametrize("rows", [1, 2, 5000])
def test_structures_come_back_as_they_went_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(store, "ROWS", rows)
    sentences = [
        Sentence(WORDS, FULL, doc_id="one"),
        Sentence(("No", "layers"), doc_id="one"),
        Sentence(("Nothing",), EMPTY, doc_id="one"),
        Sentence(WORDS, {"coref": Mentions((Span(2, 3, "4"), Span(0, 1, "new")))}, doc_id="one"),
        Sentence(WORDS, {"coref": Mentions((Span(2, 3, "4"),))}, doc_id="two"),
    ]
    corpus = corpus_of(tmp_path, sentences)
    assert [dict(s.layers) for s in corpus.sentences("train")] == renumbered(sentences)
    assert corpus.layers == {
        "coref": "mentions",
        "entity": "spans",
        "relation": "relations",
        "srl": "frames",
    }
    assert corpus.names["relation"] == ("has", "of", "x")
    assert {name for name in corpus.names["srl"] if not name.startswith("V:")} == {"ARG0", "ARG1"}
    assert corpus.names["coref"] == ("mention",)


def test_entities_are_numbered_anew_in_each_document(tmp_path: Path) -> None:
    one = Mentions((Span(0, 1, "a"), Span(1, 2, "b")))
    other = Mentions((Span(0, 1, "b"),))
    sentences = [
        Sentence(WORDS, {"coref": one}, doc_id="1"),
        Sentence(WORDS, {"coref": other}, doc_id="2"),
    ]
    found = [s.layers["coref"] for s in corpus_of(tmp_path, sentences).sentences("train")]
    assert found == [Mentions((Span(0, 1, "0"), Span(1, 2, "1"))), Mentions((Span(0, 1, "0"),))]


def test_a_layer_that_changes_its_kind_is_refused(tmp_path: Path) -> None:
    sentences = [Sentence(WORDS, {"x": Spans(())}), Sentence(WORDS, {"x": Mentions(())})]
    with pytest.raises(DataError, match="layer 'x' holds mentions here and spans before"):
        corpus_of(tmp_path, sentences)


def test_labels_of_dev_alone_are_counted(tmp_path: Path) -> None:
    train = [Sentence(WORDS, {"entity": FULL["entity"]})]
    dev = [Sentence(WORDS, {"entity": Spans((Span(0, 1, "animal"), Span(1, 2, "animal")))})]
    corpus = corpus_of(tmp_path, train, dev=dev)
    assert corpus.inventory("entity") == ("object", "person", "place")
    assert corpus.unseen == {"entity": {"animal": {"dev": 2}}}
    assert corpus.scorable("dev", "entity")
    assert not corpus_of(tmp_path, train, dev=[Sentence(WORDS, {"entity": Spans(())})]).scorable(
        "dev", "entity"
    )


def test_the_loop_reads_items_with_the_ids_of_the_model(
    tmp_path: Path, tokenizer: Callable[..., Any]
) -> None:
    sentences = [
        Sentence(WORDS, FULL, doc_id="one"),
        Sentence(("No", "layers"), doc_id="one"),
        Sentence(("Nothing",), EMPTY, doc_id="one"),
    ]
    corpus = corpus_of(tmp_path, sentences)
    senses = [name for name in corpus.names["srl"] if name.startswith("V:")]
    wanted = {
        "entity": Wanted("entity", "spans", ("place", "person")),
        "relation": Wanted("relation", "relations", ("x", "of", "has")),
        "srl": Wanted("srl", "frames", ("ARG1", "ARG0", *senses)),
        "coref": Wanted("coref", "mentions", ("mention",)),
    }
    encoded = encode_split(corpus.split("train"), tokenizer(), folder=tmp_path, key="k").dataset
    examples = Examples(corpus.split("train"), encoded, tasks=wanted)
    full, none, empty = examples.fetch([0, 1, 2])
    assert {task: found.tolist() for task, found in full.items.items()} == {
        "entity": [[0, 1, 1], [2, 7, MISSING], [6, 7, 0]],
        "relation": [[0, 1, 2, 7, 2], [2, 7, 6, 7, 1], [0, 1, 2, 7, 0]],
        "srl": [[1, 1, 2, 2], [1, 0, 1, 1], [1, 2, 7, 0], [8, 8, 9, MISSING], [8, 0, 1, 1]],
        "coref": [[0, 1, 0, 0], [2, 7, 1, 0], [6, 7, 0, 0]],
    }
    assert not none.items
    assert not none.gold
    shapes = {task: found.shape for task, found in empty.items.items()}
    assert shapes == {"entity": (0, 3), "relation": (0, 5), "srl": (0, 4), "coref": (0, 4)}
    assert all(found.dtype == np.int64 for found in (full.items | empty.items).values())
    # Each word could begin one: sentences without any count too.
    counted = {task: counts.tolist() for task, counts in examples.items.items()}
    assert counted == {task: [len(WORDS), 0, 1] for task in wanted}


def test_real_corpora_come_back(data_folder: Path, tmp_path: Path) -> None:
    gum = list(read_conllu(data_folder / "ud_english_gum" / "en_gum-ud-dev.conllu"))
    roles = list(read_propbank(next((data_folder / "propbank_english_ewt").glob("*dev*"))))
    relations = list(read_crossre(next(data_folder.glob("crossre/**/ai-dev.json*"))))
    for place, sentences in enumerate((gum, roles, relations)):
        folder = tmp_path / str(place)
        folder.mkdir()
        found = [dict(s.layers) for s in corpus_of(folder, sentences).sentences("train")]
        assert found == renumbered(sentences)


@pytest.mark.parametrize(
    ("known", "senses"),
    [
        ({"raise.01", "get.01"}, ["raise.01", "get.02"]),
        ({"raise.02", "raise.01", "get.02"}, ["raise.01", "get.02"]),
        ({"ask.01"}, ["rais.01", "get.02"]),
    ],
    ids=["one is known", "two are known", "none is known"],
)
def test_of_probable_senses_the_first_is_taken_that_is_known(
    known: set[str], senses: list[str]
) -> None:
    words = ("Ada", "raising", "doubts", ",", "getting")
    told = ["rais.01", "raise.01", "raise.02", "get.02"]
    scripts = [edit_script(words[4 if sense == "get.02" else 1], sense) for sense in told]
    items = [
        *(((1, 1, 2), f"V:{script}") for script in scripts[:3]),
        *(((1, 0, 1), "ARG0"), ((1, 2, 3), "ARG1")),
        *(((4, 4, 5), f"V:{scripts[3]}"), ((4, 0, 1), "ARG0")),
    ]
    found = from_items("frames", *zip(*items, strict=True), words, senses=known)
    arguments = (Span(0, 1, "ARG0"), Span(2, 3, "ARG1"))
    assert found == Frames((Frame(1, senses[0], arguments), Frame(4, senses[1], arguments[:1])))


def test_without_a_list_of_senses_each_is_a_frame() -> None:
    """Gold may say two of a word."""
    words = ("raising",)
    items = [((0, 0, 1), f"V:{edit_script('raising', sense)}") for sense in ("a.01", "raise.01")]
    found = from_items("frames", *zip(*items, strict=True), words)
    assert found == Frames((Frame(0, "a.01", ()), Frame(0, "raise.01", ())))
