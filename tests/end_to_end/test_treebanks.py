"""Treebanks of other languages and of GUM, from training to annotated files."""

from pathlib import Path
from typing import Any

import pytest

import hiermtl
from hiermtl.annotation import annotate_files

TASKS: dict[str, Any] = {
    "upos": {"depth": 1},
    "xpos": {"depth": 1},
    "feats": {"depth": 1},
    "lemma": {"depth": 1},
    "dep": {"depth": 2, "head": {"arc_width": 32, "label_width": 32}},
}
PREDICTED = {2, 3, 4, 5, 6, 7, 8}
"""Columns of these tasks; DEPS goes with the tree."""

TREEBANKS = {
    "sv": ("ud_swedish_talbanken/sv_talbanken-ud-dev.conllu", "uner_swedish_talbanken"),
    "zh": ("ud_chinese_gsdsimp/zh_gsdsimp-ud-dev.conllu", "uner_chinese_gsdsimp"),
    "en": ("ud_english_gum/en_gum-ud-dev.conllu", None),
}


def recipe(language: str, treebank: str, names: str | None) -> dict[str, Any]:
    corpus: dict[str, Any] = {"format": "conllu", "train": treebank, "dev": treebank}
    tasks = TASKS
    if names is not None:
        file = f"{names}/{Path(treebank).stem}.iob2"
        join = {"format": "columns", "key": "position", "words": 1, "columns": {"ner": 2}}
        corpus["join"] = [{**join, "train": file, "dev": file, "bio": "repair"}]
        tasks = {**TASKS, "ner": {"depth": 2}}
    return {
        "language": language,
        "encoder": {"name": "bilstm", "layers": 2, "hidden": 64, "word_width": 0},
        "tasks": tasks,
        "corpora": {"treebank": corpus},
        "training": {
            "epochs": 1,
            "tokens_per_batch": 150,
            "warmup": 5,
            "lr": 1e-2,
            "lr_heads": 1e-2,
            "precision": "fp32",
        },
    }


@pytest.mark.slow
@pytest.mark.parametrize("language", TREEBANKS)
def test_a_treebank_is_learnt_and_written_back(
    language: str, data_folder: Path, tmp_path: Path
) -> None:
    """One epoch; then nothing but the predicted columns differs from the file, to the byte."""
    treebank, names = TREEBANKS[language]
    given = recipe(language, treebank, names)
    run = hiermtl.train(given, output=tmp_path / "run", data_dir=data_folder, quiet=True)
    assert run.scores.main("upos").score > 35  # the most frequent class is at most 30
    nlp = hiermtl.load(run.folder)
    report = annotate_files(nlp, data_folder / treebank, tmp_path / "out.conllu")
    before = (data_folder / treebank).read_bytes().split(b"\n")
    after = (tmp_path / "out.conllu").read_bytes().split(b"\n")
    assert len(before) == len(after)
    words, changed = 0, set()
    for old, new in zip(before, after, strict=True):
        if not old.split(b"\t")[0].isdigit():
            assert old == new
            continue
        words += 1
        pairs = list(zip(old.split(b"\t"), new.split(b"\t"), strict=True))
        changed |= {place for place, (one, other) in enumerate(pairs) if one != other}
        assert without_names(pairs[9][0]) == without_names(pairs[9][1])
    assert words == report.words
    assert changed <= PREDICTED | ({9} if names else set())
    assert {3, 6, 7} <= changed


def without_names(misc: bytes) -> list[bytes]:
    """MISC but for the key the entities go to."""
    return [item for item in misc.split(b"|") if not item.startswith(b"NER=")] or [b"_"]
