"""A graph says what the model says, for batches and lengths it was not traced with."""

import copy
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertTokenizerFast

import hiermtl
from hiermtl.annotation import Annotator, Pair
from hiermtl.commands.export import Export, GraphAnnotator
from hiermtl.config import HierarchicalConfig
from hiermtl.encoders.bert import BertEncoder
from hiermtl.encoders.bilstm import BiLstmEncoder
from hiermtl.errors import ModelError
from hiermtl.evaluation import Scores
from hiermtl.evaluation.scores import ScoreRow
from hiermtl.heads import BiaffineHead
from hiermtl.model import HierarchicalModel
from hiermtl.onnx import Running, Written, exportable
from hiermtl.onnx.graph import PROGRAMS
from hiermtl.records import Batch, Example
from hiermtl.tokens import Collator, PieceTokenizer, WordTokenizer
from tests.worlds import make_world, randomise

onnx = pytest.importorskip("onnx", reason="the extra `onnx` is not installed")
ort = pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
pytest.importorskip("onnxscript", reason="the extra `onnx` is not installed")

DOCS = Path(__file__).parents[3] / "docs" / "onnx.md"
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abc.", "##a", "##b", "##c"]
TASKS: dict[str, Any] = {
    "upos": {"depth": 1, "head": "tagging", "labels": ["NOUN", "VERB", "DET"]},
    "ner": {"depth": 1, "head": "crf", "labels": ["O", "B-PER", "I-PER"]},
    "dep": {
        "depth": 2,
        "head": "biaffine",
        "labels": ["root", "obj"],
        "options": {"arc_width": 8, "label_width": 6},
    },
    "topic": {"depth": 2, "head": "text_classification", "labels": ["A", "B", "C"]},
    "entailment": {
        "depth": 2,
        "head": "pair_classification",
        "labels": ["NO", "YES"],
        "options": {"hidden": 4},
    },
}
ABLE = ["upos", "ner", "dep", "topic"]
SENTENCES = [["ab", "c", "."], ["bca"], ["a", "cab", "b", "a", "c", "."] * 2, ["c"], ["b", "ac"]]


def annotator(pooling: str = "first") -> Annotator:
    config = BertConfig(
        vocab_size=len(PIECES),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=32,
    )
    encoder = BertEncoder(config)
    whole = HierarchicalConfig(encoder.config(), TASKS, language="en", pooling=pooling)
    torch.manual_seed(0)
    model = HierarchicalModel(whole, encoder).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * (0.5 if weight.dim() > 1 else 0.1))
    pieces = BertTokenizerFast(vocab={name: place for place, name in enumerate(PIECES)})
    return Annotator(model, PieceTokenizer(pieces, limit=32), precision="fp32")


@pytest.fixture(scope="module")
def nlp() -> Annotator:
    return annotator()


@pytest.fixture(scope="module")
def made(nlp: Annotator, tmp_path_factory: pytest.TempPathFactory) -> Export:
    folder = tmp_path_factory.mktemp("graphs") / "tiny"
    return hiermtl.export(nlp, folder, tasks=ABLE, int8=True)


def batch_of(nlp: Annotator, sentences: list[list[str]], tasks: list[str]) -> Batch:
    arrays = nlp.tokenizer.encode(sentences)
    further = [name for name in arrays if name not in ("pieces", "piece_counts")]
    examples = [
        Example(
            arrays["pieces"][place],
            arrays["piece_counts"][place],
            features={name: arrays[name][place] for name in further},
        )
        for place in range(len(sentences))
    ]
    return Collator(nlp.tokenizer, nlp.model.routes.depths(), flat=False)(examples, tasks)


