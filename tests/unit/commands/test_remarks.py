"""What is said of training data before training, and where it is kept."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import hiermtl
from hiermtl.commands.build import build
from hiermtl.commands.corpora import open_corpora
from hiermtl.commands.remarks import far_mentions, unknown_labels, unlearnt_spans
from hiermtl.recipe import Recipe, load_recipe

Spans = Sequence[tuple[int, int, str]]


def spans_recipe(folder: Path, sentences: Sequence[Spans], **head: Any) -> Recipe:
    """A recipe for spans of sentences of twelve words each."""
    words = list("abcdefghijkl")
    lines = [json.dumps({"words": words, "spans": {"mention": list(own)}}) for own in sentences]
    (folder / "train.jsonl").write_text("\n".join(lines) + "\n")
    return load_recipe(
        {
            "language": "en",
            "corpora": {
                "x": {
                    "format": "jsonl",
                    "columns": {"mention": "spans.mention"},
                    "train": str(folder / "train.jsonl"),
                }
            },
            "encoder": {"name": "bilstm", "hidden": 4, "layers": 1, "word_width": 4},
            "tasks": {"mention": {"depth": 1, "head": {"name": "span", **head}}},
        }
    )


def told_of(folder: Path, sentences: Sequence[Spans], **head: Any) -> list[str]:
    recipe = spans_recipe(folder, sentences, **head)
    corpora = open_corpora(recipe, splits=["train"])
    return unlearnt_spans(recipe, corpora, {"mention": corpora["x"].inventory("mention")})


def test_spans_out_of_reach_are_counted(tmp_path: Path) -> None:
    sentences: list[Spans] = [[(0, 3, "a"), (2, 6, "b")], [], [(0, 12, "a"), (1, 2, "b")]]
    assert told_of(tmp_path, sentences, reach=12) == []
    assert told_of(tmp_path, sentences, reach=4) == [
        "mention: 1 of 4 spans of x train have more than 4 words, so that they are neither learnt "
        "nor found; raise tasks.mention.head.reach to look at longer ones"
    ]
    assert told_of(tmp_path, sentences, reach=3)[0].startswith("mention: 2 of 4 spans")


def test_spans_of_the_same_words_are_counted(tmp_path: Path) -> None:
    # The same places in another sentence are other words.
    sentences: list[Spans] = [[(0, 3, "a"), (0, 3, "b"), (0, 2, "a")], [(0, 3, "a")]]
    assert told_of(tmp_path, sentences) == [
        "mention: 1 of 4 spans of x train have the words of another one, and are not learnt: a "
        "place has one label"
    ]


def test_labels_that_are_not_learnt_are_counted(tmp_path: Path) -> None:
    recipe = spans_recipe(tmp_path, [[(0, 3, "a"), (2, 6, "b")], [(1, 2, "b")]])
    corpora = open_corpora(recipe, splits=["train"])
    assert unknown_labels(recipe, corpora, {"mention": ["a", "b"]}) == []
    assert unknown_labels(recipe, corpora, {"mention": ["a"]}) == [
        "mention: 2 items of x train have 1 labels that the model does not have, which are not "
        "learnt (b)"
    ]


def far_in(folder: Path, *documents: dict[str, Any], window: int, **training: Any) -> list[str]:
    """What is said of mentions of documents."""
    (folder / "train.jsonl").write_text("".join(json.dumps(one) + "\n" for one in documents))
    columns = {"mention": "spans.mention", "coref": "clusters.coref"}
    corpus = {"format": "jsonl", "columns": columns, "train": str(folder / "train.jsonl")}
    head = {"name": "coreference", "window": window}
    recipe = load_recipe(
        {
            "language": "en",
            "corpora": {"x": corpus},
            "encoder": {"name": "bilstm", "hidden": 4, "layers": 1, "word_width": 4},
            "tasks": {
                "mention": {"depth": 1, "head": "span"},
                "coref": {"depth": 1, "head": head},
            },
            "training": training,
        }
    )
    corpora = open_corpora(recipe, splits=["train"])
    found = far_mentions(recipe, corpora)
    assert set(found) <= set(build(recipe, corpora).lines)
    return found


def document(*clusters: Sequence[int], spans: Sequence[int] = ()) -> dict[str, Any]:
    """Mentions of a word each in sentences of four words, and spans that are in no cluster."""
    every = sorted({*spans, *(at for own in clusters for at in own)})
    return {
        "words": list("abcdefghijkl"),
        "sentences": [[0, 4], [4, 8], [8, 12]],
        "spans": {"mention": [[at, at + 1, "x"] for at in every]},
        "clusters": {"coref": [[[at, at + 1] for at in own] for own in clusters]},
    }


def test_mentions_too_far_from_the_one_before_are_counted(tmp_path: Path) -> None:
    def line(count: int, *, of: int, window: int) -> list[str]:
        return [
            f"coref: {count} of {of} mentions of x train that are not their entity's first are "
            f"more than {window} mentions behind the one before, so that they are learnt as new; "
            "raise tasks.coref.head.window to look further back"
        ]

    one = document([0, 4, 11], [5, 6], spans=[7, 8])
    assert far_in(tmp_path, one, window=5) == []
    assert far_in(tmp_path, one, window=4) == line(1, of=3, window=4)
    assert far_in(tmp_path, one, document([0, 11]), window=4) == line(1, of=4, window=4)
    # Spans that are no mention of an entity lie between too, those with the same words once.
    assert far_in(tmp_path, document([0, 11]), window=1) == []
    between = document([0, 11], spans=[4, 4, 8])
    assert far_in(tmp_path, between, window=2) == line(1, of=1, window=2)
    assert far_in(tmp_path, between, window=3) == []
    # What is not used is not counted, and in another document are other entities.
    assert far_in(tmp_path, document([0]), between, window=2, max_examples=3) == []
    assert far_in(tmp_path, document([0], [4], [8]), document([0]), window=1) == []


@pytest.mark.parametrize("sharing", ["low_supervision", "single"])
def test_what_was_said_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], sharing: str
) -> None:
    sentences: list[Spans] = [[(0, 3, "a"), (4, 12, "b"), (5, 6, "b")]]
    recipe = spans_recipe(tmp_path, sentences, reach=4)
    settings = {"sharing": sharing, "training.epochs": 1}
    run = hiermtl.train(recipe, output=tmp_path / "run", overrides=settings)
    kept = json.loads((run.folder / "remarks.json").read_text())
    assert any(line.startswith("mention: 1 of 3 spans of x train") for line in kept)
    said = capsys.readouterr().err
    assert all(line in said for line in kept)
