"""The recipe's `corpora` section: where annotated sentences come from."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import BeforeValidator, Field, model_validator

from hiermtl.recipe.base import NUMBER, OneOf, Section, Table, problem, row, shown
from hiermtl.recipe.files import Files, Names


def _column(value: object) -> object:
    number = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if number or (isinstance(value, str) and value):
        return value
    raise problem(f"is {shown(value)}, but a column's number from 0 or its name is needed")


def _noise(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1:
        return float(value)
    if value == "shuffled":
        return value
    raise problem(
        f"is {shown(value)}, but a share of labels above 0 and at most 1 is needed, or shuffled",
        NUMBER,
    )


def _feature(value: object) -> object:
    if isinstance(value, str) and value:
        return value
    if isinstance(value, Mapping) and set(value) == {"heads", "relations"}:
        return {key: _feature(item) for key, item in value.items()}
    raise problem(
        f"is {shown(value)}, but a feature's name is needed, or {{heads: ..., relations: ...}} for "
        "a tree"
    )


Column: TypeAlias = Annotated[int | str, BeforeValidator(_column)]
"""A column's number from 0, or its name in the file's header line."""

Columns: TypeAlias = Annotated[dict[str, Column], Field(min_length=1)]
"""Layer -> column of a file."""

Noise: TypeAlias = Annotated[float | Literal["shuffled"], BeforeValidator(_noise)]
"""A share of a layer's labels that is flipped, or that all are shuffled."""

Features: TypeAlias = Annotated[
    dict[str, Annotated[str | dict[str, str], BeforeValidator(_feature)]], Field(min_length=1)
]
"""Layer -> feature of a data set; a tree has one for heads and one for relations."""

SPLITS = ("train", "dev", "test")


class CorpusOptions(Section):
    """What every corpus may say of itself."""

    format: str
    """How the corpus is read."""

    note: str | None = None
    """Free text printed with every score on this corpus."""

    licence: str | None = None
    """The corpus's licence, printed on model cards."""

    repeat: int = Field(default=1, ge=1)
    """How often an epoch goes through its training data: a small corpus beside large ones is learnt
    as if it were so many times as large. Default: once, as papers count epochs."""

    noise: Annotated[dict[str, Noise], Field(min_length=1)] | None = None
    """Layer -> wrong labels put into training data on purpose, as a control: a share of them that
    becomes another label each, or `shuffled`. Default: none."""


class FileCorpus(CorpusOptions):
    """A corpus in files, found under --data-dir or HIERMTL_DATA, or beside the recipe."""

    train: Files
    """Training files, one or a list."""

    dev: Files | None = None
    """Development files, one or a list."""

    test: Files | None = None
    """Test files, one or a list; training does not read them."""


class Join(Section):
    """Layers from other files, added to a corpus's sentences by id or by position."""

    format: str
    """How the files are read."""

    train: Files | None = None
    """Files for the training sentences, one or a list."""

    dev: Files | None = None
    """Files for the development sentences, one or a list."""

    test: Files | None = None
    """Files for the test sentences, one or a list."""

    key: Literal["sent_id", "position"] = "sent_id"
    """What partners have in common: their id, or their place in the files. Default: the safer
    one."""

    mismatch: Literal["skip", "project"] = "skip"
    """What happens where the two have other words: `skip` leaves the sentence without the layer and
    counts it, `project` carries spans over whose characters agree. Default: ours."""

    note: str | None = None
    """What a reader of these layers' scores must know; it stands under every such table."""


class ColumnsJoin(Join):
    """Layers from files of columns."""

    format: str = row("columns", required=True)
    """One word per line, an empty line after each sentence."""

    words: Column = 0
    """Column of the words: its number from 0, or its name in a header line. Default: the first."""

    columns: Columns
    """Layer -> column: its number from 0, or its name in a header line."""

    bio: Literal["strict", "repair", "off"] = "strict"
    """What an IOB2 violation is: an error, mended (I- without a beginning becomes B-), or left as
    it is (`off`). Default: the safest."""


class PropbankJoin(Join):
    """Semantic roles, `srl`, from files in PropBank's columns."""

    format: str = row("propbank", required=True)
    """Those of the CoNLL-2005 shared task."""


JOINS: Table = MappingProxyType({"columns": ColumnsJoin, "propbank": PropbankJoin})


class Documents(Section):
    """Which documents of each split are read, by patterns of their names."""

    train: Names | None = None
    """Patterns such as `weblog-*`, one or a list; with `!` in front what is left out. Default:
    all."""

    dev: Names | None = None
    """Likewise. Default: all."""

    test: Names | None = None
    """Likewise. Default: all."""