def scores_of(nlp: Annotator, file: Path, sentences: list[list[str]], tasks: list[str]) -> Any:
    """Scores of words and trees by the graph, and by the model, over the same batch."""
    batch = batch_of(nlp, sentences, tasks)
    asked = dict.fromkeys(tasks, np.ones(len(sentences), dtype=bool))
    with torch.no_grad():
        theirs = nlp.model(batch, asked)
    ours = Running(nlp.model, file, threads=1)(batch, asked)
    found, expected = {}, {}
    for task in tasks:
        if "heads" not in ours[task].scores:
            found[task], expected[task] = ours[task].scores["labels"], theirs[task].scores["labels"]
            continue
        head, layout = nlp.model.head(task), batch.layout
        assert isinstance(head, BiaffineHead)
        within = np.arange(layout.words) - layout.word_starts[layout.word_sentences]
        with torch.no_grad():
            arcs = head.arc_scores(theirs[task])[layout.word_sentences, within]
            heads = torch.from_numpy(within)  # the word before each, or the root
            places = torch.where(
                heads > 0, heads + torch.from_numpy(layout.word_starts[layout.word_sentences]), 0
            )
            relations = head.label_scores(theirs[task], places)
        given = ours[task].scores["heads"]
        there = given.isfinite()
        counts = torch.from_numpy(layout.word_counts[layout.word_sentences])
        assert torch.equal(there.sum(-1), counts)  # the root and all others but the word itself
        found[task], expected[task] = given[there], arcs[there]
        expected[f"{task}.relations"] = relations
        found[f"{task}.relations"] = ours[task].scores["relations"][range(layout.words), within]
    return found, expected


def is_tree(heads: tuple[int, ...]) -> bool:
    """Whether there is one root, below which all words are."""
    below = {at for at, head in enumerate(heads) if head == -1}
    while more := {at for at, head in enumerate(heads) if head in below} - below:
        below |= more
    return heads.count(-1) == 1 and len(below) == len(heads)


