"""Segmentation learnt and scored: its examples are text, those of other tasks sentences."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hiermtl.annotation import Annotator, load
from hiermtl.annotation.entries import Prediction
from hiermtl.commands import Run, benchmark, check, evaluate, extend, train
from hiermtl.commands.corpora import open_corpora
from hiermtl.commands.tasks import layers_of
from hiermtl.corpus.plain import TextCorpus
from hiermtl.errors import DataError, RecipeError
from hiermtl.recipe import corpora as of_recipes
from hiermtl.recipe import load_recipe
from hiermtl.text import segment as of_text
from hiermtl.text.atoms import find_atoms
from hiermtl.text.conllu import read_conllu
from hiermtl.text.documents import by_document
from hiermtl.text.segment import gold_text
from tests.unit.commands.runs import BILSTM, DEV, TASKS, built, conllu, recipe

WITH = {"segment": {"depth": 1}, **TASKS}
ROWS = ["words", "tokens", "sentences"]

TRAIN = """# newdoc
# newpar
# text = Don't go. He went home.
1-2\tDon't\t_\t_\t_\t_\t_\t_\t_\t_
1\tDo\t_\tAUX\t_\t_\t3\taux\t_\t_
2\tn't\t_\tPART\t_\t_\t3\tadvmod\t_\t_
3\tgo\t_\tVERB\t_\t_\t0\troot\t_\tSpaceAfter=No
4\t.\t_\tPUNCT\t_\t_\t3\tpunct\t_\t_

1\tHe\t_\tPRON\t_\t_\t2\tnsubj\t_\t_
2\twent\t_\tVERB\t_\t_\t0\troot\t_\t_
3\thome\t_\tADV\t_\t_\t2\tadvmod\t_\tSpaceAfter=No
4\t.\t_\tPUNCT\t_\t_\t2\tpunct\t_\t_

# newpar
1-2\tcan't\t_\t_\t_\t_\t_\t_\t_\t_
1\tca\t_\tAUX\t_\t_\t0\troot\t_\t_
2\tn't\t_\tPART\t_\t_\t1\tadvmod\t_\t_

# newpar
1-2\tim\t_\t_\t_\t_\t_\t_\t_\t_
1\tin\t_\tAUX\t_\t_\t0\troot\t_\t_
2\tdem\t_\tPART\t_\t_\t1\tadvmod\t_\t_

"""


ODD = """1-2\tx\t_\t_\t_\t_\t_\t_\t_\t_
1\tabcdefghijklm\t_\tX\t_\t_\t_\t_\t_\t_
2\tnopq\t_\tX\t_\t_\t_\t_\t_\t_
3\tgo\t_\tX\t_\t_\t_\t_\t_\tSpaceAfter=No

1\tHe\t_\tX\t_\t_\t_\t_\t_\t_
2\tgoes\t_\tX\t_\t_\t_\t_\t_\t_

