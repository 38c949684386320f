"""Layouts: words to units and back, some sentences of a batch, and streams of fewer sentences."""

import gc
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hiermtl.records import HeadOutput, Layout, Stream, recurring, take
from hiermtl.tokens import Collator
from tests.worlds import ALL, FAMILIES, SENTENCES, World, assert_same, make_world

every_layout = pytest.mark.parametrize("flat", [True, False], ids=["flat", "padded"])
ARRAYS = (
    "word_counts",
    "row_sentences",
    "row_lengths",
    "row_starts",
    "word_units",
    "piece_units",
    "piece_words",
    "scatter_units",
    "scatter_words",
)


def layout_of(*, flat: bool = True, limit: int = 64, family: str = "bert") -> Layout:
    return world_of(limit=limit, family=family).batch(examples_of(limit), flat=flat).layout


def world_of(*, limit: int = 64, family: str = "bert") -> World:
    return make_world(family, depths={"upos": 1}, limit=limit)


def examples_of(limit: int) -> list:
    return world_of(limit=limit).examples()


def words_by_hand(layout: Layout, values: torch.Tensor, pooling: str) -> torch.Tensor:
    rows = []
    for word in range(layout.words):
        units = layout.piece_units[layout.piece_words == word]
        rows.append(values[units[0]] if pooling == "first" else values[units].mean(0))
    return torch.stack(rows)


@every_layout
@pytest.mark.parametrize("pooling", ["first", "mean"])
@pytest.mark.parametrize("limit", [64, 7])
def test_gathering_takes_the_first_piece_or_the_mean_of_all(
    flat: bool, pooling: str, limit: int
) -> None:
    layout = layout_of(flat=flat, limit=limit)
    values = torch.randn(layout.units, 3, dtype=torch.float64)
    torch.testing.assert_close(
        layout.gather(values, pooling), words_by_hand(layout, values, pooling)
    )


def test_first_and_mean_agree_on_words_of_one_piece_and_nowhere_else() -> None:
    layout = layout_of()
    values = torch.randn(layout.units, 3)
    one = torch.from_numpy(np.bincount(layout.piece_words) == 1)
    equal = (layout.gather(values, "first") == layout.gather(values, "mean")).all(-1)
    assert torch.equal(equal, one)
    assert 0 < one.sum() < len(one)


def test_a_layout_of_whole_words_gathers_the_same_either_way() -> None:
    world = world_of(family="bilstm")
    layout = world.batch(world.examples()).layout
    values = torch.randn(layout.units, 3)
    assert torch.equal(layout.gather(values, "first"), layout.gather(values, "mean"))


@every_layout
@pytest.mark.parametrize("limit", [64, 7])
@pytest.mark.parametrize("pooling", ["first", "mean"])
def test_gathering_what_was_scattered_gives_it_back(flat: bool, limit: int, pooling: str) -> None:
    layout = layout_of(flat=flat, limit=limit)
    words = torch.randn(layout.words, 3, dtype=torch.float64)
    torch.testing.assert_close(layout.gather(layout.scatter(words), pooling), words)


@every_layout
@pytest.mark.parametrize("limit", [64, 7])
def test_scattering_fills_every_copy_of_every_piece_and_leaves_the_rest_zero(
    flat: bool, limit: int
) -> None:
    layout = layout_of(flat=flat, limit=limit)
    units = layout.scatter(1 + torch.arange(layout.words).unsqueeze(-1))[:, 0].numpy()
    expected = np.zeros(layout.units, dtype=int)
    expected[layout.scatter_units] = layout.scatter_words + 1
    assert (units == expected).all()
    specials = layout.row_starts
    assert not units[specials].any()
    assert not units[specials + layout.row_lengths - 1].any()
    copies = len(layout.scatter_units)
    assert (units > 0).sum() == copies
    assert copies > len(layout.piece_units) if limit == 7 else copies == len(layout.piece_units)


