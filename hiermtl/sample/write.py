"""Writes the sample corpora: CoNLL-U, entity and chunk columns, pairs, raw text."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hiermtl.atomic import write_whole
from hiermtl.errors import RecipeError
from hiermtl.sample.derivation import Derivation, SampleDocument
from hiermtl.sample.documents import sample_documents
from hiermtl.sample.draws import Draws
from hiermtl.sample.lexicon import build_lexicon
from hiermtl.sample.pairs import SentencePair, sample_pairs

SPLITS = ("train", "dev", "test")
# The share of open-class draws that come from the words kept out of training.
NOVELTY = {"train": 0.0, "dev": 0.19, "test": 0.19}

README = "README.md"
_README = """# A sample corpus

Written by `hiermtl sample` from a seeded grammar and a partly invented lexicon.

Seed: {seed}

| split | documents | sentences | words |
|-------|-----------|-----------|-------|
{rows}

The text is generated. Scores on it show that a program runs and learns; they mean nothing
outside this folder and cannot be compared with scores on any real corpus.

Files of each split: `.conllu` (Universal Dependencies), `.ner.iob2` (flat entities),
`.chunk.tsv` (chunks) and `.txt` (raw text), which sentence ids join; `.pairs.tsv` (pairs of
sentences with relatedness and entailment).
"""


@dataclass(frozen=True)
class SplitReport:
    """How much one split holds."""

    documents: int
    sentences: int
    words: int


@dataclass(frozen=True)
class SampleReport:
    """What was written: the folder, the seed, the counts by split and the file names."""

    folder: Path
    seed: int
    splits: dict[str, SplitReport]
    files: tuple[str, ...]


@dataclass(frozen=True)
class SampleCorpus:
    """The documents of the three splits of a seed."""

    seed: int
    train: tuple[SampleDocument, ...]
    dev: tuple[SampleDocument, ...]
    test: tuple[SampleDocument, ...]

    def documents(self, split: str) -> tuple[SampleDocument, ...]:
        """Return the documents of a split.

        Raises:
            KeyError: There is no such split.
        """
        return {"train": self.train, "dev": self.dev, "test": self.test}[split]


def sample_corpus(
    seed: int = 0, train: int = 2000, *, dev: int = 300, test: int = 300
) -> SampleCorpus:
    """Generate the three splits, with the given numbers of sentences.

    Raises:
        ValueError: A number of sentences is negative.
    """
    sizes = {"train": train, "dev": dev, "test": test}
    for split, size in sizes.items():
        if size < 0:
            raise ValueError(f"{split} must be 0 or more sentences, not {size}")
    lexicon = build_lexicon(seed)
    parts = {
        split: tuple(
            sample_documents(
                lexicon, seed=seed, split=split, sentences=size, novelty=NOVELTY[split]
            )
        )
        for split, size in sizes.items()
    }
    return SampleCorpus(seed, parts["train"], parts["dev"], parts["test"])


def write_sample(
    folder: str | os.PathLike[str],
    *,
    seed: int = 0,
    train: int = 2000,
    dev: int = 300,
    test: int = 300,
) -> SampleReport:
    """Write the sample corpora of a seed to a folder, which is made if it is missing.

    The same seed and sizes give the same bytes. Each file appears whole or not at all.

    Args:
        folder: Where to write; sample corpora that lie there are replaced.
        seed: Names the lexicon and the text.
        train: Number of training sentences.
        dev: Number of development sentences.
        test: Number of test sentences.

    Returns:
        The counts and the names of the files.

    Raises:
        ValueError: A number of sentences is negative.
        OSError: The folder cannot be made.
        RecipeError: Files of the same names lie there that are no sample corpora.
        RunError: A file cannot be written.
    """
    corpus = sample_corpus(seed, train, dev=dev, test=test)
    target = Path(folder)
    lexicon = build_lexicon(seed)
    reports: dict[str, SplitReport] = {}
    texts: dict[str, str] = {}
    for split in SPLITS:
        documents = corpus.documents(split)
        sentences = [sentence for document in documents for sentence in document.sentences]
        pairs = sample_pairs(sentences, lexicon=lexicon, draws=Draws(f"{seed}:{split}:pairs"))
        texts |= {
            f"{split}.conllu": conllu(documents),
            f"{split}.ner.iob2": entity_columns(documents),
            f"{split}.chunk.tsv": chunk_columns(documents),
            f"{split}.pairs.tsv": pair_rows(pairs, split),
            f"{split}.txt": raw_text(documents),
        }
        words = sum(len(sentence.words) for sentence in sentences)
        reports[split] = SplitReport(len(documents), len(sentences), words)
    rows = "\n".join(
        f"| {split} | {report.documents} | {report.sentences} | {report.words} |"
        for split, report in reports.items()
    )
    # First, so that what is written half is known for one's own.
    texts = {README: _README.format(seed=seed, rows=rows), **texts}
    _check_free(target, texts)
    target.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        write_whole(target / name, text)
    return SampleReport(target, seed, reports, tuple(texts))


def _check_free(folder: Path, names: Iterable[str]) -> None:
    """Raises RecipeError where another's files would be replaced."""
    taken = [name for name in names if (folder / name).exists()]
    own = folder / README
    mark = _README.partition("{")[0].encode()
    if taken and not (own.is_file() and own.read_bytes().startswith(mark)):
        raise RecipeError(
            f"{folder} has a {taken[0]} that is of no sample corpora, and would be replaced; name "
            "another folder"
        )


