"""Prediction in batches: what comes out does not depend on how it was batched."""

import pytest
import torch

from hiermtl.annotation.entries import Together
from hiermtl.annotation.predict import predict, predict_scored
from hiermtl.config import HierarchicalConfig
from hiermtl.errors import ModelError
from hiermtl.model import HierarchicalModel
from hiermtl.text.sentence import Tree
from hiermtl.tokens import Tokenizer

Parts = tuple[HierarchicalModel, Tokenizer]


def one_by_one(parts: Parts, sentences: list[list[str]]) -> list[dict]:
    return [next(predict(*parts, [words])) for words in sentences]


def test_layers_come_in_order_with_one_value_per_word(parts: Parts, sentences: list[list[str]]):
    found = list(predict(*parts, sentences))
    assert len(found) == len(sentences)
    for words, layers in zip(sentences, found, strict=True):
        assert list(layers) == ["upos", "ner", "dep"]
        assert len(layers["upos"]) == len(layers["ner"]) == len(words)
        assert len(layers["dep"].heads) == len(layers["dep"].relations) == len(words)
        if words:
            assert layers["dep"].heads.count(0) == 1


def test_labels_are_strings_of_the_inventory(parts: Parts, sentences: list[list[str]]):
    model = parts[0]
    for layers in predict(*parts, sentences):
        assert set(layers["upos"]) <= set(model.head("upos").labels)
        assert all(type(head) is int for head in layers["dep"].heads)


@pytest.mark.parametrize("budget", [1, 30, 100_000])
@pytest.mark.parametrize("flat", [True, False])
def test_batching_changes_no_label(parts: Parts, sentences, budget: int, flat: bool):
    found = list(predict(*parts, sentences, tokens_per_batch=budget, flat=flat))
    assert found == one_by_one(parts, sentences)


