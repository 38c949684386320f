"""Streams: the same results in the same order, and nothing left behind."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from hiermtl.annotation.predict import predict_scored
from hiermtl.annotation.streams import STREAMS, streamed
from hiermtl.model import HierarchicalModel
from hiermtl.tokens import Tokenizer

CPU = torch.device("cpu")
Parts = tuple[HierarchicalModel, Tokenizer]


@pytest.fixture
def threads() -> Iterator[int]:
    """Four threads to share out."""
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield 4
    torch.set_num_threads(before)


def where(_: object) -> tuple[str, int]:
    """The name of the thread, which others get time to take a share beside."""
    time.sleep(0.01)
    return threading.current_thread().name, torch.get_num_threads()


def test_results_come_in_the_order_of_the_items(threads: int) -> None:
    def slow_at_first(number: int) -> int:
        time.sleep(0.02 if number == 0 else 0)
        return number

    assert list(streamed(slow_at_first, range(9), CPU)) == list(range(9))


def test_streams_share_the_threads(threads: int) -> None:
    found = set(streamed(where, range(12), CPU))
    assert len({name for name, _ in found}) == STREAMS
    assert {count for _, count in found} == {threads // STREAMS}


@pytest.mark.parametrize(("items", "device"), [(3, "cpu"), (12, "meta")])
def test_few_items_and_other_devices_stay_with_the_caller(
    threads: int, items: int, device: str
) -> None:
    found = set(streamed(where, range(items), torch.device(device)))
    assert found == {(threading.current_thread().name, threads)}


def test_one_thread_is_not_shared() -> None:
    assert {name for name, _ in streamed(where, range(12), CPU)} == {
        threading.current_thread().name
    }


def test_afterwards_the_caller_has_all_threads_and_no_stream_is_left(threads: int) -> None:
    list(streamed(where, range(12), CPU))
    assert torch.get_num_threads() == threads
    assert not [t for t in threading.enumerate() if t.name.startswith("hiermtl-stream")]


def test_an_error_reaches_the_caller_and_ends_the_streams(threads: int) -> None:
    begun = []

    def failing(number: int) -> int:
        begun.append(number)
        time.sleep(0.01)
        if number == 1:
            raise ValueError("the second")
        return number

    with pytest.raises(ValueError, match="the second"):
        list(streamed(failing, range(200), CPU))
    assert len(begun) < 20
    assert torch.get_num_threads() == threads
    assert not [t for t in threading.enumerate() if t.name.startswith("hiermtl-stream")]


@pytest.mark.parametrize("half", [True, False])
def test_streams_compute_as_the_caller_would(threads: int, *, half: bool) -> None:
    weight = torch.ones(2, 2, requires_grad=True)

    def product(_: int) -> tuple[bool, bool, torch.dtype]:
        made = weight @ weight
        return torch.is_inference_mode_enabled(), made.requires_grad, made.dtype

    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        found = set(streamed(product, range(12), CPU))
    assert found == {(True, False, torch.bfloat16 if half else torch.float32)}
    assert not torch.is_inference_mode_enabled()


def test_predictions_do_not_depend_on_streams(
    parts: Parts, sentences: list[list[str]], monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    forward, names = HierarchicalModel.forward, set()

    def watched(model: HierarchicalModel, *given: Any) -> Any:
        names.add(threading.current_thread().name)
        return forward(model, *given)

    monkeypatch.setattr(HierarchicalModel, "forward", watched)
    many = sentences * 10
    found = list(predict_scored(*parts, many, tokens_per_batch=20))
    assert len(names) == STREAMS
    torch.set_num_threads(1)
    names.clear()
    alone = list(predict_scored(*parts, many, tokens_per_batch=20))
    assert names == {threading.current_thread().name}
    for own, other in zip(found, alone, strict=True):
        assert own.layers == other.layers
        assert own.scores.keys() == other.scores.keys()
        for task in own.scores:
            assert own.scores[task] == pytest.approx(other.scores[task], abs=1e-5)


def test_while_streams_run_another_caller_does_all_itself(threads: int) -> None:
    first = streamed(where, range(12), CPU)
    next(first)
    mine = {name for name, _ in streamed(where, range(12), CPU)}
    assert mine == {threading.current_thread().name}
    list(first)
    assert len({name for name, _ in streamed(where, range(12), CPU)}) == STREAMS
