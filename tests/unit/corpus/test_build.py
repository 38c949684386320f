import json
import multiprocessing
import os
import re
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import datasets
import numpy as np
import pytest

from hiermtl.corpus import store
from hiermtl.corpus.build import Corpus, Source, build_corpus
from hiermtl.corpus.cache import digest, file_digest
from hiermtl.corpus.sources import columns_source, conllu_source, dataset_source, joined_source
from hiermtl.errors import DataError, RecipeError, RunError
from hiermtl.folders import cache_folder
from hiermtl.text.conllu import read_conllu
from hiermtl.text.sentence import Sentence, Span, Spans, Tree

Counted = Callable[[Source], tuple[Source, list[int]]]
NASTY = Path(__file__).parents[2] / "data" / "nasty.conllu"


def plain(sentence: Sentence) -> tuple[object, ...]:
    return (
        sentence.words,
        dict(sentence.layers),
        sentence.sent_id,
        sentence.doc_id,
        sentence.text,
        sentence.space_after,
    )


def test_sentences_come_back_as_they_were(sources: dict[str, Source], tmp_path: Path) -> None:
    corpus = build_corpus("toy", sources, cache=tmp_path)
    for split, source in sources.items():
        assert [*map(plain, corpus.sentences(split))] == [*map(plain, source.read())]
        for layer in corpus.layers:
            expected = [s.layers.get(layer) for s in source.read()]
            assert corpus.gold(split, layer) == expected


def test_a_nasty_file_comes_back_as_it_was(tmp_path: Path) -> None:
    corpus = build_corpus("nasty", {"train": conllu_source(NASTY)}, cache=tmp_path)
    assert [*map(plain, corpus.sentences("train"))] == [*map(plain, read_conllu(NASTY))]


def test_small_record_batches_change_nothing(
    sources: dict[str, Source], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "ROWS", 1)
    corpus = build_corpus("toy", sources, cache=tmp_path)
    assert [*map(plain, corpus.sentences("train"))] == [*map(plain, sources["train"].read())]
    assert len(corpus.splits["train"].data.column("words").chunks) == 4


def test_labels_are_trains_sorted_then_those_seen_later(
    sources: dict[str, Source], tmp_path: Path
) -> None:
    corpus = build_corpus("toy", sources, cache=tmp_path)
    assert corpus.layers == {"dep": "tree", "ner": "tags", "upos": "tags"}
    assert corpus.inventory("ner") == ("B-LOC", "B-PER", "O")
    assert corpus.names["ner"] == ("B-LOC", "B-PER", "O", "B-ORG")
    assert corpus.inventory("dep") == ("nsubj", "root")
    assert corpus.unseen == {
        "dep": {"vocative": {"dev": 1}},
        "ner": {"B-ORG": {"dev": 1}},
        "upos": {"X": {"dev": 2}},
    }
    assert "toy upos: 1 labels on 2 words do not occur in train (X)" in corpus.lines()
    assert "toy train: 4 sentences, 8 words" in corpus.lines()


def test_unseen_labels_of_spans_are_on_items_not_on_words(tmp_path: Path) -> None:
    def source(*labels: str) -> Source:
        spans = Spans(tuple(Span(0, 2, label) for label in labels))
        return Source((), lambda: [Sentence(("a", "b"), {"entity": spans})], {"is": labels})

    corpus = build_corpus("toy", {"train": source("x"), "dev": source("y", "z")}, cache=tmp_path)
    assert "toy entity: 2 labels on 2 items do not occur in train (y, z)" in corpus.lines()


def test_the_stored_form_is_class_labels_with_nulls(
    sources: dict[str, Source], tmp_path: Path
) -> None:
    data = build_corpus("toy", sources, cache=tmp_path).splits["train"]
    assert data.features["upos"].feature == datasets.ClassLabel(names=["ADJ", "PROPN", "VERB", "X"])
    assert data[0]["upos"] == [1, 2, -1]
    assert data[1]["upos"] is None
    assert data[0]["dep.heads"] == [2, 0, -1]
    assert data[0]["dep.relations"] == [0, 1, -1]
    assert data.cache_files


