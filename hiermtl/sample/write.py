"""Writes the sample corpora: CoNLL-U, entity and chunk columns, relations, pairs, raw text."""

import json
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

Files of each split: `.conllu` (Universal Dependencies, with nested entities, coreference and
roles), `.ner.iob2` (flat entities), `.chunk.tsv` (chunks) and `.relations.jsonl` (relations), which
sentence ids join; `.pairs.tsv` (pairs of sentences with relatedness and entailment) and `.txt` (raw
text).
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
            f"{split}.relations.jsonl": relation_lines(documents),
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
    """Return the documents in CoNLL-U, with entities as in CorefUD and with roles."""
    lines: list[str] = []
    ids: dict[tuple[str, str], str] = {}
    for document in documents:
        for number, sentence in enumerate(document.sentences):
            name = sentence_id(document, number)
            if number == 0:
                lines.append(f"# newdoc id = {document.doc_id}")
                lines.append("# global.Entity = eid-etype-head-other")
                lines.append("# global.SRL = sense-arguments")
            if sentence.starts_paragraph:
                lines.append("# newpar")
            lines.append(f"# sent_id = {name}")
            lines.append(f"# text = {sentence.text}")
            # Who takes part in a document is one everywhere in it, and what does not, only itself.
            groups = [
                ids.setdefault(
                    (document.doc_id, phrase.referent) if phrase.referent else (name, str(place)),
                    f"e{len(ids) + 1}",
                )
                for place, phrase in enumerate(sentence.noun_phrases)
            ]
            lines.extend(conllu_rows(sentence, groups))
            lines.append("")
    return "".join(line + "\n" for line in lines)


def conllu_rows(sentence: Derivation, groups: Sequence[str]) -> list[str]:
    """Return the CoNLL-U lines of a sentence's words, without comments.

    `groups` are the ids of those that the noun phrases refer to.
    """
    rows: list[str] = []
    entities, roles = _entity_cells(sentence, groups), _role_cells(sentence)
    inside = 0
    ranges = {first: (last, form) for first, last, form in sentence.multiword_tokens}
    enhanced = _enhanced(sentence)
    for position in range(len(sentence.words)):
        index = position + 1
        if index in ranges:
            last, form = ranges[index]
            spacing = _spacing(sentence, last - 1)
            rows.append(_row((f"{index}-{last}", form, *"_______", spacing or "_")))
            inside = last
        spacing = "" if index <= inside else _spacing(sentence, position)
        misc = (entities[position], spacing, roles[position])
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
                    "|".join(filter(None, misc)) or "_",
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


def _spacing(sentence: Derivation, position: int) -> str:
    last = position == len(sentence.words) - 1
    return "" if last or sentence.space_after[position] else "SpaceAfter=No"


def _entity_cells(sentence: Derivation, groups: Sequence[str]) -> list[str]:
    """Return the brackets of each word; none crosses another."""
    opened, closed, alone = ([""] * len(sentence.words) for _ in range(3))
    for phrase, group in zip(sentence.noun_phrases, groups, strict=True):
        empty = sum(phrase.start < node.after <= phrase.head for node in sentence.empty_nodes)
        head = phrase.head - phrase.start + 1 + empty
        opening = f"({group}-{phrase.label}-{head}"
        if phrase.end == phrase.start + 1:
            alone[phrase.start] = f"{opening})"
        else:
            opened[phrase.start] += opening
            closed[phrase.end - 1] = f"{group}){closed[phrase.end - 1]}"
    cells = [
        closes + opens + single if opens else single + closes
        for opens, closes, single in zip(opened, closed, alone, strict=True)
    ]
    return [f"Entity={cell}" if cell else "" for cell in cells]


def _role_cells(sentence: Derivation) -> list[str]:
    cells = [""] * len(sentence.words)
    for frame in sentence.roles:
        arguments = [f"{item.role}:{item.start + 1}-{item.end}" for item in frame.arguments]
        cells[frame.predicate] = "SRL=" + ";".join([frame.sense, *arguments])
    return cells


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


def relation_lines(documents: Iterable[SampleDocument]) -> str:
    """Return the noun phrases and relations of each sentence as CrossRE has them, ends included."""
    lines: list[str] = []
    for document in documents:
        for number, sentence in enumerate(document.sentences):
            line = {
                "doc_key": sentence_id(document, number),
                "sentence": sentence.words,
                "ner": [(item.start, item.end - 1, item.label) for item in sentence.noun_phrases],
                # What annotators of CrossRE say besides: why, whether sure, whether by syntax.
                "relations": [
                    (*_inclusive(item.head), *_inclusive(item.tail), item.label, "", False, False)
                    for item in sentence.relations
                ],
            }
            lines.append(json.dumps(line, ensure_ascii=False))
    return "".join(line + "\n" for line in lines)


def _inclusive(words: tuple[int, int]) -> tuple[int, int]:
    return words[0], words[1] - 1


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
