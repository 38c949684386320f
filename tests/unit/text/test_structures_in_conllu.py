"""Entities, groups and roles written to CoNLL-U and read again."""

import io
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from udtools import incident
from udtools.validator import Validator

from hiermtl.errors import DataError
from hiermtl.text.conllu import parse_conllu, read_conllu
from hiermtl.text.conllu_write import Written, render_conllu
from hiermtl.text.sentence import (
    Frame,
    Frames,
    Layer,
    Mentions,
    Relation,
    Relations,
    Sentence,
    Span,
    Spans,
    kind_of,
)

ENTITY = "# global.Entity = eid-etype-head-other\n"
SRL = "# global.SRL = sense-arguments\n"
NAMES = ("entity", "mention", "coref", "srl")


def parse(text: str) -> list[Sentence]:
    return list(parse_conllu(io.BytesIO(text.encode()), "f.conllu"))


def misc(text: str) -> list[str]:
    rows = (line.split("\t") for line in text.split("\n") if line[:1].isdigit())
    return [cells[9] for cells in rows]


def words(text: str, **rest: object) -> Sentence:
    return replace(Sentence(tuple(text.split())), **rest)  # type: ignore[arg-type]


def named(*spans: tuple[int, int, str]) -> tuple[Span, ...]:
    return tuple(Span(*span) for span in spans)


def content(layer: Layer) -> object:
    """A layer whose spans have no order; a file has them in the order of their words."""
    if isinstance(layer, Spans):
        return "spans", sorted(layer.spans)
    return ("mentions", sorted(layer.mentions)) if isinstance(layer, Mentions) else layer


def test_entities_nest_and_groups_give_their_ids() -> None:
    sentence = words("Ada of Rome met her there")
    layers = {
        "entity": Spans(named((0, 3, "person"), (2, 3, "place"), (4, 5, "person"))),
        "coref": Mentions(named((0, 3, "e1"), (4, 5, "e1"))),
    }
    text = render_conllu(sentence, layers)
    assert text.startswith(ENTITY + "1\tAda")
    assert misc(text) == [
        "Entity=(e1-person-1",
        "_",
        "Entity=(span1-place-1-coref:none)e1)",
        "_",
        "Entity=(e1-person-1)",
        "_",
    ]
    (again,) = parse(text)
    assert dict(again.layers) == layers


def test_what_has_no_type_or_no_group_is_read_as_it_was() -> None:
    """Without the marks every bracket would be of both layers."""
    sentence = words("a b c")
    layers = {
        "entity": Spans(named((0, 2, "x"), (1, 2, ""))),
        "coref": Mentions(named((0, 1, "1"), (2, 3, "1"))),
    }
    text = render_conllu(sentence, layers)
    assert misc(text)[0] == "Entity=(span1-x-1-coref:none(1--1-entity:none)"
    assert dict(parse(text)[0].layers) == layers
    (unmarked,) = parse(re.sub("-(coref|entity):none", "", text))
    assert unmarked.layers["coref"] != layers["coref"]
    assert unmarked.layers["entity"] != layers["entity"]


@pytest.mark.parametrize(
    "layers",
    [
        {"entity": Spans(named((0, 1, "x")))},
        {"mention": Spans(named((0, 1, "x")))},
        {"coref": Mentions(named((0, 1, "4"), (1, 2, "4")))},
        {"mention": Spans(()), "coref": Mentions(())},
        {"entity": Spans(()), "coref": Mentions(())},
        {"srl": Frames(())},
    ],
)
def test_a_file_has_the_layers_that_were_written_and_no_others(layers: dict[str, Layer]) -> None:
    written = Written()
    text = "".join(render_conllu(words(text), layers, written=written) for text in ("a b", "c d"))
    assert [dict(sentence.layers) for sentence in parse(text)] == [layers] * 2
    assert text.count("# global") == 1 + (list(layers) not in (["entity", "coref"], ["srl"]))