def test_only_the_layers_asked_for_are_kept(sources: dict[str, Source], tmp_path: Path) -> None:
    corpus = build_corpus("toy", sources, layers=["ner"], cache=tmp_path)
    assert corpus.layers == {"ner": "tags"}
    message = "no sentence of corpus 'toy' has layer 'nre'; its sources have .*"
    with pytest.raises(DataError, match=message):
        build_corpus("toy", sources, layers=["nre"], cache=tmp_path)


def test_the_second_call_reads_nothing(
    sources: dict[str, Source], tmp_path: Path, count_reads: Counted
) -> None:
    counted, reads = count_reads(sources["train"])
    build_corpus("a", {"train": counted}, cache=tmp_path)
    build_corpus("other name", {"train": counted}, cache=tmp_path)
    assert len(reads) == 1


def test_a_change_of_content_options_or_layers_is_a_new_key(
    sources: dict[str, Source], tmp_path: Path
) -> None:
    train = sources["train"]

    def key(source: Source, layers: list[str] | None = None) -> str:
        return build_corpus("a", {"train": source}, layers=layers, cache=tmp_path).keys["train"]

    keys = [
        key(train),
        key(Source(train.files, train.read, {"bio": "repair"})),
        key(train, ["ner"]),
    ]
    time.sleep(0.01)
    train.files[0].write_text("changed", encoding="utf-8")
    keys.append(key(train))
    assert len(set(keys)) == 4
    train.files[0].touch()
    assert key(train) == keys[-1]


def test_a_damaged_entry_is_made_again(
    sources: dict[str, Source], tmp_path: Path, count_reads: Counted
) -> None:
    counted, reads = count_reads(sources["train"])
    corpus = build_corpus("a", {"train": counted}, cache=tmp_path)
    file = Path(corpus.splits["train"].cache_files[0]["filename"])
    del corpus
    file.write_bytes(file.read_bytes()[:-10])
    again = build_corpus("a", {"train": counted}, cache=tmp_path)
    assert len(reads) == 2
    assert len(list(again.sentences("train"))) == 4
    (file.parent / "meta.json").write_text("{", encoding="utf-8")
    build_corpus("a", {"train": counted}, cache=tmp_path)
    assert len(reads) == 3
    assert [path.name for path in file.parents[1].iterdir()] == [file.parent.name]


def test_a_reader_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    def read() -> Iterator[Sentence]:
        yield Sentence(("a",))
        raise DataError("broken", "f", line=3)

    with pytest.raises(DataError, match="f:3: broken"):
        build_corpus("a", {"train": Source((), read)}, cache=tmp_path)
    assert list((tmp_path / "corpora").iterdir()) == []


def _build(folder: Path, barrier: object) -> None:
    def read() -> Iterator[Sentence]:
        barrier.wait()  # type: ignore[attr-defined]
        yield from (Sentence((f"w{n}",), {"upos": ("X",)}) for n in range(3000))

    corpus = build_corpus("a", {"train": Source((), read)}, cache=folder)
    assert sum(1 for _ in corpus.sentences("train")) == 3000


