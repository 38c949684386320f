"""Prediction in several processes."""

import multiprocessing
from collections.abc import Iterator
from itertools import count

import pytest

from hiermtl.annotation import Annotator
from hiermtl.errors import DataError, ModelError, RunError
from tests.worlds import make_world

TEXTS = ["A dog barks. It runs!", "", ["one", "two"], [], "שלום 😀", *(f"x {n}." for n in range(9))]


def test_workers_give_what_one_process_gives(nlp: Annotator) -> None:
    alone = list(nlp.pipe(TEXTS, with_scores=True))
    together = list(nlp.pipe(iter(TEXTS), workers=2, window=3, with_scores=True))
    assert together == alone
    assert [document.scores.keys() for document in together] == [
        document.scores.keys() for document in alone
    ]
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_the_stream_is_read_as_far_as_windows_are_under_way_and_a_dead_worker_is_an_error(
    nlp: Annotator,
) -> None:
    read = 0

    def stream() -> Iterator[list[str]]:
        nonlocal read
        for read in count(1):  # noqa: B007 - counted outside
            yield ["a"]

    documents = nlp.pipe(stream(), workers=1, window=5)
    next(documents)
    assert read == 10
    for child in multiprocessing.active_children():
        child.kill()
    with pytest.raises(RunError, match="one of 1 workers died"):
        list(documents)
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_documents_that_nobody_wants_end_the_workers(nlp: Annotator) -> None:
    documents = nlp.pipe((["a"] for _ in count()), workers=1, window=5)
    next(documents)
    documents.close()  # type: ignore[attr-defined]
    assert not multiprocessing.active_children()


def test_an_error_of_the_input_comes_through(nlp: Annotator) -> None:
    with pytest.raises(DataError, match="word 1 of 2 is ''"):
        list(nlp.pipe([["a"], ["b", ""]], workers=1))


def test_workers_without_a_use_are_refused(nlp: Annotator) -> None:
    with pytest.raises(ModelError, match="workers is -1; allowed is 1 or more"):
        nlp.pipe(["a"], workers=-1)
    world = make_world("bert")
    elsewhere = Annotator(world.model.to("meta"), world.tokenizer)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="the model is on meta"):
        elsewhere.pipe(["a"], workers=1)