class ConlluCorpus(FileCorpus):
    """CoNLL-U files: upos, xpos, feats, lemma, dep, segment of their text, and what MISC holds.

    That is ner, chunk, entity, mention, coref and srl.
    """

    format: str = row("conllu", required=True)
    """Universal Dependencies' format."""

    bio: Literal["strict", "repair", "off"] = "strict"
    """What an IOB2 violation in MISC is: an error, mended (I- without a beginning becomes B-), or
    left as it is (`off`). Default: the safest."""

    join: Annotated[
        tuple[Annotated[Join, OneOf(JOINS, key="format")], ...], Field(strict=False)
    ] = ()
    """Layers from other files, added by sentence id or by position."""

    documents: Documents = Documents()
    """Which documents of each split are read. Default: all."""


class ColumnsCorpus(FileCorpus):
    """Files with one word per line and an empty line after each sentence."""

    format: str = row("columns", required=True)
    """CoNLL-2003 and its kin."""

    words: Column = 0
    """Column of the words: its number from 0, or its name in a header line. Default: the first."""

    columns: Columns
    """Layer -> column: its number from 0, or its name in a header line."""

    bio: Literal["strict", "repair", "off"] = "strict"
    """What an IOB2 violation is: an error, mended (I- without a beginning becomes B-), or left as
    it is (`off`). Default: the safest."""


class DatasetCorpus(CorpusOptions):
    """A data set of the `datasets` library, from the hub or a folder."""

    format: str = row("dataset", required=True)
    """Rows with a list of words and a list of labels per layer."""

    path: str = Field(min_length=1)
    """Hub id, or a folder or file of parquet, JSON or CSV."""

    config: str | None = None
    """Which configuration of the data set."""

    revision: str | None = None
    """Branch, tag or commit of the hub's data set."""

    train: str = Field(default="train", min_length=1)
    """Name of the training split. Default: the hub's custom."""

    dev: Annotated[str, Field(min_length=1)] | None = None
    """Name of the development split. Default: `validation` where there is one."""

    test: Annotated[str, Field(min_length=1)] | None = None
    """Name of the test split. Default: `test` where there is one."""

    words: str = Field(default="tokens", min_length=1)
    """Feature that holds the words. Default: the hub's custom."""

    columns: Features
    """Layer -> feature that holds its labels; for trees {heads: feature, relations: feature}."""

    bio: Literal["strict", "repair", "off"] = "strict"
    """What an IOB2 violation is: an error, mended (I- without a beginning becomes B-), or left as
    it is (`off`). Default: the safest."""

    streaming: bool = False
    """Read rows as they arrive, with no copy of the data set's own files on this machine. What
    training needs of them is stored all the same, so give `max_rows` to what has no end. Default:
    a copy, as the hub's library keeps."""

    max_rows: int | None = Field(default=None, ge=1)
    """How many rows of each split are read. Default: all."""


class JsonlCorpus(FileCorpus):
    """JSON lines with a list of words and a list of labels per layer."""

    format: str = row("jsonl", required=True)
    """One object per line; several sentences if it has `sentences`, as `annotate` writes them."""

    columns: Features
    """Layer -> key that holds its labels, with dots into inner objects (`tags.ner`); for trees
    {heads: key, relations: key}. Below `spans`, `roles`, `relations` and `clusters` lie structures
    (`spans.entity`)."""

    heads_from: Literal[0, 1] = 0
    """What the first word is counted as in heads; the root is one less. Default: as `annotate`
    writes them."""

    bio: Literal["strict", "repair", "off"] = "strict"
    """What an IOB2 violation is: an error, mended (I- without a beginning becomes B-), or left as
    it is (`off`). Default: the safest."""


class DocBinCorpus(FileCorpus):
    """spaCy's DocBin files: upos, xpos, feats, lemma, dep and ner."""

    format: str = row("docbin", required=True)
    """Documents as spaCy's tools and many annotators store them."""


class RowsCorpus(FileCorpus):
    """CSV and TSV tables: what is said of each row's text or texts."""

    labels: dict[str, Column] = Field(default_factory=dict)
    """Layer -> column whose cells are labels."""

    numbers: dict[str, Column] = Field(default_factory=dict)
    """Layer -> column whose cells are numbers."""

    @model_validator(mode="after")
    def _check_layers(self) -> Self:
        both = [layer for layer in self.labels if layer in self.numbers]
        if both:
            raise problem(
                f"names the layer {both[0]!r} under labels and under numbers; keep one of them"
            )
        if not self.labels and not self.numbers:
            raise problem("has no layer; give labels or numbers, such as labels: {topic: COLUMN}")
        return self


class TableCorpus(RowsCorpus):
    """CSV and TSV tables with a text per row."""

    format: str = row("table", required=True)
    """A row per text; separated by commas in `.csv`, else by tabs."""

    text: Column
    """Column of the text: its name in the header line, or its number from 0 in a table without."""


class PairsCorpus(RowsCorpus):
    """CSV and TSV tables with two texts per row."""

    format: str = row("pairs", required=True)
    """A row per pair; separated by commas in `.csv`, else by tabs."""

    first: Column
    """Column of the first text: its name in the header line, or its number from 0."""

    second: Column
    """Column of the second text, likewise."""

    @model_validator(mode="after")
    def _check_texts(self) -> Self:
        if self.first == self.second:
            raise problem(
                f"reads both texts of a pair from column {self.first!r}; give two columns"
            )
        return self