@given(
    chosen=st.sets(st.integers(0, len(SENTENCES) - 1)),
    flat=st.booleans(),
    family=st.sampled_from(FAMILIES),
    limit=st.sampled_from([64, 7]),
)
def test_selecting_sentences_equals_building_the_batch_from_them_alone(
    chosen: set[int], flat: bool, family: str, limit: int
) -> None:
    world = WORLDS[family, limit]
    batch = world.batch(world.examples(), ALL[:1], flat=flat)
    places = np.array(sorted(chosen), dtype=np.int64)
    selection = batch.layout.select(places)
    if not chosen:
        assert (selection.layout.sentences, selection.layout.words, selection.layout.units) == (
            0,
            0,
            0,
        )
        return
    kept = [world.examples()[i] for i in batch.order[places]]
    alone = world.batch(kept, ALL[:1], flat=flat)
    assert list(alone.order) == list(range(len(kept)))
    if flat or selection.layout.padded == alone.layout.padded:
        for name in ARRAYS:
            assert (getattr(selection.layout, name) == getattr(alone.layout, name)).all(), name
        assert selection.layout.units == alone.layout.units
    words = selection.take_words(torch.arange(batch.layout.words))
    expected = np.flatnonzero(np.isin(batch.layout.word_sentences, places))
    assert words.tolist() == expected.tolist()
    ids = batch.layout.gather(batch.inputs["ids"].unsqueeze(-1).double(), "first")
    own = selection.layout.gather(
        selection.take_units(batch.inputs["ids"]).unsqueeze(-1).double(), "first"
    )
    assert torch.equal(own, selection.take_words(ids))


WORLDS = {(f, limit): world_of(limit=limit, family=f) for f in FAMILIES for limit in (64, 7)}


def test_the_first_sentences_are_taken_as_a_slice_and_others_by_index() -> None:
    layout = layout_of()
    assert layout.select(np.arange(layout.sentences)).units is None
    assert layout.select(np.arange(layout.sentences)).layout is layout
    assert isinstance(layout.select(np.array([0, 1])).units, slice)
    assert isinstance(layout.select(np.array([0, 2])).units, torch.Tensor)


@every_layout
@pytest.mark.parametrize("chosen", [[0, 1, 3], [0, 2, 3], [1, 3], [2, 3], [3]])
def test_a_sentence_without_words_may_be_among_those_taken(flat: bool, chosen: list[int]) -> None:
    """Where nothing stands before and behind a sentence's pieces, its row has no unit."""
    world = make_world("bilstm", depths={"upos": 1})
    counts = [3, 2, 1, 0]
    layouts = [
        Collator(world.tokenizer, {"upos": 1}, flat=flat)(
            world.examples([["a"] * count for count in own], [()]), ["upos"]
        ).layout
        for own in (counts, [counts[at] for at in chosen])
    ]
    own = layouts[0].select(np.array(chosen)).layout
    for name in ("word_counts", "row_lengths", "row_sentences", "word_units"):
        if name != "word_units" or flat:  # rows are padded to the longest of all
            np.testing.assert_array_equal(getattr(own, name), getattr(layouts[1], name))
    if flat:
        np.testing.assert_array_equal(own.row_starts, layouts[1].row_starts)


def test_a_selection_is_made_once() -> None:
    layout = layout_of()
    assert layout.select(np.array([1, 2])) is layout.select(np.array([1, 2]))
    assert layout.select(np.array([1, 2])) is not layout.select(np.array([1, 3]))


@every_layout
def test_narrowing_twice_equals_narrowing_once(flat: bool) -> None:
    layout = layout_of(flat=flat, limit=7)
    stream = Stream(torch.randn(layout.units, 2), layout, np.arange(layout.sentences))
    once = stream.narrow(np.array([1, 4]))
    twice = stream.narrow(np.array([0, 1, 4, 5])).narrow(np.array([1, 4]))
    assert torch.equal(once.values, twice.values)
    assert_same(
        {n: once.layout.tensor(n) for n in ARRAYS}, {n: twice.layout.tensor(n) for n in ARRAYS}
    )
    assert twice.sentences.tolist() == [1, 4]
    assert stream.narrow(stream.sentences) is stream
    replaced = once.replace(once.values + 1)
    assert replaced.layout is once.layout
    assert torch.equal(replaced.values, once.values + 1)


