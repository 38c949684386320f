"""The benchmark of exits, with a model that does nothing."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import hiermtl
from benchmarks.exits import __main__ as program
from benchmarks.exits.report import text
from hiermtl.commands.exits import NobodyLeavesError
from hiermtl.errors import RecipeError, RunError
from hiermtl.text.sentence import Sentence


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What is loaded; it notes the tasks that it is asked for."""
    asked: list[list[str]] = []

    def predict_layers(words: Any, tasks: list[str]) -> Iterator[dict[str, Any]]:
        asked.append(tasks)
        return iter([{} for _ in words])

    whole = SimpleNamespace(
        asked=asked,
        corpora={"made": None},
        hierarchy={"upos": SimpleNamespace(depth=2)},
        model=None,
        precision="fp32",
        predict_layers=predict_layers,
        segments=False,
        tasks=("upos",),
        training=SimpleNamespace(model_dump=lambda **_: {}),
    )
    monkeypatch.setattr(hiermtl, "load", lambda *_, **__: whole)
    monkeypatch.setattr(program, "trained_on", lambda _: whole)
    monkeypatch.setattr(program, "corpus_sources", lambda *_, **__: {"dev": None})
    monkeypatch.setattr(program, "sentences_in", lambda _: [Sentence(("a", "b"))] * 3)
    return whole


def measure() -> dict[str, Any]:
    return program.measure("folder/small", Path(), losses=[0.5], sentences=2, rounds=1)


def test_where_nobody_may_leave_the_whole_model_is_timed_alone(
    monkeypatch: pytest.MonkeyPatch, model: SimpleNamespace
) -> None:
    def exits(*_: Any, **__: Any) -> None:
        raise NobodyLeavesError("no sentence may leave")

    monkeypatch.setattr(hiermtl, "exits", exits)
    result = measure()
    assert result["settings"] == {"0.5": {"tasks": [], "blocks": []}}
    assert result["words"] == 4
    assert model.asked == [["upos"], ["upos"]], "an untimed round and one more"
    assert list(result["seconds"]["all"]) == ["whole"]
    assert "2 sentences of 4 words" in text(result)


def test_an_error_that_says_something_else_is_not_taken_for_that(
    monkeypatch: pytest.MonkeyPatch, model: SimpleNamespace
) -> None:
    def exits(*_: Any, **__: Any) -> None:
        raise RunError("no space left")

    monkeypatch.setattr(hiermtl, "exits", exits)
    with pytest.raises(RunError, match=r"^no space left$"):
        measure()


@pytest.mark.parametrize("other", [{"segments": True}, {"corpora": {"made": None, "more": None}}])
def test_a_model_of_which_it_cannot_be_measured_is_refused_at_once(
    model: SimpleNamespace, other: dict[str, Any]
) -> None:
    vars(model).update(other)
    with pytest.raises(RecipeError, match=r"folder/small was trained on .* give another model"):
        measure()
