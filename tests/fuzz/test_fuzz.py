"""Damaged input ends in a result or in an error with a message, never in anything else."""

import os
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
import torch
import yaml

from hiermtl.annotation import Annotator
from hiermtl.errors import HiermtlError
from hiermtl.evaluation.counts import load_counts
from hiermtl.recipe import load_recipe, show_recipe
from hiermtl.text.annotated import read_annotated
from hiermtl.text.columns import parse_columns, read_columns
from hiermtl.text.conllu import parse_conllu, render_conllu
from hiermtl.text.docbin import read_docbin
from hiermtl.text.edits import apply_edits, edit_script
from hiermtl.text.jsonl import parse_jsonl
from hiermtl.text.plain import parse_text, word_offsets
from hiermtl.text.propbank import chunks_from_propbank, read_propbank
from hiermtl.text.relations import read_crossre, read_semeval
from hiermtl.text.sentence import Sentence
from hiermtl.text.tables import read_pairs, read_sick, read_table
from tests.fuzz.guided import Failed, fuzz, mutated
from tests.worlds import make_world

Target = Callable[[bytes], object]
NASTY = (Path(__file__).parents[1] / "data" / "nasty.conllu").read_bytes()
ROW = b"1\tAda\tAda\tPROPN\tNNP\tNumber=Sing\t0\troot\t_\tNER=B-PER|Entity=(1-person)\n\n"
ENTITIES = b"# global.Entity = eid-etype-head-other\n" + ROW
MENTIONS = b"# global.Entity = eid-etype-head-other\n# global.EntityLayers = mention coref\n" + ROW
ROLES = b"# global.SRL = sense-arguments\n" + ROW.replace(b"NER=B-PER", b"SRL=go.01;ARG0:1-1")
COLUMNS = b"# sent_id = 1\nAda\tB-PER\nslept\tO\n\n-DOCSTART-\tO\n\nx\tI-X\n"
PROPBANK = b"# sent_id = a\n1\tHe\tPRP\t(TOP(S(NP*)\t-\t-\t(ARG0*)\n"
PROPBANK += b"2\tran\tVBD\t(VP*)))\trun\trun.02\t(V*)\n\n"
CROSSRE = b'{"doc_key": "a", "sentence": ["Ada", "met"], "ner": [[0, 0, "person"]], "relations": '
CROSSRE += b'[[0, 0, 0, 0, "social", "", false, false]]}\n'
SEMEVAL = b'1\t"The <e1>child</e1> in the <e2>cradle</e2>."\r\nOther\r\nComment:\r\n\r\n'
TABLE = b'text,label,n\n"Hello, ""you""",greeting,1.5\nBye,parting,2\n'
SICK = b"pair_ID\tsentence_A\tsentence_B\tentailment_label\trelatedness_score\tSemEval_set\n"
SICK += b"1\tA dog\tA cat\tNEUTRAL\t2.5\tTEST\n"
JSONL = b'{"text": "A b."}\n{"words": ["a", "b"], "id": 3}\n'
ANNOTATED = (
    b'{"words": ["a", "b"], "sentences": [[0, 1], [1, 2]], "tags": {"ner": ["O", null]}, '
    b'"trees": {"dep": {"heads": [-1, -1], "relations": ["r", "r"]}}, "text": "a b"}\n'
)
STRUCTURED = (
    b'{"words": ["a", "b"], "sentences": [[0, 1], [1, 2]], "spans": {"e": [[0, 1, "x"]]}, '
    b'"roles": {"srl": [{"predicate": 1, "sense": null, "arguments": [[1, 2, "A"]]}]}, '
    b'"doc_id": 1, "relations": {"r": [[0, 1, 0, 1, "x"]]}, '
    b'"clusters": {"c": [[[0, 1], [1, 2]]]}}\n'
)
TEXT = "One two. Dr. Who?\n\n你好 😀 שלום\u200b\n".encode()
RECIPE = show_recipe("quickstart").encode()
EXTENDING = b"extends: low_supervision/sample\ntasks:\n  ner: {depth: 50%}\ntraining: {lr: 4e-4}\n"


