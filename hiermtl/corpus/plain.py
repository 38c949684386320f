"""Treebanks read as plain text, of which words and sentences are to be found."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import partial
from itertools import groupby, islice

from hiermtl.corpus.build import Corpus, Source
from hiermtl.errors import DataError
from hiermtl.text.segment import SEGMENT, STRETCH, gold_text
from hiermtl.text.sentence import Sentence

PORTION = 1_000
"""Sentences of a document that are laid end to end at once, so that one of any length is read."""


@dataclass(frozen=True)
class TextCorpus(Corpus):
    """A corpus of stretches of text: atoms as a tokenizer is given them, with their tags.

    `base` is the corpus whose text it is, `treebank` reads the sentences of a split as its files
    have them.
    """

    base: str
    treebank: Mapping[str, Callable[[], Iterator[Sentence]]]

    def lines(self) -> list[str]:
        """Sizes, what tags cannot say, and how many tags train does not have, as lines to print."""
        out = []
        for split, data in self.splits.items():
            size = f"{len(data)} stretches of text, {self.words[split]} atoms"
            out.append(f"{self.name} {split}: {size}")
            out += [f"{self.name} {split}: {line}" for line in self.reports[split]]
        later = self.unseen.get(SEGMENT, {})
        if later:
            atoms = sum(sum(counts.values()) for counts in later.values())
            out.append(
                f"{self.name}: {len(later)} tags on {atoms} atoms do not occur in train "
                f"({', '.join(list(later)[:5])}{', ...' if len(later) > 5 else ''})"
            )
        return out


def text_corpus(corpus: Corpus, *, base: str, sources: Mapping[str, Source]) -> TextCorpus:
    """The corpus that was made of `text_source`s; `sources` are those of the treebank."""
    own = {field.name: getattr(corpus, field.name) for field in fields(corpus)}
    read = {split: partial(sentences_in, source) for split, source in sources.items()}
    return TextCorpus(**own, base=base, treebank=read)


def sentences_in(source: Source) -> Iterator[Sentence]:
    """The sentences of a source that stand in no passage."""
    return (record for record in source.read() if isinstance(record, Sentence))


def text_source(base: Source) -> Source:
    """The text of a treebank's documents in stretches, with the layer `segment`.

    Its report counts what tags cannot say.

    Raises:
        DataError: While reading: nothing says where the text has white space.
    """
    lost: Counter[str] = Counter()

    def read() -> Iterator[Sentence]:
        lost.clear()
        known = False
        for document in _documents(sentences_in(base)):
            known = known or any(map(_says_spacing, document))
            gold = gold_text(document)
            lost.update(gold.lost)
            for first, last in gold.stretches():
                tags = tuple(gold.tags[first:last])
                words = tuple(gold.atoms.marked(first, last))
                yield Sentence(words, {SEGMENT: tags}, doc_id=document[0].doc_id)
        if not known:
            raise DataError(
                "nothing here says how its words are written in text: there is neither `# text` "
                f"nor SpaceAfter=No; leave the task {SEGMENT!r} out, or name other corpora for it: "
                f"tasks.{SEGMENT}.corpus",
                base.files[0],
            )

    def report() -> tuple[str, ...]:
        kinds = {
            "sentences": "that begin inside a word are read as going on",
            "multiwords": "are left whole, since their words cannot be told from their form",
            "words": "are white space alone and passed over",
        }
        names = {"sentences": "sentences", "multiwords": "multiword tokens", "words": "words"}
        return tuple(f"{lost[n]} {names[n]} {said}" for n, said in kinds.items() if lost[n])

    options = {"reader": "text", "stretch": STRETCH, "base": dict(base.options)}
    return Source(base.files, read, options, report)


def _says_spacing(sentence: Sentence) -> bool:
    return sentence.text is not None or not all(sentence.space_after or ())


def _documents(sentences: Iterable[Sentence]) -> Iterator[list[Sentence]]:
    """Neighbouring sentences of one document, so many at a time; those without words are none."""
    worded = (sentence for sentence in sentences if sentence.words)
    for _, group in groupby(worded, key=lambda sentence: sentence.doc_id):
        while portion := list(islice(group, PORTION)):
            yield portion
