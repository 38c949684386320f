"""Windows, rows and gold of a batch."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hiermtl.records import MISSING
from hiermtl.tokens import Collator
from hiermtl.tokens.collate import windows
from tests.worlds import ALL, RAGGED, SENTENCES, make_world, per_sentence

LONG = tuple("abcdefghij"[i % 10] * (1 + i % 3) for i in range(30))  # 60 pieces
every_layout = pytest.mark.parametrize("flat", [True, False], ids=["flat", "padded"])


@given(pieces=st.integers(0, 300), limit=st.integers(1, 40))
def test_own_ranges_cover_each_piece_exactly_once(pieces: int, limit: int) -> None:
    cut = windows(pieces, limit)
    owned = [piece for _, _, first, last in cut for piece in range(first, last)]
    assert owned == list(range(pieces))
    for first, last, own_first, own_last in cut:
        assert 0 <= first <= own_first <= own_last <= last <= pieces
        assert last - first <= limit


@given(pieces=st.integers(1, 300), limit=st.integers(8, 40))
def test_windows_overlap_by_a_quarter_and_are_full(pieces: int, limit: int) -> None:
    cut = windows(pieces, limit)
    if pieces <= limit:
        assert cut == [(0, pieces, 0, pieces)]
        return
    for (_, end, _, own_end), (start, _, own_start, _) in itertools.pairwise(cut):
        assert end - start >= limit // 4
        assert own_end == own_start
        assert start + limit // 8 <= own_end <= end - limit // 8
    assert all(last - first == limit for first, last, _, _ in cut)


def test_without_a_limit_there_is_one_window() -> None:
    assert windows(1000, None) == [(0, 1000, 0, 1000)]


@every_layout
@torch.no_grad()
def test_a_sentence_beyond_the_limit_has_one_state_for_every_word(flat: bool) -> None:
    world = make_world("bert", depths={"upos": 2}, limit=16)
    batch = world.batch(world.examples([LONG, *SENTENCES], [("upos",)]), flat=flat)
    layout = batch.layout
    assert layout.row_lengths.max() == 16
    long = int(np.flatnonzero(batch.order == 0)[0])
    assert (layout.row_sentences == long).sum() == len(windows(60, 14)) > 4
    assert layout.word_counts[long] == len(LONG)
    assert len(set(layout.word_units.tolist())) == layout.words
    assert (
        len(layout.piece_units) == len(set(layout.piece_units.tolist())) == layout.piece_words.size
    )
    scores = per_sentence(batch, world.model(batch)["upos"])
    assert len(scores[0]["labels"]) == len(LONG)
    assert scores[0]["labels"].isfinite().all()
    assert world.losses(batch)["upos"].isfinite()


@torch.no_grad()
def test_each_piece_stands_where_its_row_says() -> None:
    world = make_world("bert", depths={"upos": 2}, limit=16)
    examples = world.examples([LONG, *SENTENCES])
    batch = world.batch(examples)
    pieces = np.concatenate([examples[i].pieces for i in batch.order])
    ids = batch.inputs["ids"].numpy()
    assert (ids[batch.layout.piece_units] == pieces).all()
    first = np.flatnonzero(np.diff(batch.layout.piece_words, prepend=-1))
    assert (batch.layout.word_units == batch.layout.piece_units[first]).all()
    assert (ids[batch.layout.row_starts] == 2).all()
    assert (ids[batch.layout.row_starts + batch.layout.row_lengths - 1] == 3).all()
    positions = batch.inputs["positions"].numpy()
    for start, length in zip(batch.layout.row_starts, batch.layout.row_lengths, strict=True):
        assert positions[start : start + length].tolist() == list(range(length))


@torch.no_grad()
def test_sentences_within_the_limit_do_not_notice_a_long_one() -> None:
    world = make_world("bert", depths={"upos": 2}, limit=16)
    batch = world.batch(world.examples([*SENTENCES, LONG], [("upos",)]))
    beside = per_sentence(batch, world.model(batch)["upos"])
    batch = world.batch(world.examples(SENTENCES, [("upos",)]))
    alone = per_sentence(batch, world.model(batch)["upos"])
    for place, scores in alone.items():
        torch.testing.assert_close(beside[place]["labels"], scores["labels"])


@torch.no_grad()
def test_a_limit_that_is_not_reached_changes_nothing() -> None:
    narrow, wide = (make_world("bert", depths={"upos": 2}, limit=limit) for limit in (64, 20))
    state = narrow.model.state_dict()
    name = "stack.embeddings.shared.parts.positions.weight"
    state[name] = state[name][:20]
    wide.model.load_state_dict(state)
    scores = []
    for world in (narrow, wide):
        batch = world.batch(world.examples(SENTENCES, [("upos",)]))
        scores.append(world.model(batch)["upos"].scores["labels"])
    assert torch.equal(*scores)


def test_order_says_where_each_sentence_came_from() -> None:
    world = make_world("bert")
    examples = world.examples()
    batch = world.batch(examples)
    assert sorted(batch.order) == list(range(len(examples)))
    counts = [len(examples[i].piece_counts) for i in batch.order]
    assert batch.layout.word_counts.tolist() == counts


@pytest.mark.parametrize("family", ["bert", "bilstm"])
def test_gold_is_missing_where_a_sentence_has_none(family: str) -> None:
    world = make_world(family)
    batch = world.batch(world.examples())
    for task in ("upos", "ner", "dep"):
        has = np.array([task in RAGGED[i] for i in batch.order])
        assert (batch.annotated[task] == has).all()
        for values in batch.gold[task].values():
            absent = (values == MISSING).numpy()
            assert (absent == ~np.repeat(has, batch.layout.word_counts)).all()


def test_tasks_asked_of_all_decide_the_order_by_length_alone() -> None:
    world = make_world("bilstm")
    batch = world.batch(world.examples(), ["upos"])
    lengths = batch.layout.row_lengths.tolist()
    assert lengths == sorted(lengths, reverse=True)
    ragged = world.batch(world.examples()).layout.row_lengths.tolist()
    assert ragged != lengths


def test_a_task_the_model_does_not_have_decides_nothing() -> None:
    world = make_world("bilstm")
    collator = Collator(world.tokenizer, {"upos": 1})
    batch = collator(world.examples())
    assert set(batch.annotated) == set(ALL)
    outputs = make_world("bilstm", depths={"upos": 1}).model(batch)
    assert set(outputs) == {"upos"}