def lines(data: bytes) -> list[bytes]:
    return list(BytesIO(data))


def conllu(data: bytes) -> None:
    """What is read can be written, and reads the same."""
    sentences = list(parse_conllu(lines(data), "x"))
    written = "".join(map(render_conllu, sentences))
    for sentence, again in zip(sentences, parse_conllu(lines(written.encode()), "x"), strict=True):
        assert (again.words, dict(again.layers)) == (sentence.words, dict(sentence.layers))
        own = {
            k: v for k, v in sentence.layers.items() if k in ("entity", "mention", "coref", "srl")
        }
        (again,) = parse_conllu(lines(render_conllu(sentence, own).encode()), "x")
        assert own.items() <= again.layers.items()


def columns(data: bytes) -> None:
    for sentence in parse_columns(lines(data), "x", columns={"ner": 1}):
        assert sentence.words


def text(data: bytes) -> None:
    for sentence in parse_text(lines(data), "x", language="en"):
        word_offsets(sentence.text or "", sentence.words)


def edits(data: bytes) -> None:
    word, _, lemma = data.decode("utf-8", "replace").partition("\t")
    script = edit_script(word, lemma)
    assert apply_edits(word, script) == lemma
    apply_edits(lemma, script)


@pytest.fixture
def on_file(tmp_path: Path) -> Callable[[Callable[[Path], object], str], Target]:
    """A reader of files as a target."""

    def make(read: Callable[[Path], object], name: str) -> Target:
        path = tmp_path / name

        def target(data: bytes) -> None:
            path.write_bytes(data)
            read(path)

        return target

    return make


def every(found: object) -> None:
    for _ in found:  # type: ignore[attr-defined]
        pass


def recipe(path: Path) -> None:
    """What loads can be written and loads the same."""
    found = load_recipe(path)
    plain = found.model_dump(mode="json")
    again = load_recipe(yaml.safe_load(yaml.safe_dump(plain)))
    assert again.model_dump(mode="json") == plain


READERS: dict[str, tuple[Callable[[Path], object], str, tuple[bytes, ...]]] = {
    "columns": (
        lambda p: every(read_columns(p, {"a": "text"}, words="label", bio="repair")),
        "a.tsv",
        (COLUMNS, TABLE.replace(b",", b"\t")),
    ),
    "propbank": (lambda p: every(read_propbank(p)), "a.tsv", (PROPBANK,)),
    "chunks": (lambda p: chunks_from_propbank(p, p.with_name("c")), "a.tsv", (PROPBANK,)),
    "crossre": (lambda p: every(read_crossre(p)), "a.json", (CROSSRE,)),
    "semeval": (lambda p: every(read_semeval(p)), "a.txt", (SEMEVAL,)),
    "table": (
        lambda p: every(read_table(p, text="text", labels={"l": "label"}, numbers={"n": "n"})),
        "a.csv",
        (TABLE,),
    ),
    "pairs": (lambda p: every(read_pairs(p, first=0, second=1)), "a.tsv", (SICK, TABLE)),
    "sick": (lambda p: every(read_sick(p, "TEST")), "SICK.txt", (SICK,)),
    "annotated": (
        lambda p: every(read_annotated(p)),
        "a.jsonl",
        (ANNOTATED, JSONL, STRUCTURED),
    ),
    "recipe": (recipe, "a.yaml", (RECIPE, EXTENDING)),
    "counts": (load_counts, "a.npz", (b"PK\x03\x04", b"")),
    "packed": (lambda p: every(read_columns(p, {"ner": 1})), "a.gz", (b"\x1f\x8b\x08\x00abc",)),
}
PARSERS: dict[str, tuple[Target, tuple[bytes, ...]]] = {
    "conllu": (conllu, (NASTY, ROW, ENTITIES, MENTIONS, ROLES)),
    "lines of columns": (columns, (COLUMNS,)),
    "jsonl": (lambda data: every(parse_jsonl(lines(data), "x")), (JSONL,)),
    "text": (text, (TEXT,)),
    "edits": (edits, (b"Dogs\tdog", "İ|+\t→-".encode())),
}