"""


@pytest.fixture(scope="module")
def text_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(recipe(tasks=WITH), output=tmp_path_factory.mktemp("segment"), quiet=True)


def of_text_files(folder: Path, text: str = TRAIN, **changes: Any) -> dict[str, Any]:
    for split in ("train", "dev"):
        (folder / f"{split}.conllu").write_text(text, encoding="utf-8")
    files = {split: str(folder / f"{split}.conllu") for split in ("train", "dev")}
    tasks = {"segment": {"depth": 1}, "upos": {"depth": 1}}
    return recipe(**{"tasks": tasks, "corpora": {"own": {"format": "conllu", **files}}, **changes})


def oracle(nlp: Annotator, sentences: Any, change: Callable[[list[str]], list[str]]) -> None:
    """Makes a model answer with gold tags, or what `change` makes of them."""
    known: dict[tuple[str, ...], tuple[str, ...]] = {}
    for document in by_document(sentences):
        gold = gold_text(document)
        for first, last in gold.stretches():
            words = tuple(gold.atoms.marked(first, last))
            known[words] = tuple(change(gold.tags)[first:last])
    ask = nlp.predictions

    def predictions(entries: Any, tasks: Any = None, **options: Any) -> Iterator[Prediction]:
        if list(tasks or ()) != ["segment"]:
            yield from ask(entries, tasks, **options)
            return
        for words in entries:
            yield Prediction({"segment": known[tuple(words)]}, {})

    nlp.predictions = predictions  # type: ignore[method-assign]


def test_recipes_and_texts_name_one_layer() -> None:
    assert of_recipes.SEGMENT == of_text.SEGMENT


def test_text_is_a_corpus_of_its_own() -> None:
    loaded = load_recipe(recipe(tasks=WITH))
    assert layers_of(loaded) == {
        "sample": {"upos": "upos", "ner": "ner", "dep": "dep"},
        "sample (text)": {"segment": "segment"},
    }
    corpora = open_corpora(loaded)
    text = corpora["sample (text)"]
    assert isinstance(text, TextCorpus)
    assert set(text.layers) == {"segment"}
    assert "segment" not in corpora["sample"].layers
    gold = [sentence.words for sentence in text.treebank["dev"]()]
    assert gold == [sentence.words for sentence in corpora["sample"].sentences("dev")]
    assert layers_of(load_recipe(recipe())) == {
        "sample": {"upos": "upos", "ner": "ner", "dep": "dep"}
    }


def test_its_examples_are_stretches_and_those_of_others_sentences() -> None:
    found, _ = built(recipe(tasks=WITH))
    items = found.examples.items
    assert not ((items["segment"] > 0) & (items["upos"] > 0)).any()
    assert (items["upos"] > 0).sum() == 40
    assert 0 < (items["segment"] > 0).sum() < 40
    assert found.words == built(recipe())[0].words == items["upos"].sum()
    assert any("(text) train:" in line and "stretches of text" in line for line in found.lines)
    alone, _ = built(recipe(tasks={"segment": {"depth": 1}}))
    assert alone.words == alone.examples.items["segment"].sum()


def test_tags_that_say_much_must_be_seen_twice(tmp_path: Path) -> None:
    """`im`, seen once, has no label then: it is left out, and not made a plain token."""
    found, _ = built(of_text_files(tmp_path))
    labels = tuple(found.model.head("segment").labels)
    assert labels == ("B", "I", "S", "S/-1")
    gold = gold_text(list(read_conllu(tmp_path / "train.conllu")))
    assert "S=m>n dem" in gold.tags
    assert found.examples.items["segment"].sum() == len(gold.tags) - 1


def test_words_of_text_are_not_counted_twice() -> None:
    """What occurs once, and so once more in text, is rare still."""
    encoder = {**BILSTM, "min_count": 2}
    without, _ = built(recipe(encoder=encoder))
    both, _ = built(recipe(encoder=encoder, tasks=WITH))
    few, more = (set(one.tokenizer.vocabulary) for one in (without, both))  # type: ignore[attr-defined]
    assert few < more
    assert len(more - few) < 10  # marked atoms, such as `._`


@pytest.mark.parametrize("scheme", ["joint_many", "single", "hard", "cross_stitch"])
def test_every_scheme_learns_it(tmp_path: Path, scheme: str) -> None:
    depth = {"depth": 2} if scheme == "hard" else {"depth": 1}
    tasks: dict[str, Any] = {"segment": depth, "upos": depth, "dep": {**TASKS["dep"]}}
    options = {"training.max_steps": 2}
    run = train(recipe(tasks=tasks, sharing=scheme), output=tmp_path, quiet=True, **options)
    assert [row.metric for row in run.scores.filter(task="segment")] == ROWS
    if scheme == "joint_many":
        assert set(run.load().model.sharing.tables) == {"upos"}  # type: ignore[arg-type]


def test_it_is_scored_from_text_with_or_without_raw(text_run: Run) -> None:
    found = evaluate(text_run.folder)
    assert found.rows == text_run.scores.rows
    own = found.filter(task="segment")
    assert [(r.level, r.depth, r.metric, r.data, r.split) for r in own] == [
        (1, 1, metric, "sample", "dev") for metric in ROWS
    ]
    assert found.main("upos").metric == "accuracy"
    raw = evaluate(text_run.folder, raw=True)
    assert raw.filter(task="segment").rows == own.rows
    assert raw.main("upos").metric == "f1"
    alone = evaluate(text_run.folder, tasks=["segment"])
    assert alone.rows == own.rows
    assert evaluate(text_run.folder, tasks=["segment"], raw=True).rows == own.rows
    assert evaluate(text_run.folder, tasks=["upos"]).tasks == ("upos",)
    assert evaluate(text_run.folder, split="test").main("segment").split == "test"


def test_gold_tags_are_scored_as_right_and_others_as_wrong(text_run: Run) -> None:
    nlp = load(text_run.folder)
    loaded = load_recipe(recipe(tasks=WITH))
    dev = list(open_corpora(loaded)["sample (text)"].treebank["dev"]())  # type: ignore[attr-defined]
    oracle(nlp, dev, lambda tags: tags)
    assert [row.score for row in evaluate(nlp, tasks=["segment"])] == [100, 100, 100]
    nlp = load(text_run.folder)
    oracle(nlp, dev, lambda tags: [*tags[1:], "I"])
    wrong = evaluate(nlp, tasks=["segment"])
    assert all(row.score < 99 for row in wrong)
    assert wrong.rows[2].score < 60


def test_a_file_is_scored_from_its_text(text_run: Run, tmp_path: Path) -> None:
    nlp = load(text_run.folder)
    (tmp_path / "gold.conllu").write_text(TRAIN, encoding="utf-8")
    found = evaluate(nlp, tmp_path / "gold.conllu")
    assert found.tasks == ("segment", "upos", "dep")
    assert [row.items for row in found.filter(task="segment")] == [12, 9, 4]
    assert evaluate(nlp, tmp_path / "gold.conllu", tasks=["segment"]).tasks == ("segment",)
    assert evaluate(nlp, tmp_path / "gold.conllu", tasks=["dep"]).tasks == ("dep",)
    bare = "".join(
        line if line[:1] in "#\n" else "\t".join([*line.split("\t")[:2], *"_______", "_\n"])
        for line in TRAIN.splitlines(keepends=True)
    )
    (tmp_path / "bare.conllu").write_text(bare, encoding="utf-8")
    assert evaluate(nlp, tmp_path / "bare.conllu").tasks == ("segment",)
    with pytest.raises(DataError, match=r"bare\.conllu has no gold for any task of the model"):
        evaluate(nlp, tmp_path / "bare.conllu", tasks=["segment", "upos"])


def test_a_file_that_is_silent_on_white_space_is_not_scored(text_run: Run, tmp_path: Path) -> None:
    nlp = load(text_run.folder)
    (tmp_path / "a.jsonl").write_text('{"words": ["a", "b"], "tags": {"upos": ["X", "Y"]}}\n')
    found = evaluate(nlp, tmp_path / "a.jsonl")
    assert found.tasks == ("upos",)
    told = "segment: a.jsonl does not say where its text has white space, so it is not scored"
    assert told in found.notes
    with pytest.raises(DataError, match=rf"{told}; ask for other tasks, or name a CoNLL-U file"):
        evaluate(nlp, tmp_path / "a.jsonl", tasks=["segment"])


def test_a_treebank_without_text_is_refused(tmp_path: Path) -> None:
    files = {"format": "conllu", "train": conllu(tmp_path / "train.conllu", DEV)}
    given = recipe(tasks={"segment": {"depth": 1}}, corpora={"own": files})
    with pytest.raises(
        DataError,
        match=r"train\.conllu: nothing here says how its words are written in text: there is "
        r"neither `# text` nor SpaceAfter=No; leave the task 'segment' out, or name other corpora "
        r"for it: tasks\.segment\.corpus",
    ):
        check(given)


def test_what_tags_cannot_say_is_told(tmp_path: Path) -> None:
    lines = check(of_text_files(tmp_path, ODD))
    assert "own (text) train: 1 sentences that begin inside a word are read as going on" in lines
    assert (
        "own (text) train: 1 multiword tokens are left whole, since their words cannot be told "
        "from their form"
    ) in lines
    plain = check(of_text_files(tmp_path))
    assert not any("left whole" in line or "going on" in line for line in plain)


CASES: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    (
        {"segment": {"depth": 1, "column": "upos"}},
        {"a": {"format": "conllu", "train": "a"}},
        r"tasks\.segment\.column is 'upos', but the task 'segment' finds words and sentences in "
        r"plain text and learns from the layer of that name, as no other task does; leave column",
    ),
    (
        {"cut": {"depth": 1, "column": "segment", "head": "tagging"}},
        {"a": {"format": "conllu", "train": "a"}},
        r"tasks\.cut\.column is 'segment', but .* call the task 'segment', or choose another name",
    ),
    (
        {"segment": {"depth": 1, "head": "edits"}},
        {"a": {"format": "conllu", "train": "a"}},
        r"tasks\.segment\.head is 'edits', but 'segment' is learnt as tags; leave it out or use "
        r"head: tagging and crf",
    ),
    (
        {"segment": {"depth": 1, "head": {"name": "crf", "bio": True}}},
        {"a": {"format": "conllu", "train": "a"}},
        r"tasks\.segment\.head\.bio is true, but the tags of 'segment' are not IOB2; leave it out",
    ),
    (
        {"segment": {"depth": 1}},
        {"a": {"format": "columns", "train": "a", "columns": {"segment": 1}}},
        r"tasks\.segment\.corpus may be any of a \(columns\), which do not say how words are "
        r"written in text; corpora of format conllu and sample do: name one of them, or leave",
    ),
    (
        {"segment": {"depth": 1, "corpus": ["a", "b"]}},
        {"a": {"format": "conllu", "train": "a"}, "b": {"format": "docbin", "train": "b"}},
        r"tasks\.segment\.corpus names b \(docbin\), which do not say",
    ),
]


@pytest.mark.parametrize(("tasks", "corpora", "message"), CASES)
def test_what_cannot_work_is_found_before_training(
    tasks: dict[str, Any], corpora: dict[str, Any], message: str
) -> None:
    given = recipe(tasks=tasks, corpora=corpora)
    with pytest.raises(RecipeError, match=message):
        load_recipe(given)


def test_what_can_work_is_let_pass() -> None:
    corpora = {
        "a": {"format": "conllu", "train": "a"},
        "b": {"format": "columns", "train": "b", "columns": {"upos": 1}},
    }
    for head in ("tagging", "crf", {"name": "crf", "bio": False}):
        tasks = {"segment": {"depth": 1, "head": head}, "upos": {"depth": 1}}
        loaded = load_recipe(recipe(tasks=tasks, corpora=corpora))
        assert layers_of(loaded) == {
            "a": {"upos": "upos"},
            "a (text)": {"segment": "segment"},
            "b": {"upos": "upos"},
        }


def test_noise_of_text_and_of_words_is_kept_apart(tmp_path: Path) -> None:
    given = of_text_files(tmp_path)
    clean = open_corpora(load_recipe(given))
    noisy = open_corpora(load_recipe(given, {"corpora.own.noise": {"segment": 0.9}}))
    name = "own (text)"
    assert noisy[name].gold("train", "segment") != clean[name].gold("train", "segment")
    assert noisy["own"].gold("train", "upos") == clean["own"].gold("train", "upos")


def test_max_examples_holds_for_text_too() -> None:
    found, _ = built(recipe(tasks=WITH), **{"training.max_examples": 3})
    items = found.examples.items
    assert [(items[task] > 0).sum() for task in ("segment", "upos")] == [3, 3]


def test_a_head_for_text_is_added_to_a_model(run: Run, tmp_path: Path) -> None:
    given = recipe(tasks={"segment": {"depth": 1}}, encoder={})
    given = {key: value for key, value in given.items() if key != "encoder"}
    more = extend(run.folder, given, output=tmp_path, quiet=True, **{"training.max_steps": 2})
    nlp = more.load()
    assert nlp.segments
    assert set(nlp.tasks) == {"segment", *TASKS}
    assert not run.load().segments


def test_an_auxiliary_task_of_text_leaves_the_rules_in_place(tmp_path: Path) -> None:
    tasks = {"segment": {"depth": 1, "auxiliary": True}, "upos": {"depth": 1}}
    run = train(recipe(tasks=tasks), output=tmp_path, quiet=True, **{"training.max_steps": 2})
    nlp = run.load()
    assert not nlp.segments
    assert run.scores.tasks == ("upos",)
    log = (tmp_path / "log.jsonl").read_text()
    assert '"task": "segment"' in log


def test_speed_is_measured_from_text(text_run: Run) -> None:
    report = benchmark(text_run.folder, words=200, rounds=1)
    assert [row.tasks for row in report.rows][:2] == [("segment",), ("upos",)]
    assert "segment from text, the words with spaces between" in report.to_text()


@pytest.mark.slow
def test_the_recipe_that_is_shipped_learns_it(tmp_path: Path) -> None:
    options = {"tasks.xpos": None, "tasks.chunk": None, "tasks.ner": None, "tasks.dep": None}
    run = train("low_supervision/sample_segment", output=tmp_path, quiet=True, **options)
    scores = {row.metric: row.score for row in run.scores.filter(task="segment")}
    assert scores["words"] > 99
    assert scores["sentences"] > 80
    nlp = run.load()
    text = "Don't stop, it's the dog's.\n\nThey can't go."
    assert [list(s.words) for s in nlp(text, []).source] == [
        ["Do", "n't", "stop", ",", "it", "'s", "the", "dog", "'s", "."],
        ["They", "ca", "n't", "go", "."],
    ]
    assert np.all(find_atoms(text).opening == [k in (0, 13) for k in range(len(find_atoms(text)))])
