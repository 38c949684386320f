"""Sentences of dev and test that stand in training data."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hiermtl.commands import check, train
from hiermtl.errors import DataError
from tests.unit.commands.runs import TASKS, TRAIN, conllu, recipe

Words = Sequence[str]
LONG = ["one", "two", "three", "four", "five", "six"]


def file(path: Path, *sentences: Words) -> str:
    return conllu(path, [[(word, "NOUN", "O") for word in words] for words in sentences])


def two_corpora(folder: Path, **changes: Any) -> dict[str, Any]:
    """Parts of speech and trees, each with a corpus of its own."""
    upos = {
        "format": "conllu",
        "train": conllu(folder / "a-train.conllu", TRAIN),
        "dev": file(folder / "a-dev.conllu", ["Hm"], LONG),
        "test": file(folder / "a-test.conllu", ["nothing"]),
    }
    dep = {
        "format": "conllu",
        "train": file(folder / "b-train.conllu", ["ONETWO", *LONG[2:]], LONG, ["hm"], ["so"]),
        "dev": file(folder / "b-dev.conllu", ["so"], LONG[:5]),
    }
    tasks = {"upos": {**TASKS["upos"], "corpus": "a"}, "dep": {**TASKS["dep"], "corpus": "b"}}
    return recipe(corpora={"a": upos, "b": dep}, tasks=tasks, **changes)


def leakage(lines: Sequence[str]) -> list[str]:
    return [line.removeprefix("leakage: ") for line in lines if line.startswith("leakage: ")]


def test_each_pair_of_corpora_is_counted(tmp_path: Path) -> None:
    """Whatever the case, and however words are split; the corpus of another task counts too."""
    assert leakage(check(two_corpora(tmp_path))) == [
        "a dev: 2 of 2 sentences stand in the training data of b, 1 of them with 6 or more words",
        "b dev: 1 of 2 sentences stand in its own training data, 0 of them with 6 or more words",
    ]


def test_pairs_are_compared_as_wholes(tmp_path: Path) -> None:
    """Their sentences occur in many pairs; only with words that have gold are they compared."""
    given = two_corpora(tmp_path)
    long = " ".join(LONG)
    for split, rows in (("train", [("so it is", long), ("a", "b")]), ("dev", [("A", "b")])):
        lines = ["first,second,same", *(f"{first},{second},yes" for first, second in rows)]
        (tmp_path / f"{split}.csv").write_text("\n".join([*lines, ""]), encoding="utf-8")
    pairs = {"format": "pairs", "first": "first", "second": "second", "labels": {"same": "same"}}
    pairs |= {split: str(tmp_path / f"{split}.csv") for split in ("train", "dev")}
    given["corpora"]["pairs"] = pairs
    given["tasks"]["same"] = {"depth": 2, "head": "pair_classification", "corpus": "pairs"}
    assert set(leakage(check(given))) == {
        "a dev: 2 of 2 sentences stand in the training data of b, 1 of them with 6 or more words",
        "a dev: 1 of 2 sentences stand in the training data of pairs, 1 of them with 6 or more "
        "words",
        "b dev: 1 of 2 sentences stand in its own training data, 0 of them with 6 or more words",
        "pairs dev: 1 of 1 passages stand in its own training data, 0 of them with 6 or more words",
    }


def test_nothing_found_is_said_too(tmp_path: Path) -> None:
    given = two_corpora(tmp_path)
    file(tmp_path / "b-train.conllu", ["quite", "another"])
    assert leakage(check(given)) == ["nothing of dev or test stands in training data"]
    assert not leakage(check(two_corpora(tmp_path, check={"leakage": "off"})))


def test_an_error_stops_check_and_training(tmp_path: Path) -> None:
    given = two_corpora(tmp_path, check={"leakage": "error"})
    message = "a dev: 2 of 2 sentences stand in the training data of b, 1 of them .*; take them out"
    with pytest.raises(DataError, match=message):
        check(given)
    with pytest.raises(DataError, match=message):
        train(given, output=tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()
    # In test alone, which training does not read otherwise; short sentences are equal by chance.
    file(tmp_path / "a-dev.conllu", ["Hm"])
    file(tmp_path / "a-test.conllu", LONG)
    with pytest.raises(DataError, match="a test: 1 of 1 sentences"):
        train(given, output=tmp_path / "run", quiet=True)
    file(tmp_path / "a-test.conllu", ["nothing"])
    run = train(given, output=tmp_path / "run", quiet=True, **{"training.max_steps": 1})
    assert run.folder.exists()