def assert_close(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert list(found) == list(expected)
    for name, values in found.items():
        torch.testing.assert_close(values, expected[name], rtol=0, atol=1e-4)


@pytest.mark.parametrize("sentences", [SENTENCES, SENTENCES[1:2], SENTENCES[2:3], SENTENCES * 5])
def test_scores_are_those_of_the_model(nlp: Annotator, made: Export, sentences: list[list[str]]):
    found, expected = scores_of(nlp, made.written.graph, sentences, ["upos", "ner", "dep"])
    assert_close(found, expected)


def test_other_weights_give_other_scores(nlp: Annotator, made: Export):
    """The control: the comparison can fail."""
    other = annotator()
    with torch.no_grad():
        other.model.get_parameter("heads.upos.output.weight").mul_(1.01)
    found, expected = scores_of(other, made.written.graph, SENTENCES, ["upos"])
    with pytest.raises(AssertionError):
        assert_close(found, expected)


def test_labels_are_those_of_the_model(nlp: Annotator, made: Export):
    """Those of sentences longer than a row too, which the model reads in windows."""
    graph = GraphAnnotator(nlp, made.written.graph, name="fp32")
    given = [*SENTENCES, ["abc", "b"] * 30]
    tasks = [task for task in ABLE if task != "topic"]
    assert list(graph.predict_layers(given, tasks)) == list(nlp.predict_layers(given, tasks))
    texts = [" ".join(words) for words in SENTENCES]
    ours, theirs = (list(who.pipe(texts, ["topic"], with_scores=True)) for who in (graph, nlp))
    assert [doc.labels for doc in ours] == [doc.labels for doc in theirs]
    sure = [[doc.scores["topic"][0] for doc in docs] for docs in (ours, theirs)]
    np.testing.assert_allclose(*sure, rtol=0, atol=1e-4)
    assert np.ptp(sure[0]) > 1e-3


LONG = ["abc", "b"] * 30


def of_sentences(who: Any, nlp: Annotator, sentences: list[list[str]]) -> list[torch.Tensor]:
    """The scores for `upos` of each sentence, all of them in one batch."""
    batch = batch_of(nlp, sentences, ["upos"])
    with torch.no_grad():
        output = who(batch, {"upos": np.ones(len(sentences), dtype=bool)})["upos"]
    found = output.scores["labels"].split(output.layout.word_counts.tolist())
    return [found[place] for place in np.argsort(batch.order)]


def test_of_a_batch_the_model_reads_the_long_sentences_alone(nlp: Annotator, made: Export):
    assert made.written.small is not None
    graph = Running(nlp.model, made.written.small, threads=1)
    alone = of_sentences(graph, nlp, SENTENCES)
    assert graph.long == 0
    *short, long = of_sentences(graph, nlp, [*SENTENCES, LONG])
    assert graph.long == 1
    *theirs, expected = of_sentences(nlp.model, nlp, [*SENTENCES, LONG])
    assert len(long) == len(LONG)
    torch.testing.assert_close(long, expected)
    for ours, same, other in zip(short, alone, theirs, strict=True):
        assert torch.equal(ours, same)
        assert not torch.equal(ours, other)
    assert len(of_sentences(graph, nlp, [LONG, LONG])) == 2  # none for the graph
    assert graph.long == 3


def test_labels_of_a_batch_with_long_sentences_stand_in_their_order(nlp: Annotator, made: Export):
    graph = GraphAnnotator(nlp, made.written.graph, name="fp32")
    graph.tokens_per_batch = nlp.tokens_per_batch = 10_000
    given = [*SENTENCES, LONG, ["a"], ["c", *LONG], ["ab", "c"]]
    tasks = ["upos", "ner", "dep"]
    assert list(graph.predict_layers(given, tasks)) == list(nlp.predict_layers(given, tasks))
    assert graph.long == 2
    texts = [" ".join(words) for words in given]
    ours, theirs = (list(who.pipe(texts, ["topic"], with_scores=True)) for who in (graph, nlp))
    assert [doc.labels for doc in ours] == [doc.labels for doc in theirs]
    sure = [[doc.scores["topic"][0] for doc in docs] for docs in (ours, theirs)]
    np.testing.assert_allclose(*sure, rtol=0, atol=1e-4)
    assert graph.long == 4


class Elsewhere(HierarchicalModel):
    """A model that says it lies on another device until it is moved to this one."""

    away = True

    @property
    def device(self) -> torch.device:
        return torch.device("meta" if self.away else "cpu")

    def cpu(self) -> Any:
        self.away = False
        return super().cpu()


def test_a_model_on_another_device_is_scored_here(made: Export):
    nlp = annotator()
    nlp.model.__class__ = Elsewhere
    graph = GraphAnnotator(nlp, made.written.graph, name="fp32")
    given = [*SENTENCES, LONG]
    found = list(graph.predict_layers(given, ["upos", "dep"]))
    assert nlp.model.device.type == "meta"  # it stays where it was
    assert found == list(annotator().predict_layers(given, ["upos", "dep"]))


def test_a_model_in_half_precision_reads_long_sentences_in_fp32(made: Export):
    half = annotator()
    half.model.to(torch.bfloat16)
    graph = GraphAnnotator(half, made.written.graph, name="fp32")
    whole = Annotator(half.model, half.tokenizer, precision="fp32")
    expected = list(whole.pipe([" ".join(LONG)], ["upos"], with_scores=True))
    (found,) = graph.pipe([" ".join(LONG)], ["upos"], with_scores=True)
    np.testing.assert_allclose(found.scores["upos"], expected[0].scores["upos"], rtol=0, atol=1e-6)


def test_tasks_may_be_an_iterator(nlp: Annotator, tmp_path: Path):
    nlp.save_pretrained(tmp_path / "model")
    made = hiermtl.export(tmp_path / "model", tmp_path / "graph", tasks=iter(["upos"]))
    assert made.written.tasks == ("upos",)


def test_weights_beside_the_graph_are_all_there_is(
    nlp: Annotator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """As torch writes graphs of over 2 GB."""
    save = torch.onnx.ONNXProgram.save

    def apart(program: torch.onnx.ONNXProgram, path: Path) -> None:
        save(program, path, external_data=True)

    monkeypatch.setattr(torch.onnx.ONNXProgram, "save", apart)
    written = hiermtl.export(nlp, tmp_path / "graph", tasks=["upos"], int8=True).written
    graph = onnx.load(written.graph, load_external_data=False)
    assert "hiermtl" in {entry.key for entry in graph.metadata_props}
    assert any(weight.external_data for weight in graph.graph.initializer)
    data = written.graph.with_name("model.onnx.data")
    assert written.sizes["model.onnx"] == written.graph.stat().st_size + data.stat().st_size
    assert data.stat().st_size > 1000
    assert_close(*scores_of(nlp, written.graph, SENTENCES, ["upos"]))
    found, expected = scores_of(nlp, written.small or data, SENTENCES, ["upos"])
    assert np.corrcoef(found["upos"].flatten(), expected["upos"].flatten())[0, 1] > 0.9


def test_the_folder_says_all_that_is_needed(nlp: Annotator, made: Export):
    folder = made.written.folder
    about = json.loads((folder / "tasks.json").read_text(encoding="utf-8"))
    graph = onnx.load(folder / "model.onnx")
    onnx.checker.check_model(graph)
    noted = {entry.key: entry.value for entry in graph.metadata_props}
    assert json.loads(noted["hiermtl"]) == about
    assert list(about["inputs"]) == ["input_ids", "attention_mask", "word_starts"]
    assert list(about["inputs"]) == [given.name for given in graph.graph.input]
    outputs = [name for task in about["tasks"].values() for name in task["outputs"]]
    assert outputs == [given.name for given in graph.graph.output]
    assert outputs == ["ner", "upos", "dep.heads", "dep.relations", "topic"]
    assert about["tasks"]["ner"]["labels"] == ["O", "B-PER", "I-PER"]
    assert about["tasks"]["ner"]["chain"]["start"][2] is None
    assert (about["most_pieces"], about["prefix"], about["suffix"]) == (32, [2], [3])
    assert (folder / "tokenizer.json").exists()
    assert not list(folder.parent.glob(".*"))


def programs() -> tuple[str, str]:
    """Those of the page: the whole one, and what makes the inputs of words."""
    first, second = re.findall(r"```python\n(import json\n.*?)```", DOCS.read_text(), re.DOTALL)
    return first, second


def test_the_page_on_onnx_is_right(
    nlp: Annotator, made: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Its program, run where it stands, says what the package says."""
    code, _ = programs()
    shutil.copytree(made.written.folder, tmp_path / "onnx" / "ewt")
    monkeypatch.chdir(tmp_path)
    code = code.replace('[["Ada", "wrote", "letters", "."], ["Yes"]]', repr(SENTENCES))
    names: dict[str, Any] = {}
    exec(code, names)
    trees = 0
    for words, found in zip(SENTENCES, names["found"], strict=True):
        doc = nlp(words)
        assert tuple(found["upos"]) == doc.tags("upos")
        assert tuple(found["ner"]) == doc.tags("ner")
        arcs = tuple(head - 1 for head in found["heads"])
        if is_tree(arcs):  # the best heads are then the best tree
            trees += 1
            assert arcs == doc.tree.heads
            assert tuple(found["relations"]) == doc.tree.relations
    assert trees > 2


def test_8_bits_are_smaller_and_near(nlp: Annotator, made: Export):
    small = made.written.small
    assert small is not None
    assert small.stat().st_size < made.written.graph.stat().st_size
    found, expected = scores_of(nlp, small, SENTENCES, ["upos", "dep"])
    for name in ("upos", "dep"):
        assert not torch.equal(found[name], expected[name])
        assert np.corrcoef(found[name].flatten(), expected[name].flatten())[0, 1] > 0.9
    assert "was not measured: the model's config.json does not say what it" in made.to_text()


def test_what_8_bits_cost_is_told():
    def scores(*values: float) -> Scores:
        about = {"level": 1, "depth": 1, "items": 9, "data": "ewt", "split": "dev", "scorer": "x"}
        named = zip(("upos", "dep"), ("accuracy", "las"), values, strict=True)
        rows = [
            ScoreRow(task=t, metric=m, score=v, dtype="-", seed=0, **about) for t, m, v in named
        ]
        return Scores(tuple(rows))

    files = {"model.onnx": scores(96.5, 88.81), "model.int8.onnx": scores(96.46, 88.3)}
    written = Written(DOCS.parent, ("upos", "dep"), DOCS, None)
    text = Export(written, files).to_text()
    assert re.search(r"upos +accuracy +96\.50 +96\.46 +-0\.04", text)
    assert re.search(r"dep +las +88\.81 +88\.30 +-0\.51", text)
    assert "split dev; data ewt" in text
    assert "longer than a row" not in text
    told = Export(written, files, long=3).to_text()
    assert "sentences longer than a row, which the model computed in fp32: 3" in told


def test_heads_without_a_graph_are_refused_by_name(nlp: Annotator, tmp_path: Path):
    assert exportable(nlp.model) == sorted(ABLE, key=nlp.tasks.index)
    with pytest.raises(
        ModelError,
        match=r"'entailment' has a head of kind 'pair_classification'.*compares two sentences; the "
        r"kinds that can are tagging, .*: name tasks of ner, upos, dep and topic alone",
    ):
        hiermtl.export(nlp, tmp_path / "graph")
    assert not list(tmp_path.iterdir())
    assert nlp([Pair(SENTENCES[0], SENTENCES[1])][0]).labels["entailment"] in ("NO", "YES")


@pytest.mark.parametrize(
    ("family", "reason"),
    [
        ("mpnet", "a bias"),
        ("deberta-v2", "relative positions"),
        ("modernbert", "rotary positions"),
        ("another", "nobody has tried it"),
    ],
)
def test_families_without_a_graph_are_refused_by_name(family: str, reason: str, tmp_path: Path):
    world = make_world("modernbert", dtype=torch.float32)
    world.model.config.encoder = {**world.model.config.encoder, "family": family}
    nlp = Annotator(world.model, world.tokenizer)
    with pytest.raises(
        ModelError,
        match=rf"family '{family}' cannot be exported: .*{reason}.*families that can.*bert",
    ):
        hiermtl.export(nlp, tmp_path / "graph")


def test_a_graph_of_one_length_is_refused(
    nlp: Annotator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Such as torch's exporter writes without a word."""

    def of_one_length(head: Any, scores: Any, grid: Any) -> list[torch.Tensor]:
        words = int(grid.starts.shape[1])  # which makes it the number of the example's
        return [scores["labels"].view(-1, words, len(head.labels))]

    monkeypatch.setitem(PROGRAMS, "tagging", of_one_length)
    with pytest.raises(
        ModelError, match=r"cannot write the graph of upos for all numbers of rows.*leave that out"
    ):
        hiermtl.export(nlp, tmp_path / "graph", tasks=["upos"])
    assert not list(tmp_path.iterdir())


def test_a_place_that_is_taken_or_a_file_is_refused(nlp: Annotator, tmp_path: Path):
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(ModelError, match=r"is occupied; name another folder"):
        hiermtl.export(nlp, tmp_path, tasks=["upos"])
    with pytest.raises(ModelError, match=r"model\.onnx is named as a file; name a folder"):
        hiermtl.export(nlp, tmp_path / "model.onnx", tasks=["upos"])
    with pytest.raises(ModelError, match=r"no task 'upso'.*did you mean 'upos'"):
        hiermtl.export(nlp, tmp_path / "new", tasks=["upso"])


def test_without_the_packages_the_extra_is_named(
    nlp: Annotator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ModelError, match=r'onnxscript.*pip install "hiermtl\[onnx\]"'):
        hiermtl.export(nlp, tmp_path / "graph", tasks=["upos"])


@pytest.mark.slow
@pytest.mark.parametrize("family", ["bert", "bilstm"])
@pytest.mark.parametrize("scheme", ["joint_many", "cross_stitch", "sluice", "hmtl"])
def test_graphs_of_every_kind_of_scheme_say_the_same(family: str, scheme: str, tmp_path: Path):
    world = make_world(family, scheme, dtype=torch.float32)
    nlp = Annotator(world.model, world.tokenizer, precision="fp32")
    made = hiermtl.export(nlp, tmp_path / "graph", tasks=exportable(nlp.model))
    given = [["the", "dog", "barks"], ["a"], ["cat"] * 9]
    graph = GraphAnnotator(nlp, made.written.graph, name="fp32")
    assert list(graph.predict_layers(given)) == list(nlp.predict_layers(given))


@pytest.fixture(scope="module")
def words() -> Annotator:
    """On a BiLSTM, which reads words and their n-grams."""
    tokenizer = WordTokenizer(WordTokenizer.count_words(SENTENCES, 2), buckets=50, sizes=(2, 3))
    known = len(tokenizer.vocabulary)
    assert 0 < known < len({word for sentence in SENTENCES for word in sentence})
    encoder = BiLstmEncoder(
        layers=2, hidden=5, word_width=4, ngram_width=6, vocabulary=known, buckets=50
    )
    config = HierarchicalConfig(encoder.config(), TASKS, language="en")
    model = HierarchicalModel(config, encoder, seed=0).eval()
    randomise(model.named_parameters(), spread=0.5)
    return Annotator(model, tokenizer, precision="fp32")


@pytest.fixture(scope="module")
def made_of_words(words: Annotator, tmp_path_factory: pytest.TempPathFactory) -> Export:
    folder = tmp_path_factory.mktemp("graphs") / "words"
    return hiermtl.export(words, folder, tasks=ABLE, int8=True)


@pytest.mark.parametrize("sentences", [SENTENCES, SENTENCES[1:2], SENTENCES[2:3], SENTENCES * 5])
def test_scores_are_those_of_a_bilstm(
    words: Annotator, made_of_words: Export, sentences: list[list[str]]
):
    """For more steps, rows and n-grams than the graph was traced with, and for fewer."""
    graph = made_of_words.written.graph
    assert_close(*scores_of(words, graph, sentences, ["upos", "ner", "dep"]))


@pytest.mark.parametrize("part", ["ngrams", "left_to_right", "right_to_left"])
def test_other_weights_of_a_bilstm_give_other_scores(
    words: Annotator, made_of_words: Export, part: str
):
    """The control: each part of the graph is compared."""
    other = copy.deepcopy(words.model)
    changed = [value for name, value in other.named_parameters() if part in name]
    assert changed
    with torch.no_grad():
        changed[0].mul_(1.01)
    nlp = Annotator(other, words.tokenizer, precision="fp32")
    with pytest.raises(AssertionError):
        assert_close(*scores_of(nlp, made_of_words.written.graph, SENTENCES, ["upos"]))


def test_a_graph_of_words_says_what_a_bilstm_says(words: Annotator, made_of_words: Export):
    """Of sentences of any length, and where tasks are asked of some sentences alone."""
    graph = GraphAnnotator(words, made_of_words.written.graph, name="fp32")
    given = [*SENTENCES, LONG * 3]
    tasks = [task for task in ABLE if task != "topic"]
    assert list(graph.predict_layers(given, tasks)) == list(words.predict_layers(given, tasks))
    assert graph.long == 0
    batch = batch_of(words, SENTENCES, ["upos"])
    some = {"upos": np.arange(len(SENTENCES)) % 2 == 0}
    with torch.no_grad():
        expected = words.model(batch, some)["upos"].scores["labels"]
    found = Running(words.model, made_of_words.written.graph)(batch, some)["upos"].scores["labels"]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_matrices_of_an_lstm_are_in_8_bits_too(words: Annotator, made_of_words: Export):
    small = made_of_words.written.small
    assert small is not None
    kinds = {node.op_type for node in onnx.load(small).graph.node}
    assert "DynamicQuantizeLSTM" in kinds
    assert "LSTM" not in kinds
    found, expected = scores_of(words, small, SENTENCES, ["upos"])
    assert not torch.equal(found["upos"], expected["upos"])
    assert np.corrcoef(found["upos"].flatten(), expected["upos"].flatten())[0, 1] > 0.9


def test_the_page_on_onnx_is_right_of_words(
    words: Annotator, made_of_words: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Its program for words makes what the graph reads."""
    _, code = programs()
    shutil.copytree(made_of_words.written.folder, tmp_path / "onnx" / "small")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(code, names)
    session = ort.InferenceSession(made_of_words.written.graph)
    given = [["ab", "c", "zzz"], ["bca"], ["ca", "ü."]]
    (found,) = session.run(["upos"], names["batch_of"](given))
    labels = made_of_words.written.folder / "tasks.json"
    upos = json.loads(labels.read_text(encoding="utf-8"))["tasks"]["upos"]["labels"]
    for row, sentence in zip(found, given, strict=True):
        tags = [upos[label] for label in row[: len(sentence)].argmax(-1)]
        assert tuple(tags) == words(sentence).tags("upos")


@pytest.mark.slow
def test_words_may_be_the_mean_of_their_pieces(tmp_path: Path):
    nlp = annotator("mean")
    made = hiermtl.export(nlp, tmp_path / "graph", tasks=["upos", "dep"])
    assert_close(*scores_of(nlp, made.written.graph, SENTENCES, ["upos", "dep"]))
