"""The speed of a model, per set of tasks."""

from pathlib import Path

import pytest

from hiermtl.commands import Run, benchmark
from hiermtl.errors import DataError, ModelError, RecipeError


def test_each_task_and_all_of_them_are_timed(run: Run) -> None:
    found = benchmark(run.folder, words=200, rounds=2)
    assert [row.tasks for row in found.rows] == [
        ("upos",),
        ("dep",),
        ("ner",),
        ("upos", "dep", "ner"),
    ]
    assert {row.tasks: row.blocks for row in found.rows}[("upos",)] == 1
    assert max(row.blocks for row in found.rows) == 2
    for row in found.rows:
        assert 0 < row.slowest <= row.words_per_second <= row.fastest
        assert row.peak is None or row.peak > 2**20
    assert found.words >= 200
    assert found.start is not None
    text = found.to_text()
    assert "upos dep ner" in text
    assert "median of 2 rounds" in text
    assert "loading and first document" in text
    assert text.startswith(found.to_text(about=False))
    assert len(found.to_text(about=False).splitlines()) == 1 + len(found.rows)


def test_a_loaded_model_is_not_loaded_again(run: Run) -> None:
    found = benchmark(run.load(), words=50, rounds=1, tasks=["upos"])
    assert [row.tasks for row in found.rows] == [("upos",)]
    assert found.start is None
    assert "loading" not in found.to_text()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.txt", "One two. Three.\n", 5),
        ("a.jsonl", '{"words": ["a", "b"]}\n{"text": "c."}\n', 4),
        ("a.conllu", "1\tAda\t_\t_\t_\t_\t_\t_\t_\t_\n\n", 1),
    ],
)
def test_text_of_ones_own_is_repeated(
    run: Run, tmp_path: Path, name: str, content: str, words: int
) -> None:
    (tmp_path / name).write_text(content)
    found = benchmark(run.load(), tmp_path / name, words=20, rounds=1, tasks=["upos"])
    assert 20 <= found.words < 20 + words
    assert found.source == name


def test_what_cannot_be_timed_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n\n")
    with pytest.raises(DataError, match=r"a\.txt: there is no word to annotate"):
        benchmark(run.load(), tmp_path / "a.txt")
    with pytest.raises(DataError, match=r"b\.pdf: no text that can be read"):
        benchmark(run.load(), tmp_path / "b.pdf")
    with pytest.raises(RecipeError, match="rounds is 0; allowed is 1 or more"):
        benchmark(run.load(), rounds=0)
    with pytest.raises(ModelError, match="no task 'uops'"):
        benchmark(run.load(), tasks=["uops"])