def test_roles_are_written_with_words_from_one() -> None:
    sentence = words("Ada gave him the big red book", space_after=(True,) * 6 + (False,))
    frames = Frames(
        (
            Frame(1, "give.01", named((0, 1, "ARG0"), (3, 7, "ARG1"))),
            Frame(4, None, ()),
        )
    )
    text = render_conllu(sentence, {"srl": frames, "ner": ("O",) * 7})
    assert text.startswith("# global.SRL = sense-arguments\n# text = Ada gave")
    assert misc(text)[1] == "NER=O|SRL=give.01;ARG0:1-1;ARG1:4-7"
    assert (misc(text)[4], misc(text)[6]) == ("NER=O|SRL=_", "NER=O|SpaceAfter=No")
    assert parse(text)[0].layers["srl"] == frames


labels = st.text(st.characters(exclude_categories=("Cs",)), max_size=6)
groups = st.sampled_from(["1", "2", "e-3", "d2.4", "(x)", "a|b\\", "[1/2]", "\x85", "%2D"])


@st.composite
def annotated(draw: st.DrawFn) -> tuple[int, dict[str, Layer]]:
    """The number of words, and layers: spans as they come, groups without crossing mentions."""
    count = draw(st.integers(1, 8))
    ends = st.tuples(st.integers(0, count - 1), st.integers(1, count)).filter(lambda s: s[0] < s[1])
    spans = st.lists(st.tuples(ends, labels), max_size=6)
    mentions: list[Span] = []
    for (start, end), group in draw(st.lists(st.tuples(ends, groups), max_size=6)):
        own = [m for m in mentions if m.label == group]
        if not any(m.start < start < m.end < end or start < m.start < end < m.end for m in own):
            mentions.append(Span(start, end, group))
    sense = st.none() | st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=6)
    frames = draw(st.dictionaries(st.integers(0, count - 1), st.tuples(sense, spans), max_size=3))
    typed = draw(st.sampled_from(["entity", "mention"]))
    layers: dict[str, Layer] = {
        typed: Spans(tuple(Span(*place, label) for place, label in draw(spans))),
        "coref": Mentions(tuple(mentions)),
        "srl": Frames(
            tuple(
                Frame(at, known, tuple(Span(*place, role) for place, role in arguments))
                for at, (known, arguments) in sorted(frames.items())
            )
        ),
    }
    chosen = draw(st.sets(st.sampled_from(sorted(layers))))
    return count, {name: layer for name, layer in layers.items() if name in chosen}


@given(annotated(), st.booleans())
def test_spans_groups_and_frames_survive(case: tuple[int, dict[str, Layer]], heads: bool) -> None:
    count, layers = case
    sentence = Sentence(("w",) * count)
    (again,) = parse(render_conllu(sentence, layers))
    assert _contents(again.layers) == _contents(layers)
    # A sentence that was read is changed in its cells, and reads the same.
    tree = "".join(f"{n}\tw\t_\t_\t_\t_\t{n - 1}\tx\t_\tA=b|Z\n" for n in range(1, count + 1))
    (there,) = parse(tree if heads else re.sub("\t[0-9]+\tx\t", "\t_\t_\t", tree))
    text = render_conllu(there, layers)
    (again,) = parse(text)
    assert _contents({k: v for k, v in again.layers.items() if k in NAMES}) == _contents(layers)
    assert render_conllu(again, layers) == text


def _contents(layers: Mapping[str, Layer]) -> dict[str, object]:
    return {name: content(layer) for name, layer in layers.items()}


def test_mentions_of_one_group_that_cross_are_refused() -> None:
    crossing = Mentions(named((0, 3, "1"), (1, 4, "1")))
    with pytest.raises(DataError, match=r"of '1' cross: one ends with word 3, .* words 2 to 4; "):
        render_conllu(words("a b c d"), {"coref": crossing})
    touching = Mentions(named((0, 2, "1"), (1, 4, "1")))
    (again,) = parse(render_conllu(words("a b c d"), {"coref": touching}))
    assert again.layers["coref"] == touching


