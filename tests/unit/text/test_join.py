from pathlib import Path

import pytest

from hiermtl.errors import DataError, RecipeError
from hiermtl.text.columns import read_columns
from hiermtl.text.conllu import read_conllu
from hiermtl.text.join import JoinReport, join_layers
from hiermtl.text.sentence import (
    Frame,
    Frames,
    Layer,
    Mentions,
    Origin,
    Relation,
    Relations,
    Sentence,
    Span,
    Spans,
    Tree,
)


def make(name: str | None, words: str, line: int = 1, **layers: Layer) -> Sentence:
    return Sentence(tuple(words.split()), layers, sent_id=name, origin=Origin("f", line))


def test_layers_are_joined_by_id_and_differences_counted() -> None:
    base = [make("1", "a b", upos=("X", "Y")), make("2", "c"), make("3", "d e"), make("4", "f")]
    other = [
        make("3", "de", ner=("O",)),
        make("9", "z", ner=("O",)),
        make("1", "a b", ner=("O", "B-X"), junk=("x", "y")),
        make("4", "f"),
    ]
    reports: list[JoinReport] = []
    found = list(join_layers(base, other, layers=["ner"], report=reports.append))
    assert [dict(s.layers) for s in found] == [
        {"upos": ("X", "Y"), "ner": ("O", "B-X")},
        {},
        {},
        {},
    ]
    (report,) = reports
    assert (report.joined, report.different_forms, report.common) == (2, 1, 3)
    assert (report.missing_in_other, report.missing_in_base) == (1, 1)
    assert report.lines() == [
        "2 of 3 common sentences have the same forms",
        "1 left out: forms differ (3)",
        "1 without a partner among those joined to them (2)",
        "1 among those joined that have no partner (9)",
    ]


@pytest.mark.parametrize(
    ("base", "other", "tags", "expected"),
    [
        ("New York", "NewYork", ("B-LOC",), ("B-LOC", "I-LOC")),
        ("NewYork is", "New York is", ("B-LOC", "I-LOC", "O"), ("B-LOC", "O")),
        ("NewYork", "New York", ("B-LOC", "O"), None),
        ("ab c", "a bc", ("O", "O"), ("O", "O")),
        ("ab", "abc", ("O",), None),
        ("a b", "ab", (None,), None),
        ("a b", "ab", ("NOUN",), None),
    ],
)
def test_spans_are_carried_over_only_where_that_is_certain(
    base: str, other: str, tags: Layer, expected: Layer | None
) -> None:
    reports: list[JoinReport] = []
    (found,) = join_layers(
        [make("1", base)],
        [make("1", other, ner=tags)],
        layers=["ner"],
        mismatch="project",
        report=reports.append,
    )
    assert found.layers.get("ner") == expected
    assert (reports[0].projected, reports[0].different_forms) == ((1, 0) if expected else (0, 1))


def test_an_id_used_twice_is_named_with_both_lines() -> None:
    twice = [make("1", "a", 1), make("1", "b", 5)]
    once = [make("1", "a")]
    for base, other in ((twice, once), (once, twice)):
        with pytest.raises(DataError, match="f:5: sent_id '1' was used before, at f:1"):
            list(join_layers(base, other, layers=["ner"]))


def test_sentences_without_ids_join_by_position_only() -> None:
    base, other = [make(None, "a"), make(None, "b")], [make(None, "a", ner=("O",))]
    with pytest.raises(DataError, match="without `# sent_id`"):
        list(join_layers(base, other, layers=["ner"]))
    reports: list[JoinReport] = []
    found = list(join_layers(base, other, layers=["ner"], key="position", report=reports.append))
    assert [dict(s.layers) for s in found] == [{"ner": ("O",)}, {}]
    assert (reports[0].joined, reports[0].missing_in_other) == (1, 1)


def test_files_that_have_nothing_in_common_are_refused() -> None:
    with pytest.raises(DataError, match=r"no sentence has a partner by sent_id \(1 against 2\)"):
        list(join_layers([make("1", "a")], [make("2", "a")], layers=["ner"]))


def test_unknown_options_are_refused_at_the_call() -> None:
    with pytest.raises(RecipeError, match="key: 'text'"):
        join_layers([], [], layers=[], key="text")  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match="mismatch: 'guess'"):
        join_layers([], [], layers=[], mismatch="guess")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("split", "other", "common", "same"),
    [
        ("train", "en_ewt-ud-train.normalized.iob2", 12543, 12529),
        ("dev", "en_ewt-ud-dev.iob2", 2001, 1998),
        ("test", "en_ewt-ud-test.iob2", 2077, 2074),
    ],
)
def test_ewt_and_uner_join_as_known(
    data_folder: Path, split: str, other: str, common: int, same: int
) -> None:
    reports: list[JoinReport] = []
    base = read_conllu(data_folder / f"ud_english_ewt/en_ewt-ud-{split}.conllu")
    ner = read_columns(data_folder / "uner_english_ewt" / other, {"ner": 2}, words=1)
    found = list(join_layers(base, ner, layers=["ner"], report=reports.append))
    assert (reports[0].common, reports[0].joined) == (common, same)
    assert sum("ner" in s.layers for s in found) == same