def test_two_processes_that_make_the_same_entry_both_succeed(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(2)
    both = [context.Process(target=_build, args=(tmp_path, barrier)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
    assert [process.exitcode for process in both] == [0, 0]
    assert len(list((tmp_path / "corpora").iterdir())) == 1


def test_a_split_is_never_whole_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "ROWS", 100)

    class Word(str):
        __slots__ = ("__weakref__",)

        def __hash__(self) -> int:
            return id(self)

    alive: weakref.WeakSet[Word] = weakref.WeakSet()
    most = 0

    def read() -> Iterator[Sentence]:
        nonlocal most
        for number in range(5000):
            word = Word(number)
            alive.add(word)
            most = max(most, len(alive))
            yield Sentence((word,), {"upos": ("X",)})

    corpus = build_corpus("a", {"train": Source((), read)}, cache=tmp_path)
    assert len(corpus.splits["train"]) == 5000
    assert most <= 202


def test_empty_splits_no_splits_and_unknown_names_are_refused(
    sources: dict[str, Source], tmp_path: Path
) -> None:
    file = tmp_path / "empty.conllu"
    file.touch()
    with pytest.raises(DataError, match=rf"{file}: no sentence for split 'dev' of corpus 'a'"):
        build_corpus("a", {"dev": conllu_source(file)}, cache=tmp_path)
    with pytest.raises(RecipeError, match="corpus 'a' has no splits"):
        build_corpus("a", {}, cache=tmp_path)
    corpus = build_corpus("a", sources, cache=tmp_path)
    with pytest.raises(DataError, match="has no split 'test'; it has train and dev"):
        next(corpus.sentences("test"))
    with pytest.raises(DataError, match=r"has no layer 'upso'; it has .*; did you mean 'upos'"):
        corpus.gold("dev", "upso")


def test_a_layer_is_either_tags_or_a_tree(tmp_path: Path) -> None:
    tags, tree = Sentence(("a",), {"x": ("b",)}), Sentence(("a",), {"x": Tree((0,), ("r",))})
    with pytest.raises(DataError, match="layer 'x' holds tree here and tags before"):
        build_corpus("a", {"train": Source((), lambda: [tags, tree])}, cache=tmp_path)
    splits = {"train": Source((), lambda: [tags]), "dev": Source((), lambda: [tree])}
    with pytest.raises(DataError, match="layer 'x' of corpus 'a' holds tree in split 'dev'"):
        build_corpus("a", splits, cache=tmp_path)


def test_a_corpus_without_train_has_an_empty_inventory(
    sources: dict[str, Source], tmp_path: Path
) -> None:
    corpus = build_corpus("a", {"dev": sources["dev"]}, cache=tmp_path)
    assert corpus.inventory("upos") == ()
    assert corpus.gold("dev", "upos") == [("X", "X"), ("VERB",)]
    assert corpus.unseen == {}


def test_no_features_anywhere_is_no_layer(tmp_path: Path) -> None:
    rows = [Sentence(("a",), {"feats": ("_",), "upos": ("X",)})]
    corpus = build_corpus("a", {"train": Source((), lambda: rows)}, cache=tmp_path)
    assert set(corpus.layers) == {"upos"}
    with pytest.raises(DataError, match="has layer 'feats'; its sources have none"):
        build_corpus("a", {"train": Source((), lambda: rows)}, layers=["feats"], cache=tmp_path)


def test_a_missing_file_says_where_its_corpus_comes_from(tmp_path: Path) -> None:
    path = tmp_path / "ud_english_ewt" / "en_ewt-ud-train.conllu"
    with pytest.raises(DataError, match=re.escape(f"{path}: no such file")) as caught:
        build_corpus("ewt", {"train": conllu_source(path)}, cache=tmp_path)
    for part in (
        "UD_English-EWT",
        "CC BY-SA 4.0",
        "15d613d",
        "ud_english_ewt/en_ewt-ud-dev.conllu",
    ):
        assert part in str(caught.value)
    with pytest.raises(DataError, match=r"other\.conllu: no such file; check the name"):
        file_digest(tmp_path / "other.conllu")


def test_the_cache_lies_where_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIERMTL_CACHE", str(tmp_path / "env"))
    assert cache_folder() == tmp_path / "env"
    assert cache_folder(tmp_path / "given") == tmp_path / "given"
    monkeypatch.delenv("HIERMTL_CACHE")
    assert cache_folder() == Path.home() / ".cache" / "hiermtl"
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"the cache cannot be written .*HIERMTL_CACHE"):
        build_corpus("a", {"train": Source((), list)}, cache=tmp_path / "file")


def test_digests_do_not_depend_on_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": [2]}) == digest({"b": (2,), "a": 1})
    assert digest({"a": 1}) != digest({"a": "1"})
    with pytest.raises(TypeError, match="has no JSON form"):
        digest({"a": object()})


def test_sources_of_the_readers_join_repair_and_report(tmp_path: Path) -> None:
    base, other = tmp_path / "b.conllu", tmp_path / "o.tsv"
    row = "1\t{}\t_\tX\t_\t_\t0\troot\t_\t_\n\n"
    base.write_text("# sent_id = 1\n" + row.format("a") + "# sent_id = 2\n" + row.format("b"))
    other.write_text("# sent_id = 1\na\tI-X\n\n# sent_id = 2\nc\tO\n")
    columns = columns_source(other, {"ner": 1}, bio="repair")
    source = joined_source(conllu_source(base), columns, layers=["ner"])
    corpus = build_corpus("a", {"train": source}, cache=tmp_path)
    assert corpus.gold("train", "ner") == [("B-X",), None]
    assert corpus.reports["train"] == (
        "1 tags of ner repaired",
        "ner: 1 of 2 common sentences have the same forms",
        "ner: 1 left out: forms differ (2)",
    )
    data = datasets.Dataset.from_dict({"tokens": [["a"]], "tags": [["X"]]})
    hub = dataset_source(data, {"upos": "tags"})
    assert build_corpus("h", {"train": hub}, cache=tmp_path).gold("train", "upos") == [("X",)]
    assert json.dumps(hub.options)


def test_ewt_is_stored_and_comes_back(data_folder: Path, tmp_path: Path) -> None:
    path = data_folder / "ud_english_ewt/en_ewt-ud-dev.conllu"
    corpus: Corpus = build_corpus("ewt", {"dev": conllu_source(path)}, cache=tmp_path)
    assert [*map(plain, corpus.sentences("dev"))] == [*map(plain, read_conllu(path))]
    assert corpus.words["dev"] == 25147
    assert os.path.commonpath([corpus.cache, tmp_path]) == str(tmp_path)
    assert np.sum([len(tags or ()) for tags in corpus.gold("dev", "upos")]) == 25147


MISC = (
    "# sent_id = a\n1\tAda\t_\tPROPN\t_\t_\t0\troot\t_\tNER=I-PER\n"
    "2\twrote\t_\tVERB\t_\tI-x\t1\tdep\t_\tNER=O\n\n"
)


def test_span_tags_of_misc_and_of_datasets_are_held_to_iob2(tmp_path: Path) -> None:
    path = tmp_path / "a.conllu"
    path.write_text(MISC)
    rows = datasets.Dataset.from_dict({"tokens": [["Ada", "wrote"]], "tags": [["I-PER", "O"]]})
    made = {
        "misc": lambda bio: conllu_source(path, bio=bio),
        "rows": lambda bio: dataset_source(rows, {"ner": "tags"}, bio=bio),
    }
    for name, make in made.items():
        with pytest.raises(DataError, match=r"'I-PER' of 'Ada' after the start of the sentence"):
            list(make("strict").read())
        (found,) = make("off").read()
        assert found.layers["ner"] == ("I-PER", "O")
        source = make("repair")
        assert [s.layers["ner"] for s in source.read()] == [("B-PER", "O")]
        assert list(source.reports()) == ["1 tags of ner repaired"]
        list(source.read())
        assert list(source.reports()) == ["1 tags of ner repaired"], name
        assert make("strict").options != make("repair").options
    with pytest.raises(DataError, match=r"a\.conllu:1: tag"):
        list(conllu_source(path).read())


def test_scripts_are_kept_and_their_labels_come_back(tmp_path: Path) -> None:
    rows = datasets.Dataset.from_dict(
        {
            "tokens": [["dogs", "cats", "went"], ["Dogs", "x"]],
            "lemmas": [["dog", "cat", "go"], ["dog", None]],
        }
    )
    source = dataset_source(rows, {"lemma": "lemmas"})
    corpus = build_corpus("a", {"train": source, "dev": source}, edits=["lemma"], cache=tmp_path)
    assert corpus.layers == {"lemma": "edits"}
    assert corpus.inventory("lemma") == ("l||-", "l||----+g+o")
    assert corpus.inventory("lemma", least=2) == ("l||-",)
    assert corpus.counts["lemma"] == [3, 1]
    assert corpus.gold("train", "lemma") == [("dog", "cat", "go"), ("dog", None)]
    assert [dict(s.layers) for s in corpus.sentences("dev")] == [
        {"lemma": ("dog", "cat", "go")},
        {"lemma": ("dog", None)},
    ]
    plain = build_corpus("a", {"train": source}, cache=tmp_path)
    assert plain.layers == {"lemma": "tags"}
    assert plain.inventory("lemma") == ("cat", "dog", "go")


def test_words_that_look_like_span_tags_are_no_spans() -> None:
    rows = datasets.Dataset.from_dict(
        {"tokens": [["drive", "the", "I-95"]], "lemmas": [["drive", "the", "I-95"]]}
    )
    (found,) = dataset_source(rows, {"lemma": "lemmas"}).read()
    assert found.layers["lemma"] == ("drive", "the", "I-95")