def test_the_head_is_the_word_that_hangs_outside() -> None:
    rows = "1\tthe\t_\t_\t_\t_\t3\tdet\t_\t_\n1.1\tx\t_\t_\t_\t_\t_\t_\t_\tEntity=(9-y-1)\n"
    rows += "2\tred\t_\t_\t_\t_\t3\tamod\t_\tBridge=1<2|Entity=(9--1)|SplitAnte=1<2\n"
    rows += "3\tbook\t_\t_\t_\t_\t4\tnsubj\t_\tX=y\n4\tfell\t_\t_\t_\t_\t0\troot\t_\t_\n\n"
    (sentence,) = parse(rows)
    text = render_conllu(sentence, {"entity": Spans(named((0, 3, "object"), (1, 3, "object")))})
    # The empty node is a word of the first mention.
    assert misc(text) == [
        "Entity=(span1-object-4",
        "_",
        "Entity=(span2-object-2",
        "X=y|Entity=span2)span1)",
        "_",
    ]
    flat = Sentence(sentence.words)
    assert "(span1-object-1\n" in render_conllu(flat, {"entity": Spans(named((0, 3, "object")))})


FILE = f"""# newdoc id = one
{ENTITY}# sent_id = 1
1-2\tIll\t_\t_\t_\t_\t_\t_\t_\tA=b
1\tI\t_\t_\t_\t_\t_\t_\t_\tEntity=(e1-person-1)|K=v
2\t'll\t_\t_\t_\t_\t_\t_\t_\tA=b

# sent_id = 2
1\tshe\t_\t_\t_\t_\t_\t_\t_\tZ

# newdoc id = two
# sent_id = 3
1\tMax\t_\t_\t_\t_\t_\t_\t_\tEntity=(e2-person-1)

# sent_id = 4
1\tran\t_\t_\t_\t_\t_\t_\t_\t_

"""


def rendered(
    sentences: Iterable[Sentence], layers: Iterable[Mapping[str, Layer]], **rest: bool
) -> str:
    written = Written()
    return "".join(
        render_conllu(sentence, own, written=written, **rest)
        for sentence, own in zip(sentences, layers, strict=True)
    )


def test_what_is_not_predicted_stays_byte_for_byte() -> None:
    sentences = parse(FILE)
    assert rendered(sentences, [{}] * 4) == FILE
    frames = [{"srl": Frames(())}] * 3 + [{"srl": Frames((Frame(0, "run.01", ()),))}]
    expected = FILE.replace("# newdoc id = two\n", f"# newdoc id = two\n{SRL}")
    expected = expected.replace("# newdoc id = one\n", f"# newdoc id = one\n{SRL}")
    expected = expected.replace(
        "1\tran\t_\t_\t_\t_\t_\t_\t_\t_", "1\tran" + "\t_" * 7 + "\tSRL=run.01"
    )
    assert rendered(sentences, frames) == expected


def test_comments_that_are_there_are_not_doubled() -> None:
    sentences = parse(FILE)
    layers = [{name: s.layers[name] for name in ("entity", "coref")} for s in sentences]
    text = rendered(sentences, layers)
    # The second document gets its comment too, and ids of its own.
    expected = FILE.replace("# newdoc id = two\n", f"# newdoc id = two\n{ENTITY}")
    assert text == expected.replace("(e2-", "(d2.e2-")
    again = parse(text)
    assert rendered(again, layers) == text
    other = FILE.replace("eid-etype-head-other", "GRP-etype-infstat").replace("-1)", "-giv)")
    assert rendered(parse(other), layers) == text


