"""Nested entities and coreference in MISC."""

from collections import Counter
from pathlib import Path

import pytest

from hiermtl.errors import DataError
from hiermtl.text.conllu import read_conllu
from hiermtl.text.entities import entity_structures
from hiermtl.text.sentence import Mentions, Origin, Span, Spans

HERE = Origin("f", 4)
GUM = "GRP-etype-infstat-salience-centering-minspan-link-identity"


def spans(cells: list[str], header: str = GUM) -> tuple[list[Span], list[Span]]:
    found = entity_structures(cells, header, origin=HERE)
    assert found is not None
    entity, coref = found["entity"], found["coref"]
    assert isinstance(entity, Spans)
    assert isinstance(coref, Mentions)
    return list(entity.spans), list(coref.mentions)


def test_mentions_nest_repeat_and_stand_alone() -> None:
    cells = ["(1-person-new-x(2-place-new-x)", "", "(3-event-new)1)", "(1-person-giv)(4-time)"]
    types, groups = spans(cells)
    assert types == [
        Span(0, 3, "person"),
        Span(0, 1, "place"),
        Span(2, 3, "event"),
        Span(3, 4, "person"),
        Span(3, 4, "time"),
    ]
    assert [span.label for span in groups] == ["1", "2", "3", "1", "4"]


def test_one_group_may_be_open_twice_and_spans_may_cross() -> None:
    types, groups = spans(["(1-a", "(1-a", "1)", "(2-b", "1)", "2)"])
    assert [(s.start, s.end) for s in groups] == [(0, 5), (1, 3), (3, 6)]
    assert [s.label for s in types] == ["a", "a", "b"]


def test_identities_may_hold_hyphens_and_fields_may_lack() -> None:
    types, _ = spans(["(1-person-new-nnn-cf1-1-sgl-Jean-Paul_Sartre)", "(e2)"])
    assert [span.label for span in types] == ["person", ""]


def test_the_header_names_the_fields() -> None:
    types, groups = spans(["(e7-person-2-x)"], "eid-etype-head-other")
    assert (types, groups) == ([Span(0, 1, "person")], [Span(0, 1, "e7")])
    with pytest.raises(DataError, match=r"f:4: .* is 'a-b'; its fields need etype and one of GRP"):
        entity_structures(["(1-x)"], "a-b", origin=HERE)


def test_mentions_of_several_parts_are_no_spans() -> None:
    header = "eid-etype-head-other"
    assert entity_structures(["(e1[1/2]-x-1-)", "", "(e1[2/2]-x-1-)"], header, origin=HERE) is None


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["1)"], "Entity= of word 1: '1' is closed and was never opened"),
        (["", "(1-x"], "Entity= of word 2: '1' is never closed"),
        (["(1-x)y"], "Entity= of word 1: 'y' is no bracket"),
        (["x(1-x)"], "is no bracket"),
    ],
)
def test_brackets_must_balance(cells: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        entity_structures(cells, GUM, origin=HERE)


def test_conllu_has_structures_after_the_comment(tmp_path: Path) -> None:
    row = "1\tAda\t_\tPROPN\t_\t_\t0\troot\t_\t{}\n\n"
    text = (
        row.format("Entity=(9-x)") + f"# global.Entity = {GUM}\n" + row.format("Entity=(1-person)")
    )
    (tmp_path / "a.conllu").write_text(text + row.format("_"))
    before, there, empty = read_conllu(tmp_path / "a.conllu")
    assert not before.layers.keys() & {"entity", "coref"}
    assert there.layers["entity"] == Spans((Span(0, 1, "person"),))
    assert (empty.layers["entity"], empty.layers["coref"]) == (Spans(()), Mentions(()))


@pytest.mark.parametrize(
    ("split", "mentions", "groups"), [("dev", 7897, 3940), ("test", 7927, 4319)]
)
def test_gum_has_its_known_numbers(
    data_folder: Path, split: str, mentions: int, groups: int
) -> None:
    found: Counter[tuple[str | None, str]] = Counter()
    for sentence in read_conllu(data_folder / "ud_english_gum" / f"en_gum-ud-{split}.conllu"):
        coref = sentence.layers["coref"]
        assert isinstance(coref, Mentions)
        found.update((sentence.doc_id, span.label) for span in coref.mentions)
    assert (found.total(), len(found)) == (mentions, groups)


def test_mentions_that_are_no_spans_leave_the_rest_of_the_sentence(tmp_path: Path) -> None:
    """On empty nodes, or without types: no structures, and no error either."""
    rows = "1\tAda\t_\tPROPN\t_\t_\t0\troot\t_\t{}\n{}2\tslept\t_\tVERB\t_\t_\t1\tdep\t_\t{}\n\n"
    empty = "1.1\tshe\t_\t_\t_\t_\t_\t_\t1:dep\tEntity=(e1-person-1-\n"
    typed = "# global.Entity = eid-etype-head-other\n"
    text = typed + rows.format("_", empty, "Entity=e1)") + rows.format("Entity=(e2-x-1-)", "", "_")
    text += "# global.Entity = eid-head-other\n" + rows.format("Entity=(e1-1-", "", "_")
    (tmp_path / "a.conllu").write_text(text)
    hidden, plain, untyped = read_conllu(tmp_path / "a.conllu")
    assert not (hidden.layers.keys() | untyped.layers.keys()) & {"entity", "coref"}
    assert plain.layers["entity"] == Spans((Span(0, 1, "x"),))
    assert hidden.layers["upos"] == ("PROPN", "VERB")