@pytest.mark.parametrize("code", ["sv_talbanken", "zh_gsdsimp"])
@pytest.mark.parametrize("split", ["dev", "test"])
def test_swedish_and_chinese_join_by_position_without_a_difference(
    data_folder: Path, code: str, split: str
) -> None:
    folder = {"sv_talbanken": "swedish_talbanken", "zh_gsdsimp": "chinese_gsdsimp"}[code]
    base = read_conllu(data_folder / f"ud_{folder}/{code}-ud-{split}.conllu")
    other = data_folder / f"uner_{folder}/{code}-ud-{split}.iob2"
    reports: list[JoinReport] = []
    ner = read_columns(other, {"ner": 2}, words=1)
    list(join_layers(base, ner, layers=["ner"], key="position", report=reports.append))
    assert reports[0].joined == reports[0].common
    assert reports[0].missing_in_other == reports[0].missing_in_base == 0


def test_layers_that_cannot_be_carried_over_are_counted() -> None:
    reports: list[JoinReport] = []
    other = make("1", "NewYork", ner=("B-LOC",), upos=("PROPN",))
    (found,) = join_layers(
        [make("1", "New York")],
        [other],
        layers=["ner", "upos"],
        mismatch="project",
        report=reports.append,
    )
    assert dict(found.layers) == {"ner": ("B-LOC", "I-LOC")}
    assert reports[0].left_out == (("upos", 1),)
    assert reports[0].lines()[-1] == "1 of those carried over lost upos"
    list(join_layers([other], [other], layers=["ner", "upos"], report=reports.append))
    assert reports[1].left_out == ()


STRUCTURES: dict[str, Layer] = {
    "entity": Spans((Span(0, 2, "LOC"), Span(1, 2, "x"))),
    "coref": Mentions((Span(0, 2, "1"),)),
    "relation": Relations((Relation((3, 4), (0, 2), "in"),)),
    "srl": Frames((Frame(2, "be.01", (Span(0, 2, "ARG1"), Span(3, 4, "ARG2"))),)),
}


@pytest.mark.parametrize("mismatch", ["skip", "project"])
def test_structures_are_joined_where_words_are_equal(mismatch: str) -> None:
    base, other = make("1", "New York is big"), make("1", "New York is big", **STRUCTURES)
    names = list(STRUCTURES)
    (found,) = join_layers([base], [other], layers=names, mismatch=mismatch)  # type: ignore[arg-type]
    assert dict(found.layers) == STRUCTURES


def projected(words: str) -> tuple[dict[str, Layer], JoinReport]:
    reports: list[JoinReport] = []
    other = make("1", "New York is big", **STRUCTURES, dep=Tree((0, 1, 1, 1), ("a",) * 4))
    (found,) = join_layers(
        [make("1", words)],
        [other],
        layers=[*STRUCTURES, "dep"],
        mismatch="project",
        report=reports.append,
    )
    return dict(found.layers), reports[0]


def test_structures_are_carried_over_by_their_characters() -> None:
    layers, report = projected("N ew York is b ig")
    assert layers == {
        "entity": Spans((Span(0, 3, "LOC"), Span(2, 3, "x"))),
        "coref": Mentions((Span(0, 3, "1"),)),
        "relation": Relations((Relation((4, 6), (0, 3), "in"),)),
        "srl": Frames((Frame(3, "be.01", (Span(0, 3, "ARG1"), Span(4, 6, "ARG2"))),)),
    }
    assert (report.projected, report.left_out) == (1, (("dep", 1),))


@pytest.mark.parametrize(
    ("words", "lost"),
    [
        ("NewYork is big", ["dep", "entity"]),
        ("New York i s big", ["dep", "srl"]),
        ("New York isbig", ["dep", "relation", "srl"]),
        ("New Yorkis big", ["coref", "dep", "entity", "relation", "srl"]),
    ],
)
def test_structures_without_words_of_their_own_are_left_out_and_counted(
    words: str, lost: list[str]
) -> None:
    layers, report = projected(words)
    assert sorted({*STRUCTURES, "dep"} - layers.keys()) == lost
    assert (report.projected, report.different_forms) == ((1, 0) if layers else (0, 1))
    assert report.left_out == (tuple((name, 1) for name in lost) if layers else ())
