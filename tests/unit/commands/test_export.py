"""What 8 bits cost can be measured on a file, where the model does not say what it knows."""

import re
from pathlib import Path
from typing import Any

import pytest

import hiermtl
from hiermtl.annotation import Annotator
from hiermtl.errors import DataError, RecipeError
from tests.unit.annotation.conftest import make_bert
from tests.unit.commands.runs import DEV, conllu

for extra in ("onnx", "onnxruntime", "onnxscript"):
    pytest.importorskip(extra, reason="the extra `onnx` is not installed")


@pytest.fixture
def nlp() -> Annotator:
    return Annotator(*make_bert(), precision="fp32")


def test_both_graphs_are_scored_on_a_file(nlp: Annotator, tmp_path: Path):
    gold = conllu(tmp_path / "gold.conllu", DEV)
    done = hiermtl.export(nlp, tmp_path / "graph", tasks=["upos", "dep"], int8=True, data=gold)
    assert list(done.scores) == ["model.onnx", "model.int8.onnx"]
    expected = hiermtl.evaluate(nlp, gold, tasks=["upos", "dep"])
    whole, small = done.scores.values()
    assert [row.score for row in whole] == [row.score for row in expected]
    assert {(row.data, row.split, row.dtype) for row in whole} == {("gold.conllu", "-", "fp32")}
    assert {row.dtype for row in small} == {"int8"}
    assert "data gold.conllu; ONNX Runtime" in done.to_text()
    assert "split" not in done.to_text()


@pytest.mark.slow
def test_a_file_with_gold_for_some_tasks_is_scored_for_these(nlp: Annotator, tmp_path: Path):
    gold = tmp_path / "gold.conllu"
    gold.write_text("".join(f"{n}\tAda\t_\tNOUN\t_\t_\t_\t_\t_\t_\n" for n in (1, 2)) + "\n")
    done = hiermtl.export(nlp, tmp_path / "graph", int8=True, data=gold)
    assert {scores.tasks for scores in done.scores.values()} == {("upos",)}
    with_dep = hiermtl.export(nlp, tmp_path / "dep", tasks=["dep"], int8=True, data=gold)
    assert re.search(r"was not measured: .*dep", with_dep.to_text())
    assert with_dep.written.graph.exists()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"int8": True, "data": "gold.txt"}, DataError, r"'gold\.txt' does not say how"),
        ({"int8": True, "data": "none.conllu"}, DataError, r"none\.conllu"),
        ({"data": "gold.conllu"}, RecipeError, r"gold\.conllu .*only with int8"),
    ],
)
def test_a_file_that_cannot_be_scored_is_told_before_anything_is_written(
    nlp: Annotator, tmp_path: Path, options: dict[str, Any], error: type, message: str
):
    with pytest.raises(error, match=message):
        hiermtl.export(nlp, tmp_path / "graph", **options)
    assert not (tmp_path / "graph").exists()
