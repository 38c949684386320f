"""Scores of a model on the corpora it knows, and on files."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from hiermtl.annotation import Annotator, annotate_files, load
from hiermtl.commands import Run, evaluate, train
from hiermtl.errors import DataError, ModelError, RecipeError
from hiermtl.evaluation import load_counts, main_score
from tests.unit.commands.runs import DEV, TRAIN, built, conllu, of_files, recipe


def test_a_run_scores_as_it_did_at_its_end(run: Run) -> None:
    assert evaluate(run.folder).rows == run.scores.rows


def test_rows_say_where_they_come_from(run: Run) -> None:
    found = evaluate(run.folder, split="test")
    assert {(row.data, row.split, row.seed) for row in found} == {("sample", "test", 0)}
    assert [row.level for row in found] == sorted(row.level for row in found)
    assert found.main("dep").metric == "las"
    assert found.rows != evaluate(run.folder).rows


def test_only_the_tasks_asked_for_are_scored(run: Run) -> None:
    assert evaluate(run.folder, tasks=["ner"]).tasks == ("ner",)
    with pytest.raises(ModelError, match=r"no task 'nre'; it has .*did you mean 'ner'"):
        evaluate(run.folder, tasks=["nre"])


def test_a_file_is_scored_for_the_gold_it_has(run: Run, tmp_path: Path) -> None:
    path = conllu(tmp_path / "gold.conllu", DEV)
    found = evaluate(run.folder, path)
    assert found.tasks == ("upos", "dep", "ner")
    assert {(row.data, row.split) for row in found} == {("gold.conllu", "-")}
    assert found.main("upos").items == 5


@pytest.mark.parametrize("split", ["dev ", "validation", ""])
def test_an_unknown_split_is_refused(run: Run, split: str) -> None:
    with pytest.raises(RecipeError, match=r"split is .*allowed are train, dev and test"):
        evaluate(run.folder, split=split)


def test_a_file_has_no_splits(run: Run, tmp_path: Path) -> None:
    path = conllu(tmp_path / "gold.conllu", DEV)
    with pytest.raises(RecipeError, match=r"split 'test' is one of .*but .*gold\.conllu is a file"):
        evaluate(run.folder, path, split="test")


def test_a_file_of_another_format_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Ada slept\n")
    with pytest.raises(
        DataError, match=r"'a\.txt' does not say how it is read; files with gold end in \.conllu"
    ):
        evaluate(run.folder, tmp_path / "a.txt")
    with pytest.raises(DataError, match=r"'a\.spacy\.gz' does not say how it is read"):
        evaluate(run.folder, tmp_path / "a.spacy.gz")


@pytest.mark.parametrize("name", ["out.conllu", "out.jsonl", "out.jsonl.gz", "out.spacy"])
@pytest.mark.parametrize("source", ["in.txt", "in.conllu"])
def test_what_annotate_writes_is_read_as_gold(
    run: Run, source: str, name: str, tmp_path: Path
) -> None:
    conllu(tmp_path / "in.conllu", DEV)
    (tmp_path / "in.txt").write_text("Ada slept. She saw the dog.\nA cat ran.\n\nIt rained.\n")
    nlp = load(run.folder)
    plain = tmp_path / name.removesuffix(".gz")
    report = annotate_files(nlp, tmp_path / source, plain)
    if name.endswith(".gz"):
        (tmp_path / name).write_bytes(gzip.compress(plain.read_bytes()))
    for raw in (False, True) if source == "in.txt" else (False,):
        found = evaluate(nlp, tmp_path / name, raw=raw)
        assert {task: found.main(task).score for task in nlp.tasks} == dict.fromkeys(nlp.tasks, 100)
        assert found.main("upos").items == report.words


def test_a_file_without_gold_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.conllu").write_text("1\tAda\t_\t_\t_\t_\t_\t_\t_\t_\n\n")
    with pytest.raises(DataError, match=r"a\.conllu has no gold for any task of the model"):
        evaluate(run.folder, tmp_path / "a.conllu")
    with pytest.raises(DataError, match=r"b\.conllu"):
        evaluate(run.folder, tmp_path / "b.conllu")


def test_a_model_that_does_not_know_its_data_says_so(run: Run) -> None:
    nlp = run.load()
    nlp.model.config.recipe = {}
    with pytest.raises(ModelError, match=r"does not say what it was trained on.*--data FILE"):
        evaluate(nlp)
    nlp.model.config.recipe = {"tasks": 3}
    with pytest.raises(
        ModelError, match=r"the recipe in the model's config.json is damaged: the recipe has 2 err"
    ):
        evaluate(nlp)


@pytest.mark.parametrize("model", [3, None])
def test_what_is_no_model_is_refused(model: Any) -> None:
    with pytest.raises(ModelError, match=f"{model} is no model; name a folder"):
        evaluate(model)


@pytest.fixture(scope="session")
def two(tmp_path_factory: pytest.TempPathFactory, _cache: None) -> Run:
    """A run on two corpora, each with a task of its own; only one has a test split."""
    folder = tmp_path_factory.mktemp("two")
    files: dict[str, Any] = of_files(folder)["corpora"]["own"]
    corpora = {
        "a": {**files, "note": "by hand"},
        "b": {
            "format": "conllu",
            "train": conllu(folder / "b.conllu", TRAIN),
            "dev": conllu(folder / "b-dev.conllu", DEV[:1]),
            "test": conllu(folder / "b-test.conllu", DEV),
        },
    }
    tasks = {"upos": {"depth": 1, "corpus": "a"}, "ner": {"depth": 2, "corpus": "b"}}
    return train(recipe(corpora=corpora, tasks=tasks), output=folder / "run", quiet=True)


def test_each_task_is_scored_on_its_own_corpora(two: Run) -> None:
    found = evaluate(two.folder)
    assert {(row.task, row.data) for row in found} == {("upos", "a"), ("ner", "b")}
    assert [row.level for row in found] == sorted(row.level for row in found)
    assert found.main("upos").items == 5
    assert found.main("ner").items == 1
    assert [note for note in found.notes if "by hand" in note] == ["upos: by hand"]


def test_another_file_is_read_as_a_corpus_of_the_model_is(tmp_path: Path) -> None:
    """Columns say nothing of themselves: a file of them is scored by the recipe's own words."""
    for name, tag in (("train", "NOUN"), ("dev", "NOUN"), ("more", "VERB")):
        (tmp_path / f"{name}.tsv").write_text(f"Ada\tx\tPROPN\nslept\tx\t{tag}\n\n" * 3)
    corpus = {"format": "columns", "columns": {"upos": 2}, "words": 0}
    files = {name: str(tmp_path / f"{name}.tsv") for name in ("train", "dev")}
    own = train(
        recipe(corpora={"mine": {**corpus, **files}}, tasks={"upos": {"depth": 1}}),
        output=tmp_path / "run",
        quiet=True,
    )
    with pytest.raises(DataError, match="no corpus has a split 'test'"):
        evaluate(own.folder, split="test")
    more = {"corpora.mine.test": str(tmp_path / "more.tsv")}
    found = evaluate(own.folder, split="test", overrides=more)
    assert {(row.data, row.split, row.items) for row in found} == {("mine", "test", 6)}
    assert f"read with corpora.mine.test={tmp_path / 'more.tsv'}" in found.notes
    again = evaluate(own.folder, overrides={"corpora.mine.dev": str(tmp_path / "more.tsv")})
    assert again.main("upos").score == found.main("upos").score
    assert found.main("upos").score < evaluate(own.folder).main("upos").score


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training.epochs": 3}, r"a model is as it was trained, so that training\.epochs cannot"),
        (
            {"corpora.c.dev": "x"},
            r"corpora\.c\.dev: no corpus of the model is called 'c'.*has a and b",
        ),
        ({"corpora.b.test": "x"}, r"corpora\.b\.test says what test is, but dev is scored"),
        ({"corpora.b.dve": "x"}, r"corpora\.b\.dve is not a key; did you mean 'dev'"),
    ],
)
def test_only_how_corpora_are_read_can_be_set(two: Run, changes: Any, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        evaluate(two.folder, overrides=changes)


def test_a_file_and_keys_of_corpora_exclude_each_other(two: Run, tmp_path: Path) -> None:
    path = conllu(tmp_path / "gold.conllu", DEV)
    with pytest.raises(RecipeError, match=r"corpora\.b\.dev says how the model's own corpora are"):
        evaluate(two.folder, path, overrides={"corpora.b.dev": "x"})


def test_a_corpus_without_the_split_is_left_out(two: Run) -> None:
    assert evaluate(two.folder, split="test").tasks == ("ner",)
    with pytest.raises(DataError, match=r"no corpus has a split 'test'.*without it: a"):
        evaluate(two.folder, split="test", tasks=["upos"])


def test_a_label_only_dev_has_is_scored_as_an_error(two: Run) -> None:
    notes = " ".join(evaluate(two.folder).notes)
    assert "upos: 1 item carries a label never seen in training: 'INTJ'" in notes
    assert "scored as an error" in notes


def test_notes_on_data_follow_the_tasks_that_are_scored(tmp_path: Path) -> None:
    """Also on a file; a note of a join belongs to the layers that are joined."""
    given = of_files(tmp_path)
    columns = {}
    for split, sentences in (("train", TRAIN), ("dev", DEV)):
        lines = []
        for number, sentence in enumerate(sentences):
            rows = [f"{form}\t{tag}" for form, _, tag in sentence]
            lines += [f"# sent_id = {split}-{number}", *rows, ""]
        path = tmp_path / f"{split}.iob2"
        path.write_text("\n".join([*lines, ""]))
        columns[split] = str(path)
    join = {"format": "columns", "columns": {"ner": 1}, "note": "a draft", **columns}
    given["corpora"]["own"] |= {"join": [join], "note": "tiny"}
    found = train(given, output=tmp_path / "run", quiet=True, **{"training.max_steps": 1})
    every = ["upos, dep, ner: tiny", "ner: a draft"]
    assert [note for note in found.scores.notes if "never seen" not in note] == every
    assert found.scores.filter(task="ner").notes[-2:] == tuple(every)
    assert "ner: a draft" not in found.scores.filter(task="upos").notes
    path = conllu(tmp_path / "gold.conllu", DEV)
    assert evaluate(found.folder, path).notes[-2:] == tuple(every)
    assert evaluate(found.folder, path, tasks=["upos"]).notes[-1] == "upos: tiny"
    assert "a draft" in (found.folder / "README.md").read_text()


def test_a_task_with_two_corpora_is_scored_on_both(tmp_path: Path) -> None:
    """Each has its counts, and both say which checkpoint is best."""
    files: dict[str, Any] = of_files(tmp_path)["corpora"]["own"]
    corpora = {"a": files, "b": {**files, "dev": conllu(tmp_path / "b.conllu", DEV[:1])}}
    tasks = {"upos": {"depth": 1, "corpus": ["a", "b"]}, "ner": {"depth": 2, "corpus": "b"}}
    given = recipe(corpora=corpora, tasks=tasks)
    found = train(given, output=tmp_path / "run", quiet=True).scores
    assert [(row.data, row.items) for row in found.mains("upos")] == [("a", 5), ("b", 2)]
    assert set(found.counts) == {"upos (a)", "upos (b)", "ner"}
    assert set(found.filter(data="b").counts) == {"upos (b)", "ner"}
    first, second = (row.score for row in found.mains("upos"))
    mean = ((first + second) / 2 + found.main("ner").score) / 2
    assert main_score(found, ["upos", "ner"]) == pytest.approx(mean)
    found.save_counts(tmp_path / "counts.npz")
    again = load_counts(tmp_path / "counts.npz")
    assert {key: of.task for key, of in again.items()} == {
        "upos (a)": "upos",
        "upos (b)": "upos",
        "ner": "ner",
    }


def test_raw_scores_of_a_corpus_are_those_of_its_file(tmp_path: Path) -> None:
    """Stored sentences have no multiword tokens and no paragraphs; the files have."""
    given = of_files(tmp_path)
    dev = tmp_path / "dev.conllu"
    first, rest = dev.read_text().split("\n\n", 1)
    lines = first.splitlines()
    lines.insert(1, "1-2\tAdaslept\t_\t_\t_\t_\t_\t_\t_\t_")
    dev.write_text("# newdoc id = d\n" + "\n".join(lines) + "\n\n" + rest)
    own = train(given, output=tmp_path / "run", quiet=True)
    nlp = load(own.folder)
    found, expected = evaluate(nlp, raw=True), evaluate(nlp, dev, raw=True)
    assert [(row.metric, row.score) for row in found] == [
        (row.metric, row.score) for row in expected
    ]
    words = next(row for row in found if row.metric == "words")
    assert words.score < 100
    conllu(dev, DEV)
    assert evaluate(nlp, dev, raw=True).rows != expected.rows


def test_tasks_of_a_file_that_cannot_be_scored_are_noted(run: Run, tmp_path: Path) -> None:
    nothing = [[(form, upos, "O") for form, upos, _ in sentence] for sentence in DEV]
    found = evaluate(run.folder, conllu(tmp_path / "gold.conllu", nothing))
    assert "ner" not in found.tasks
    assert [note for note in found.notes if note.startswith("ner: ")]
    whole = evaluate(run.folder, conllu(tmp_path / "gold.conllu", DEV))
    assert not [note for note in whole.notes if note.startswith("ner: ")]


def test_details_are_told_of_a_run_and_of_a_file(run: Run, tmp_path: Path) -> None:
    found = evaluate(
        run.folder,
        by=["length", "seen", "label"],
        intervals=True,
        calibration=True,
        confusion=True,
        cost=True,
    )
    kinds = {str(row.slice).partition(" ")[0] for row in found.slices}
    assert kinds == {"length", "words", "label"}
    for task in ("upos", "dep"):
        whole = found.main(task)
        parts = [row for row in found.slices if (row.task, row.metric) == (task, whole.metric)]
        for kind in ("length", "words"):
            own = [row for row in parts if str(row.slice).startswith(kind)]
            assert sum(row.items for row in own) == whole.items
            mean = sum(row.items * row.score for row in own) / whole.items
            assert mean == pytest.approx(whole.score)
    assert {one.task for one in found.calibration} == {"upos", "ner", "dep"}
    assert {one.task for one in found.confusion} >= {"upos", "dep"}
    assert [(one.level, one.blocks) for one in found.cost] == [(1, 1), (2, 2)]
    path = conllu(tmp_path / "gold.conllu", DEV)
    words = evaluate(run.folder, path, by="seen", cost=True)
    assert sum(row.items for row in words.slices if row.task == "upos") == 5
    assert [one.level for one in words.cost] == [1, 2]
    size = sum(map(len, DEV))
    assert {one.words for one in words.cost} == {size}
    threads = torch.get_num_threads()
    precision = load(run.folder).precision
    title = f"cost of reaching each level ({size} words, {precision}, cpu, {threads} threads):"
    assert title in words.to_text()
    assert not any("not timed" in note for note in words.notes)


def test_details_of_plain_text_are_those_of_sentences(run: Run) -> None:
    found = evaluate(run.folder, raw=True, by="length", intervals=True)
    sizes = [row.items for row in found.slices if row.metric == "words"]
    assert sum(sizes) == next(row.items for row in found if row.metric == "words")
    with pytest.raises(
        RecipeError, match=r"confusion and by seen cannot be told with raw.* length and genre"
    ):
        evaluate(run.folder, raw=True, by="seen,length", confusion=True)


def test_unknown_slices_are_refused_before_anything_is_loaded() -> None:
    with pytest.raises(RecipeError, match=r"'genres'; scores are sliced by .*mean 'genre'"):
        evaluate("nowhere", by="genres")


def test_the_cost_of_a_level_counts_every_copy_of_a_block_that_runs(tmp_path: Path) -> None:
    path = conllu(tmp_path / "gold.conllu", DEV)
    for sharing, blocks in (("low_supervision", [1, 2]), ("single", [1, 4]), ("sluice", [3, 6])):
        made, _ = built(recipe(sharing=sharing))
        nlp = Annotator(made.model, made.tokenizer)
        found = evaluate(nlp, path, cost=True)
        assert [one.blocks for one in found.cost] == blocks


def test_tasks_that_are_not_timed_are_noted(tmp_path: Path) -> None:
    made, _ = built(recipe(tasks={"segment": {"depth": 1}, "upos": {"depth": 1}}))
    nlp = Annotator(made.model, made.tokenizer)
    path = conllu(tmp_path / "gold.conllu", DEV)
    found = evaluate(nlp, path, cost=True)
    assert [one.tasks for one in found.cost] == [("upos",)]
    note = "segment: not timed, as only tasks that label words in given sentences are"
    assert note in found.notes
    alone = evaluate(nlp, path, tasks=["segment"], cost=True)
    assert (alone.cost, alone.notes) == ((), (note,))


def test_what_cannot_be_learnt_or_found_is_noted(tmp_path: Path) -> None:
    sound: dict[str, Any] = {
        "words": list("abcdefgh"),
        "spans": {"entity": [[0, 4, "p"], [4, 7, "p"]]},
        "roles": {"srl": [{"predicate": 7, "arguments": [[0, 3, "A0"], [3, 7, "A1"]]}]},
        "relations": {"relation": [[0, 4, 4, 7, "met"]]},
        "clusters": {"coref": [[[0, 4], [4, 7]]]},
    }
    odd = {
        **sound,
        "spans": {"entity": [[0, 4, "p"], [3, 7, "p"]]},
        "roles": {"srl": [{"predicate": 7, "arguments": [[0, 3, "A0"], [2, 7, "A1"]]}]},
        "relations": {"relation": [[0, 4, 0, 4, "met"], [0, 4, 1, 2, "met"]]},
        "clusters": {"coref": [[[0, 4], [3, 7]], [[0, 4], [5, 6]]]},
    }
    files = {}
    for split, lines in {"train": [sound] * 3, "dev": [sound, odd], "test": [sound]}.items():
        files[split] = str(tmp_path / f"{split}.jsonl")
        Path(files[split]).write_text("".join(json.dumps(line) + "\n" for line in lines))
    columns = {
        name: f"{key}.{name}"
        for key in ("spans", "roles", "relations", "clusters")
        for name in sound[key]
    }
    tasks = {
        "thing": {"depth": 1, "column": "entity", "head": "span"},
        "srl": {"depth": 1},
        "relation": {"depth": 1, "head": {"name": "relation", "reads": "thing"}},
        "coref": {"depth": 1, "head": {"name": "coreference", "reads": "thing"}},
    }
    corpora = {"own": {"format": "jsonl", "columns": columns, **files}}
    run = train(recipe(corpora=corpora, tasks=tasks), output=tmp_path / "run")
    no_span = "of words that are no span of entity, neither learnt nor found from gold spans"
    expected = {
        "thing: 2 spans cross another one: of two that cross only one can be found",
        "srl: 2 arguments share words with another one of their predicate: one is learnt or found",
        "relation: 1 from words to themselves, not learnt, and missed in scores",
        f"relation: 1 {no_span}",
        f"coref: 1 {no_span}",
        "coref: 1 mentions have the words of another one: of a place one cluster is learnt or "
        "found",
    }
    for scores in (evaluate(run.folder), evaluate(run.folder, files["dev"]), run.scores):
        assert set(scores.notes) >= expected
    for scores in (evaluate(run.folder, split="test"), evaluate(run.folder, files["test"])):
        assert not any("neither learnt" in note or " found" in note for note in scores.notes)
    alone = evaluate(run.folder, files["dev"], tasks=["srl"]).notes
    assert {note.partition(":")[0] for note in alone} <= {"srl"}


def test_mentions_that_are_not_read_are_noted(tmp_path: Path) -> None:
    """They are in no layer, so that their sentences are not scored."""
    word = "{}\tw\t_\tX\t_\t_\t_\t_\t_\tEntity={}\n"
    whole = word.format(1, "(e1-p-1-)") + "\n"
    parts = word.format(1, "(e1[1/2]-p-1-)") + word.format(2, "(e1[2/2]-p-1-)") + "\n"
    files = {}
    for split, own in {"train": whole, "dev": whole + parts, "test": whole}.items():
        files[split] = str(tmp_path / f"{split}.conllu")
        Path(files[split]).write_text(f"# global.Entity = eid-etype-head-other\n{own}")
    tasks = {"upos": {"depth": 1}, "thing": {"depth": 1, "column": "entity", "head": "span"}}
    corpora = {"own": {"format": "conllu", **files}}
    run = train(recipe(corpora=corpora, tasks=tasks), output=tmp_path / "run")
    for given in ({}, {"data": files["dev"]}, {"raw": True}, {"tasks": ["thing"]}):
        (note,) = (note for note in evaluate(run.folder, **given).notes if "Entity=" in note)
        assert note.startswith("thing: Entity= of 1 sentences is not read: mentions have several")
    others: list[dict[str, Any]] = [{"split": "test"}, {"data": files["test"]}, {"tasks": ["upos"]}]
    for given in others:
        assert not any("Entity=" in note for note in evaluate(run.folder, **given).notes)