@every_layout
def test_narrowing_before_gathering_equals_gathering_before_narrowing(flat: bool) -> None:
    layout = layout_of(flat=flat)
    stream = Stream(torch.randn(layout.units, 2), layout, np.arange(layout.sentences))
    chosen = np.array([0, 3, 4])
    narrow = stream.narrow(chosen)
    words = layout.select(chosen).take_words(layout.gather(stream.values, "mean"))
    torch.testing.assert_close(narrow.layout.gather(narrow.values, "mean"), words)


def test_an_output_knows_where_sentences_of_the_batch_stand_in_it() -> None:
    output = HeadOutput({}, layout_of(), np.array([1, 4, 6]))
    assert output.positions([4, 6]).tolist() == [1, 2]


def test_taking_by_none_slice_and_index() -> None:
    values = torch.arange(5)
    assert take(values, None) is values
    assert take(values, slice(0, 2)).tolist() == [0, 1]
    assert take(values, torch.tensor([4, 0])).tolist() == [4, 0]


def test_word_starts_and_sentences_follow_from_the_counts() -> None:
    layout = layout_of()
    counts = layout.word_counts
    assert layout.words == counts.sum() == len(layout.word_units)
    assert layout.word_starts.tolist() == [0, *np.cumsum(counts)]
    assert layout.word_sentences.tolist() == [i for i, n in enumerate(counts) for _ in range(n)]
    assert layout.rows == len(layout.row_lengths)


def test_what_a_layout_caches_is_made_once() -> None:
    layout = layout_of()
    first = layout.cached("thing", lambda: [1])
    assert layout.cached("thing", lambda: [2]) is first
    assert layout.cached("other", lambda: [2]) == [2]
    assert layout.tensor("word_units") is layout.tensor("word_units")


def test_a_collator_without_a_limit_makes_one_row_a_sentence() -> None:
    world = world_of(family="bilstm")
    batch = Collator(world.tokenizer, {"upos": 1})(world.examples())
    assert batch.layout.rows == batch.layout.sentences


def test_sizes_grow_by_a_sixteenth_at_most_and_few_occur() -> None:
    counts = range(1, 5000)
    sizes = [recurring(count) for count in counts]
    assert sizes == sorted(sizes)
    for count, size in zip(counts, sizes, strict=True):
        assert size % 8 == 0
        assert count <= size < max(count + 8, count * 17 / 16 + 1)
        assert recurring(size) == size
        assert recurring(count, steps=4) < max(count + 8, count * 5 / 4 + 1)
        assert count <= recurring(count, steps=8, grain=1) < count * 9 / 8 + 1
    assert recurring(0) == 0
    assert len({size for count, size in zip(counts, sizes, strict=True) if count > 512}) < 64


@pytest.mark.parametrize("family", FAMILIES)
def test_units_of_no_row_reach_no_word_and_get_no_gradient(family: str) -> None:
    world = world_of(family=family)
    batch = world.batch(world.examples())
    real = int(batch.layout.row_lengths.sum())
    assert real < batch.layout.units == recurring(real)
    values = world.model.stack.embedding("shared")(batch.inputs, batch.layout).detach()
    found = []
    for rest in (0.0, 1e3):
        given = values.clone()
        given[real:] = rest
        given.requires_grad_()
        out = world.model.stack.block(1, "shared")(given, batch.layout)
        words = batch.layout.gather(out, "first")
        words.pow(2).sum().backward()
        assert given.grad is not None
        assert not given.grad[real:].any()
        found.append((words, given.grad))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


def test_a_layout_that_is_dropped_frees_what_it_keeps() -> None:
    """Layouts hold masks and orderings; one that held itself would wait for the collector."""
    gc.disable()
    try:
        layout = layout_of()
        layout.tensor("word_counts")
        gone = weakref.ref(layout)
        del layout
        assert gone() is None
    finally:
        gc.enable()
