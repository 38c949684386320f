"""The precision of inference is chosen by what it costs on dev."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from hiermtl.commands import finish as room
from hiermtl.commands import train
from hiermtl.evaluation import ScoreRow, Scores
from tests.unit.commands.runs import of_files


def fake(score: float, items: int, dtype: str, metric: str = "f1") -> Scores:
    rows = [("upos", "accuracy", 90.0, 10_000), ("ner", metric, score, items)]
    return Scores(
        tuple(
            ScoreRow(1, 1, task, metric, value, n, "d", "dev", "s", dtype, 0)
            for task, metric, value, n in rows
        )
    )


@pytest.mark.parametrize(
    ("cost", "items", "chosen"),
    [
        (0.0, 10_000, "bf16"),
        (-1.0, 10_000, "bf16"),
        (0.09, 10_000, "bf16"),
        (0.11, 10_000, "fp32"),
        (2.9, 100, "bf16"),
        (3.1, 100, "fp32"),
        (0.29, 1_000, "bf16"),
        (0.31, 1_000, "fp32"),
    ],
)
def test_bf16_may_cost_a_tenth_of_a_point_or_three_items(
    monkeypatch: pytest.MonkeyPatch, cost: float, items: int, chosen: str
) -> None:
    scores = {"fp32": fake(80.0, items, "fp32"), "bf16": fake(80.0 - cost, items, "bf16")}
    _check_choice(monkeypatch, scores, chosen)
    # Correlations run from -1 to 1.
    scores = {
        dtype: fake(value, items, dtype, "pearson")
        for dtype, value in (("fp32", 0.8), ("bf16", 0.8 - cost / 100))
    }
    _check_choice(monkeypatch, scores, chosen)


def _check_choice(
    monkeypatch: pytest.MonkeyPatch, scores: Mapping[str, Scores], chosen: str
) -> None:
    built: Any = SimpleNamespace(model=SimpleNamespace(device=torch.device("cpu")), tokenizer=None)
    monkeypatch.setattr(room, "Annotator", lambda *_, precision: precision)
    monkeypatch.setattr(room, "score_corpora", lambda nlp, *_, **__: scores[nlp])
    monkeypatch.setattr(room, "has_bf16", lambda _: True)
    assert room._choose_precision(built, Any, {}, half=True) == (chosen, scores[chosen])
    monkeypatch.setattr(room, "has_bf16", lambda _: False)
    assert room._choose_precision(built, Any, {}, half=True) == ("fp32", scores["fp32"])
    monkeypatch.setattr(room, "has_bf16", lambda _: True)
    assert room._choose_precision(built, Any, {}, half=False) == ("fp32", scores["fp32"])


def test_the_chosen_precision_is_in_the_config(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(room, "has_bf16", lambda _: False)
    found = train(of_files(tmp_path), output=tmp_path / "run", quiet=True)
    assert json.loads((found.folder / "config.json").read_text())["precision"] == "fp32"
    assert {row.dtype for row in found.scores} == {"fp32"}