class PropbankCorpus(FileCorpus):
    """Files in PropBank's columns: srl, and xpos."""

    format: str = row("propbank", required=True)
    """Those of the CoNLL-2005 shared task."""


def _crossre(split: str) -> tuple[str, ...]:
    domains = ("ai", "literature", "music", "politics", "science")
    return tuple(f"crossre/crossre_data/{domain}-{split}.json" for domain in domains)


class CrossreCorpus(FileCorpus):
    """CrossRE's JSON lines: entity and relation."""

    format: str = row("crossre", required=True)
    """As Bassignana and Plank (2022) gave it out."""

    train: Files = Field(default_factory=lambda: _crossre("train"))
    """Training files. Default: those of the five domains, where docs/data.md expects them."""

    dev: Files | None = Field(default_factory=lambda: _crossre("dev"))
    """Development files. Default: likewise."""

    test: Files | None = Field(default_factory=lambda: _crossre("test"))
    """Test files. Default: likewise."""


class SemevalCorpus(FileCorpus):
    """SemEval-2010 task 8: two marked nominals of a sentence, entity, and their relation."""

    format: str = row("semeval", required=True)
    """As the task gave it out; it has no development split."""

    held_out: int = Field(default=0, ge=0)
    """Examples of train, spread evenly over it, that are taken for dev, where there is no file
    for that. Default: none."""

    @model_validator(mode="after")
    def _check_dev(self) -> Self:
        if self.held_out and self.dev is not None:
            raise problem(
                f"holds {self.held_out} examples of train out for dev, and names files for it too; "
                "leave one of the two out"
            )
        return self


class SickCorpus(CorpusOptions):
    """SICK: pairs of sentences with relatedness and entailment, all splits in one file."""

    format: str = row("sick", required=True)
    """As SemEval-2014 task 1 gave it out."""

    file: str = Field(default="sick/SICK.txt", min_length=1)
    """The file. Default: where docs/data.md expects it."""


class SampleCorpus(CorpusOptions):
    """Sentences generated from the package's grammar: no file, no download."""

    format: str = row("sample", required=True)
    """Layers upos, xpos, feats, lemma, chunk, ner, dep, entity, srl, relation and coref; segment of
    their text; relatedness and entailment of pairs."""

    seed: int = Field(default=0, ge=0)
    """Which sentences are drawn. Default: ours."""

    train: int = Field(default=2000, ge=1)
    """Training sentences. Default: ours, a minute of training on one CPU."""

    dev: int = Field(default=300, ge=1)
    """Development sentences. Default: ours."""

    test: int = Field(default=300, ge=1)
    """Test sentences. Default: ours."""


CORPORA: Table = MappingProxyType(
    {
        "conllu": ConlluCorpus,
        "columns": ColumnsCorpus,
        "crossre": CrossreCorpus,
        "dataset": DatasetCorpus,
        "docbin": DocBinCorpus,
        "jsonl": JsonlCorpus,
        "pairs": PairsCorpus,
        "propbank": PropbankCorpus,
        "sample": SampleCorpus,
        "semeval": SemevalCorpus,
        "sick": SickCorpus,
        "table": TableCorpus,
    }
)
"""Format -> the options of a corpus in it."""

SEGMENT = "segment"
"""The layer of plain text: where its words and sentences begin."""

FLAT_LAYERS = frozenset({"upos", "xpos", "feats", "lemma", "dep", "ner", "chunk"})
CONLLU_LAYERS = FLAT_LAYERS | {"entity", "mention", "coref", "srl"}
DOCBIN_LAYERS = FLAT_LAYERS - {"chunk"}
PAIR_LAYERS = frozenset({"relatedness", "entailment"})
RELATION_LAYERS = frozenset({"entity", "relation"})
SAMPLE_LAYERS = CONLLU_LAYERS | PAIR_LAYERS | {"relation", SEGMENT}


def layers(corpus: CorpusOptions) -> frozenset[str]:
    """The layers a corpus can have by what its options say, before any file is read."""
    match corpus:
        case ConlluCorpus(join=joins):
            return CONLLU_LAYERS.union({SEGMENT}, *map(joined_layers, joins))
        case PropbankCorpus():
            return frozenset({"srl", "xpos"})
        case CrossreCorpus() | SemevalCorpus():
            return RELATION_LAYERS
        case (
            ColumnsCorpus(columns=columns)
            | DatasetCorpus(columns=columns)
            | JsonlCorpus(columns=columns)
        ):
            return frozenset(columns)
        case TableCorpus() | PairsCorpus():
            return frozenset({*corpus.labels, *corpus.numbers})
        case SickCorpus():
            return PAIR_LAYERS
        case DocBinCorpus():
            return DOCBIN_LAYERS
        case _:
            return SAMPLE_LAYERS


def joined_layers(join: Join) -> tuple[str, ...]:
    """The layers that a join adds."""
    return tuple(join.columns) if isinstance(join, ColumnsJoin) else ("srl",)