def test_rows_side_by_side_share_batches_with_rows_of_their_length(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward, shapes = HierarchicalModel.forward, []

    def watched(model, batch, *rest):
        shapes.append(batch.layout.row_lengths)
        return forward(model, batch, *rest)

    monkeypatch.setattr(HierarchicalModel, "forward", watched)
    sentences = [["a"] * length for length in (8, 1, 8, 2, 1, 8, 1)]
    for alike in (True, False):
        monkeypatch.setattr(parts[0].stack, "side_by_side", alike)
        shapes.clear()
        list(predict(*parts, sentences, tokens_per_batch=37))
        padded = [len(lengths) * lengths.max() for lengths in shapes]
        assert (max(padded) <= 37) == alike


@pytest.mark.parametrize("window", [1, 2, 5, 1000])
def test_the_window_changes_no_label(parts: Parts, sentences: list[list[str]], window: int):
    assert list(predict(*parts, sentences, window=window)) == one_by_one(parts, sentences)


def test_scores_are_those_of_each_sentence_alone(parts: Parts, sentences: list[list[str]]):
    together = list(predict_scored(*parts, sentences))
    for words, found in zip(sentences, together, strict=True):
        (alone,) = predict_scored(*parts, [words])
        assert found.layers == alone.layers
        assert set(found.scores) == (set(found.layers) if words else set())
        for task, values in found.scores.items():
            assert len(values) == len(words)
            assert all(0 <= value <= 1.000001 for value in values)
            assert values == pytest.approx(alone.scores[task], abs=1e-5)


def test_a_score_is_the_probability_of_the_label_chosen(bert: Parts):
    model, _ = bert
    (found,) = predict_scored(*bert, [["a", "bc", "d"]], tasks=["upos"])
    assert all(value >= 1 / len(model.head("upos").labels) for value in found.scores["upos"])


def test_only_the_tasks_asked_for_are_returned(parts: Parts):
    (layers,) = predict(*parts, [["a", "b"]], tasks=["ner"])
    assert list(layers) == ["ner"]


def test_low_tasks_are_the_same_without_the_blocks_above(parts: Parts, sentences):
    whole = [layers["upos"] for layers in predict(*parts, sentences)]
    assert [layers["upos"] for layers in predict(*parts, sentences, tasks=["upos"])] == whole


@pytest.mark.parametrize(("task", "depth"), [("upos", 1), ("ner", 2), ("dep", 3)])
def test_no_block_above_the_task_is_called(parts: Parts, task: str, depth: int):
    model, _ = parts
    called: list[int] = []
    for at in range(1, model.stack.depth + 1):
        block = model.stack.block(at, "shared")
        block.register_forward_hook(lambda *_, at=at: called.append(at))
    heads = [name for name in model.hierarchy.names if name != task]
    for name in heads:
        model.head(name).register_forward_hook(lambda *_: pytest.fail("a head nobody asked"))
    list(predict(*parts, [["a", "b"]] * 3, tasks=[task]))
    assert called == list(range(1, depth + 1))


def test_sentences_without_words_do_not_touch_the_model(bert: Parts):
    model, _ = bert
    model.register_forward_hook(lambda *_: pytest.fail("the model was called"))
    empty = {"upos": (), "ner": (), "dep": Tree((), ())}
    assert list(predict(*bert, [[], []])) == [empty, empty]
    assert list(predict(*bert, [])) == []
    assert list(predict(*bert, [["a"]], tasks=[])) == [{}]


def test_no_batch_exceeds_the_budget_but_one_long_sentence(bert: Parts, sentences):
    sizes: list[tuple[int, int]] = []
    model, _ = bert
    model.register_forward_pre_hook(
        lambda _, given: sizes.append(
            (given[0].layout.row_lengths.sum(), given[0].layout.sentences)
        )
    )
    for flat in (True, False):
        list(predict(*bert, sentences, tokens_per_batch=60, flat=flat))
    assert len(sizes) > 4
    assert all(units <= 60 or count == 1 for units, count in sizes)


def test_a_stream_is_read_one_window_ahead(bert: Parts):
    read = 0

    def stream():
        nonlocal read
        while True:
            read += 1
            yield ["a", "b"]

    found = predict(*bert, stream(), window=4)
    for _ in range(5):
        next(found)
    assert read == 8


def test_long_sentences_shorten_the_window(bert: Parts, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("hiermtl.annotation.entries.WORDS_PER_WINDOW", 10)
    read = 0

    def stream():
        nonlocal read
        for _ in range(9):
            read += 1
            yield ["a"] * 5

    next(predict(*bert, stream()))
    assert read == 2


def test_the_modes_of_modules_come_back(bert: Parts):
    model, _ = bert
    model.train()
    model.head("ner").eval()
    before = [module.training for module in model.modules()]
    first = list(predict(*bert, [["a", "b", "c"]] * 4))
    assert [module.training for module in model.modules()] == before
    assert first == list(predict(*bert, [["a", "b", "c"]] * 4)), "dropout is off"


def test_the_modes_come_back_after_an_error(bert: Parts):
    model, _ = bert
    model.train()
    model.head("ner").register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        list(predict(*bert, [["a"]]))
    assert all(module.training for module in model.modules())


def test_no_gradient_is_recorded(bert: Parts):
    model, _ = bert
    seen: list[bool] = []
    model.register_forward_hook(lambda *_: seen.append(torch.is_inference_mode_enabled()))
    list(predict(*bert, [["a"]]))
    assert seen == [True]
    assert not torch.is_inference_mode_enabled()


def test_an_unknown_task_is_named_at_once_with_those_there_are(bert: Parts):
    with pytest.raises(ModelError, match=r"no task 'upso'; it has upos, ner and dep; did.*'upos'"):
        predict(*bert, [["a"]], tasks=["upso"])


@pytest.mark.parametrize("option", ["tokens_per_batch", "window"])
def test_numbers_below_one_are_refused(bert: Parts, option: str):
    with pytest.raises(ModelError, match=f"{option} is 0; allowed is 1"):
        predict(*bert, [["a"]], **{option: 0})


def test_padded_batches_of_pairs_keep_to_the_budget(
    bert: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward, sizes = HierarchicalModel.forward, []

    def watched(model, batch, *rest):
        sizes.append(batch.layout.rows * batch.layout.padded)
        return forward(model, batch, *rest)

    monkeypatch.setattr(HierarchicalModel, "forward", watched)
    options = {"depth": 2, "head": "pair_classification", "labels": ["no", "yes"]}
    config = HierarchicalConfig(bert[0].config.encoder, {"entails": options})
    parts = HierarchicalModel(config).eval(), bert[1]
    long, short = ["a"] * 16, ["b"]
    given = [Together((long, short)), *[Together((short, short))] * 6, Together((short, long))]
    list(predict_scored(*parts, given, tokens_per_batch=80, flat=False))
    assert sum(sizes) > 80
    assert max(sizes) <= 80