def docbin_seed() -> bytes:
    import spacy
    from spacy.tokens import Doc, DocBin

    document = Doc(spacy.blank("xx").vocab, words=["a", "b"], heads=[1, 1], deps=["x", "root"])
    return DocBin(docs=[document]).to_bytes()


@pytest.fixture(scope="module")
def nlp() -> Annotator:
    world = make_world("bert", dtype=torch.float32)
    return Annotator(world.model, world.tokenizer)


def annotator(nlp: Annotator) -> Target:
    """Texts, words and sentences of any content are annotated, and written and read back."""

    def target(data: bytes) -> None:
        given = data.decode("utf-8", "surrogateescape")
        for content in (given, given.split() or [""], given.split("\t")):
            try:
                document = nlp(content)
            except HiermtlError:
                continue
            document.to_dict()
            for sentence in parse_conllu(lines(document.to_conllu().encode()), "x"):
                assert isinstance(sentence, Sentence)

    return target


@pytest.mark.parametrize("name", READERS)
def test_readers_of_files(name: str, on_file: Callable[..., Target]) -> None:
    read, file, seeds = READERS[name]
    assert fuzz(on_file(read, file), seeds, runs=60, seed=1) > 5


@pytest.mark.parametrize("name", PARSERS)
def test_parsers(name: str) -> None:
    target, seeds = PARSERS[name]
    assert fuzz(target, seeds, runs=60, seed=1) > 5


def test_docbin(on_file: Callable[..., Target]) -> None:
    target = on_file(lambda path: every(read_docbin(path)), "a.spacy")
    assert fuzz(target, [docbin_seed()], runs=30, seed=1) > 5


def test_annotator(nlp: Annotator) -> None:
    assert fuzz(annotator(nlp), [TEXT, b"a\tb c"], runs=40, seed=1) > 50


@pytest.mark.slow
@pytest.mark.parametrize("name", [*READERS, *PARSERS])
def test_many_inputs(name: str, on_file: Callable[..., Target]) -> None:
    """Near a hundred thousand in all; `HIERMTL_FUZZ_SEED` chooses others."""
    seed = int(os.environ.get("HIERMTL_FUZZ_SEED", "2"))
    if name in PARSERS:
        target, seeds = PARSERS[name]
    else:
        read, file, seeds = READERS[name]
        target = on_file(read, file)
    fuzz(target, seeds, runs=6200, seed=seed)


@pytest.mark.slow
def test_many_documents(nlp: Annotator, on_file: Callable[..., Target]) -> None:
    fuzz(annotator(nlp), [TEXT, b"a\tb c", NASTY], runs=600, seed=2)
    fuzz(
        on_file(lambda path: every(read_docbin(path)), "a.spacy"),
        [docbin_seed()],
        runs=2000,
        seed=2,
    )


def test_an_error_that_is_not_ours_is_found() -> None:
    """The control: a reader with a hole behind two conditions."""
    import hiermtl.text.bio as reader

    def target(data: bytes) -> None:
        if reader.find_illegal([data[:3].decode("latin-1")]) is not None:
            raise KeyError("hole")

    with pytest.raises(Failed, match="KeyError: 'hole'"):
        fuzz(target, [b"O"], runs=3000, seed=0)


def test_inputs_follow_from_the_seed() -> None:
    import random

    pool = [ROW, COLUMNS]
    first, second, other = (
        [mutated(ROW, pool, random.Random(seed)) for _ in range(3)] for seed in (5, 5, 6)
    )
    assert first == second != other