def test_comments_stand_at_the_first_sentence_of_a_file_and_of_documents() -> None:
    layers: dict[str, Layer] = {"entity": Spans(named((0, 1, "x"))), "srl": Frames(())}
    sentences = [words("a", sent_id=str(n), doc_id="d" if n < 3 else "e") for n in (1, 2, 3)]
    written = Written()
    text = "".join(
        render_conllu(sentence, layers, newdoc=place in (0, 2), written=written)
        for place, sentence in enumerate(sentences)
    )
    comments = ENTITY + "# global.EntityLayers = entity\n" + SRL
    first, second, third = text.removesuffix("\n\n").split("\n\n")
    assert first.startswith(f"# newdoc id = d\n{comments}# sent_id = 1\n1\ta")
    assert second.startswith("# sent_id = 2\n1\ta")
    assert third.startswith(f"# newdoc id = e\n{comments}# sent_id = 3\n1\ta")
    # Ids of spans in no group differ in all of the file.
    assert [row for block in (first, second, third) for row in misc(block)] == [
        f"Entity=(span{n}-x-1)" for n in (1, 2, 3)
    ]
    assert rendered(sentences, [layers] * 3).startswith(f"{comments}# sent_id = 1\n")


def test_what_shares_the_brackets_stays_if_it_is_not_predicted() -> None:
    (sentence, *_) = parse(FILE)
    (again,) = parse(render_conllu(sentence, {"coref": Mentions(named((1, 2, "7")))}))
    assert again.layers["entity"] == Spans(named((0, 1, "person")))
    assert again.layers["coref"] == Mentions(named((1, 2, "7")))
    (again,) = parse(render_conllu(sentence, {"mention": Spans(named((1, 2, "x")))}))
    assert again.layers["coref"] == Mentions(named((0, 1, "e1")))
    assert again.layers["mention"] == Spans(named((1, 2, "x")))


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ({"relation": Relations(())}, r"layer 'relation' \(relations\) has no place in CoNLL-U"),
        ({"entity": ("x",)}, r"layer 'entity' \(tags\) has no place .* spans in entity or mention"),
        ({"coref": Spans(())}, r"layer 'coref' \(spans\) has no place .* mentions in coref"),
        ({"upos": Frames(())}, r"layer 'upos' \(frames\) has no place .* frames in srl"),
        ({"entity": Spans(named((0, 2, "x")))}, "layer 'entity' has the span 0 to 2 .* of 1 words"),
        (
            {"entity": Spans(()), "mention": Spans(())},
            "'entity' and 'mention' would both be Entity=",
        ),
        ({"srl": Frames((Frame(0, "a", ()),) * 2)}, "word 1 is a predicate twice"),
    ],
)
def test_what_has_no_place_is_refused_by_name(layers: dict[str, Layer], message: str) -> None:
    with pytest.raises(DataError, match=message):
        render_conllu(words("a"), layers)


def test_relations_are_of_a_kind_of_their_own() -> None:
    assert kind_of(Relations((Relation((0, 1), (1, 2), "x"),))) == "relations"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "f.conllu:4: SRL= of 2: '' has no sense: begin it with one, or with _"),
        (";ARG0:1-1", "f.conllu:4: SRL= of 2: ';ARG0:1-1' has no sense"),
        ("ARG0:1-1", "f.conllu:4: SRL= of 2: 'ARG0:1-1' has no sense"),
        ("go.01;ARG0", "f.conllu:4: SRL= of 2: 'ARG0' is no argument: write ROLE:first-last"),
        ("go.01;ARG0:1", "'ARG0:1' is no argument"),
        ("go.01;", "'' is no argument"),
        ("go.01;ARG0:0-1", "'ARG0:0-1' in a sentence of 2 words: .* counted from 1 to 2"),
        ("go.01;ARG0:1-3", "'ARG0:1-3' in a sentence of 2 words"),
        ("go.01;ARG0:2-1", "'ARG0:2-1' in a sentence of 2 words"),
        ("go.01|SRL=go.02", "f.conllu:4: SRL= of 2: 2 values: a word is a predicate once"),
    ],
)
def test_malformed_roles_are_refused_with_line_and_value(value: str, message: str) -> None:
    rows = (
        SRL + "# sent_id = 1\n1\ta\t_\t_\t_\t_\t_\t_\t_\t_\n2\tb\t_\t_\t_\t_\t_\t_\t_\tSRL={}\n\n"
    )
    with pytest.raises(DataError, match=re.escape(message).replace(r"\.\*", ".*")):
        parse(rows.format(value))
    assert not parse(rows.format(value).replace("sense-arguments", "other"))[0].layers
    with pytest.raises(DataError, match=r"f.conllu:2: SRL= of 1-2: roles without a predicate: "):
        parse(f"{SRL}1-2\tab\t_\t_\t_\t_\t_\t_\t_\tSRL=x.01\n" + rows.format("x").split("\n", 2)[2])