def sentence_id(document: SampleDocument, number: int) -> str:
    """Return the id of a sentence of a document, counted from 0."""
    return f"{document.doc_id}-{number + 1:03d}"


def conllu(documents: Iterable[SampleDocument]) -> str:
    """Return the documents in CoNLL-U."""
    lines: list[str] = []
    for document in documents:
        for number, sentence in enumerate(document.sentences):
            if number == 0:
                lines.append(f"# newdoc id = {document.doc_id}")
            if sentence.starts_paragraph:
                lines.append("# newpar")
            lines.append(f"# sent_id = {sentence_id(document, number)}")
            lines.append(f"# text = {sentence.text}")
            lines.extend(conllu_rows(sentence))
            lines.append("")
    return "".join(line + "\n" for line in lines)


def conllu_rows(sentence: Derivation) -> list[str]:
    """Return the CoNLL-U lines of a sentence's words, without comments."""
    rows: list[str] = []
    inside = 0
    ranges = {first: (last, form) for first, last, form in sentence.multiword_tokens}
    enhanced = _enhanced(sentence)
    for position in range(len(sentence.words)):
        index = position + 1
        if index in ranges:
            last, form = ranges[index]
            rows.append(_row((f"{index}-{last}", form, *"_______", _misc(sentence, last - 1))))
            inside = last
        rows.append(
            _row(
                (
                    str(index),
                    sentence.words[position],
                    sentence.lemmas[position],
                    sentence.upos[position],
                    sentence.xpos[position],
                    sentence.feats[position] or "_",
                    str(sentence.heads[position]),
                    sentence.deprels[position],
                    enhanced[index],
                    "_" if index <= inside else _misc(sentence, position),
                )
            )
        )
        for empty in sentence.empty_nodes:
            if empty.after == index:
                edges = "|".join(f"{head}:{role}" for head, role in empty.edges)
                row = (empty.form, empty.lemma, empty.upos, empty.xpos, empty.feats or "_")
                rows.append(_row((f"{index}.1", *row, "_", "_", edges, "_")))
    return rows


def _row(columns: Sequence[str]) -> str:
    return "\t".join(columns)


def _misc(sentence: Derivation, position: int) -> str:
    last = position == len(sentence.words) - 1
    return "_" if last or sentence.space_after[position] else "SpaceAfter=No"


def _enhanced(sentence: Derivation) -> dict[int, str]:
    """Return the enhanced edges of the words.

    They repeat the basic tree but for the words of an elided predicate: the enhanced graph of a
    file must be there for every word as soon as one word has it.
    """
    edges = {
        position + 1: f"{head}:{role}"
        for position, (head, role) in enumerate(zip(sentence.heads, sentence.deprels, strict=True))
    }
    for empty in sentence.empty_nodes:
        for word, role in empty.dependents:
            edges[word] = f"{empty.after}.1:{role}"
    return edges


def entity_columns(documents: Iterable[SampleDocument]) -> str:
    """Return the flat entities: index, form, IOB2 tag and two unused columns."""
    lines: list[str] = []
    for document in documents:
        for number, sentence in enumerate(document.sentences):
            lines.append(f"# sent_id = {sentence_id(document, number)}")
            lines.append(f"# text = {sentence.text}")
            tags = sentence.entity_tags
            for index, (word, tag) in enumerate(zip(sentence.words, tags, strict=True), start=1):
                lines.append(f"{index}\t{word}\t{tag}\t-\t-")
            lines.append("")
    return "".join(line + "\n" for line in lines)


def chunk_columns(documents: Iterable[SampleDocument]) -> str:
    """Return the chunks: index, form, Penn tag and IOB2 tag."""
    lines: list[str] = []
    for document in documents:
        for number, sentence in enumerate(document.sentences):
            lines.append(f"# sent_id = {sentence_id(document, number)}")
            rows = zip(sentence.words, sentence.xpos, sentence.chunks, strict=True)
            for index, (word, xpos, tag) in enumerate(rows, start=1):
                lines.append(f"{index}\t{word}\t{xpos}\t{tag}")
            lines.append("")
    return "".join(line + "\n" for line in lines)


def pair_rows(pairs: Iterable[SentencePair], split: str) -> str:
    """Return a table of the pairs: id, both texts, relatedness from 1 to 5, entailment."""
    lines = [_row(("pair_id", "first", "second", "relatedness", "entailment"))]
    for number, pair in enumerate(pairs, start=1):
        texts = (pair.first.text, pair.second.text)
        lines.append(_row((f"{split}-{number:04d}", *texts, f"{pair.relatedness:.1f}", pair.label)))
    return "".join(line + "\n" for line in lines)


def raw_text(documents: Iterable[SampleDocument]) -> str:
    """Return the raw text: a line for each paragraph, a blank line between documents."""
    blocks: list[str] = []
    for document in documents:
        paragraphs: list[list[str]] = []
        for sentence in document.sentences:
            if sentence.starts_paragraph or not paragraphs:
                paragraphs.append([])
            paragraphs[-1].append(sentence.text)
        blocks.append("".join(" ".join(paragraph) + "\n" for paragraph in paragraphs))
    return "\n".join(blocks)