def test_layers_of_brackets_are_those_there_can_be() -> None:
    row = "1\ta\t_\t_\t_\t_\t_\t_\t_\t_\n\n"
    with pytest.raises(
        DataError, match=r"f.conllu:2: .*Layers` is 'entity x'; allowed are coref, "
    ):
        parse(f"{ENTITY}# global.EntityLayers = entity x\n{row}")
    (before, after) = parse(f"{ENTITY}# global.EntityLayers = mention\n{row}{ENTITY}{row}")
    assert (set(before.layers), set(after.layers)) == ({"mention"}, {"entity", "coref"})
    with pytest.raises(DataError, match="Entity= of word 1: 'x' has no group"):
        parse("# global.Entity = etype-eid\n" + row.replace("\t_\n", "\tEntity=(x)\n"))


def gum_anew(data_folder: Path, documents: int) -> Iterator[tuple[Sentence, str, str]]:
    """Sentences of GUM's first documents, written anew, and what their groups' ids begin with."""
    written = Written()
    last = None
    for sentence in read_conllu(data_folder / "ud_english_gum" / "en_gum-ud-dev.conllu"):
        begins, last = sentence.doc_id != last, sentence.doc_id
        if begins and written.documents == documents:
            return
        names = ("entity", "coref", "dep", "upos")
        own = {name: sentence.layers[name] for name in names}
        bare = replace(sentence, lines=None)
        text = render_conllu(bare, own, newdoc=begins, written=written)
        yield sentence, text, f"d{written.documents}." if written.documents > 1 else ""


def test_gum_is_written_anew_and_read_the_same(data_folder: Path) -> None:
    sentences, texts, prefixes = zip(*gum_anew(data_folder, 30), strict=True)
    text = "".join(texts)
    assert text.count(ENTITY) == text.count("# newdoc") == 30
    for before, after, prefix in zip(sentences, parse(text), prefixes, strict=True):
        coref = after.layers["coref"]
        assert isinstance(coref, Mentions)
        assert all(span.label.startswith(prefix) for span in coref.mentions)
        groups = tuple(replace(s, label=s.label.removeprefix(prefix)) for s in coref.mentions)
        assert (after.doc_id, after.words) == (before.doc_id, before.words)
        assert after.layers["entity"] == before.layers["entity"]
        assert Mentions(groups) == before.layers["coref"]


def test_corefud_finds_nothing_wrong(data_folder: Path) -> None:
    text = "".join(text for _, text, _ in gum_anew(data_folder, 3))
    assert not complaints(text)
    assert complaints(text.replace("(d2.", "(").replace("d2.", "")) == {"entity-type-mismatch"}
    assert complaints(text.replace("-1)", "-2)")) == {"mention-head-out-of-range"}


def complaints(text: str) -> set[str]:
    """What CorefUD's validator finds wrong with entities and coreference."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        validator = Validator(lang="en", level=2, check_coref=True, output=None)
        state = validator.validate_file_handle(io.StringIO(text))
    found = [e for e in state.error_tracker if e.testclass == incident.TestClass.COREF]
    return {error.testid for error in found}
