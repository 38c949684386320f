"""A model as a component of a spaCy pipeline: `nlp.add_pipe("hiermtl", config={"model": ...})`.

spaCy finds the factory by the entry point in pyproject.toml, and loads this file for it, whichever
factory it looks for. What computes is not imported until a model is needed.
"""

import os
import re
import tempfile
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, cast

import srsly
from spacy.language import Language
from spacy.pipeline import Pipe, Sentencizer
from spacy.tokens import Doc
from spacy.util import minibatch

from hiermtl.document.bridge import fill, register
from hiermtl.errors import ModelError, listing
from hiermtl.text.sentence import Sentence

if TYPE_CHECKING:
    from hiermtl.annotation import Annotator

FACTORY = "hiermtl"
BATCH = 128
"""Documents that are read ahead where nobody says how many, as in spaCy's own components."""

_PARAGRAPH = re.compile(r"\n[^\S\n]*\n")

register()


class HierarchicalPipe(Pipe):
    """Puts what a model says on spaCy's documents, all its tasks by one pass of the encoder.

    The model sees the words of a document as its pipeline's tokenizer made them, without tokens of
    white space. Sentences are those that are marked; a document without marks gets those of the
    model, if it has the task `segment`, else those of spaCy's rules, and one more at each blank
    line. What goes where is said at `Document.to_spacy`.
    """

    def __init__(
        self,
        name: str = FACTORY,
        model: str | Path | None = None,
        *,
        tasks: Iterable[str] | None = None,
        device: str = "cpu",
        precision: str | None = None,
        tokens_per_batch: int | None = None,
        overwrite: bool = True,
    ) -> None:
        """Takes what `hiermtl.load` takes; the model is loaded when it is first needed.

        A pipeline that comes from a folder brings its own model, so that `model` need not be there
        any more.

        Args:
            name: Of the component in its pipeline.
            model: A folder, a shipped model, or an id of the hub.
            tasks: Default: all that annotate words or texts; those of pairs are left out.
            device: Where to compute.
            precision: `fp32` or `bf16`. Default: what the model's config names.
            tokens_per_batch: Pieces in a batch. Default: the annotator's.
            overwrite: Whether values that documents have are replaced.
        """
        self.name, self.model, self.overwrite = name, model, overwrite
        self.asked = None if tasks is None else tuple(tasks)
        self.device, self.precision = device, precision
        self.tokens_per_batch = tokens_per_batch
        self._annotator: Annotator | None = None
        self._process = os.getpid()
        self._rules = Sentencizer()

    @property
    def annotator(self) -> "Annotator":
        """The model with its tokenizer.

        Raises:
            ModelError: There is no such model or task, or it is damaged.
        """
        if self._annotator is None:
            if self.model is None:
                raise ModelError(
                    f"component {self.name!r} has no model; add it with "
                    'config={"model": "runs/ewt"}, the folder of a trained model, or call its '
                    "from_disk"
                )
            self._load(self.model)
        assert self._annotator is not None
        return self._annotator

    @property
    def tasks(self) -> tuple[str, ...]:
        """What is predicted, lowest level first.

        Raises:
            ModelError: The model lacks a task, or a task judges pairs of texts.
        """
        return _tasks(self.annotator, self.asked, self.name)

    def _load(self, folder: str | Path) -> None:
        from hiermtl.annotation import load

        found = load(folder, device=self.device, precision=self.precision)
        _tasks(found, self.asked, self.name)
        self._annotator, self._process = found, os.getpid()

    def initialize(self, get_examples: object = None, *, nlp: Language | None = None) -> None:
        """Loads the model; there is nothing to train."""
        del get_examples, nlp
        _ = self.annotator

    def __call__(self, doc: Doc) -> Doc:
        """Annotates a document in place."""
        try:
            self._annotate([doc])
        except Exception as error:
            self.get_error_handler()(self.name, self, [doc], error)
        return doc

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = BATCH) -> Iterator[Doc]:
        """Annotates documents in place, so many together, and passes them on in their order."""
        handle = self.get_error_handler()
        for docs in minibatch(stream, batch_size):
            try:
                self._annotate(docs)
            except Exception as error:
                handle(self.name, self, docs, error)
                continue
            yield from docs

    def _annotate(self, docs: Sequence[Doc]) -> None:
        nlp = self.annotator
        if os.getpid() != self._process:
            _without_threads()
            self._process = os.getpid()
        places = [[token.i for token in doc if token.text.strip()] for doc in docs]
        given = [
            list(_sentences(doc, starts, own))
            for doc, starts, own in zip(docs, self._starts(docs), places, strict=True)
        ]
        # All are predicted before any is changed: an error leaves the documents as they were.
        documents = list(nlp.pipe(given, self.tasks, tokens_per_batch=self.tokens_per_batch))
        for doc, document, own in zip(docs, documents, places, strict=True):
            fill(doc, document, own, overwrite=self.overwrite)

    def _starts(self, docs: Sequence[Doc]) -> list[list[int]]:
        """For each document the tokens that sentences begin with."""
        found = [
            [span.start for span in doc.sents] if doc.has_annotation("SENT_START") else None
            for doc in docs
        ]
        bare = [doc for doc, starts in zip(docs, found, strict=True) if starts is None]
        made = iter(self._by_model(bare) if self.annotator.segments else map(self._by_rules, bare))
        return [next(made) if starts is None else starts for starts in found]

    def _by_model(self, docs: Sequence[Doc]) -> Iterator[list[int]]:
        from hiermtl.annotation.predict import WINDOW
        from hiermtl.annotation.segmenting import segment_texts

        nlp = self.annotator
        texts = [doc.text for doc in docs]
        size = self.tokens_per_batch or nlp.tokens_per_batch
        split = segment_texts(nlp, texts, tokens_per_batch=size, window=WINDOW)
        for doc, text, sentences in zip(docs, texts, split, strict=True):
            begins, at = [], 0
            for sentence in sentences:
                assert sentence.text is not None
                begins.append(text.index(sentence.text, at))
                at = begins[-1] + len(sentence.text)
            yield _tokens_at(doc, begins)

    def _by_rules(self, doc: Doc) -> list[int]:
        (marks,) = self._rules.predict([doc])
        blank = _tokens_at(doc, (match.end() for match in _PARAGRAPH.finditer(doc.text)))
        return sorted({*blank, *(at for at, mark in enumerate(marks) if mark)})

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Writes the model's folder."""
        del exclude
        self.annotator.save_pretrained(path)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> "HierarchicalPipe":
        """Takes the model of a folder instead of its own."""
        del exclude
        self._load(path)
        return self

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """The files of the model's folder, by their names, as msgpack."""
        with tempfile.TemporaryDirectory() as folder:
            self.to_disk(folder, exclude=exclude)
            root = Path(folder)
            files = {
                file.relative_to(root).as_posix(): file.read_bytes()
                for file in sorted(root.rglob("*"))
                if file.is_file()
            }
        return cast("bytes", srsly.msgpack_dumps(files))

    def from_bytes(self, data: bytes, *, exclude: Iterable[str] = ()) -> "HierarchicalPipe":
        """Takes the model of these bytes instead of its own.

        Raises:
            ModelError: They are not those of `to_bytes`.
        """
        try:
            files = srsly.msgpack_loads(data)
        except Exception as error:  # the decoder raises bare exceptions
            raise ModelError(_NO_MODEL) from error
        if not isinstance(files, dict) or not all(map(_is_file, files.items())):
            raise ModelError(_NO_MODEL)
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                target = Path(folder, name)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
            return self.from_disk(folder, exclude=exclude)


@Language.factory(
    FACTORY,
    assigns=[
        "token.pos",
        "token.tag",
        "token.morph",
        "token.lemma",
        "token.head",
        "token.dep",
        "token.is_sent_start",
        "token.ent_iob",
        "token.ent_type",
        "doc.ents",
        "doc.sents",
        "doc.spans",
        "doc.cats",
        "doc._.hiermtl",
    ],
    default_config={
        "model": None,
        "tasks": None,
        "device": "cpu",
        "precision": None,
        "tokens_per_batch": None,
        "overwrite": True,
    },
)
def make_component(
    nlp: Language,
    name: str,
    model: str | None,
    tasks: list[str] | None,
    device: str,
    precision: str | None,
    tokens_per_batch: int | None,
    overwrite: bool,
) -> HierarchicalPipe:
    """The component of a pipeline's config; its keys are the arguments of `HierarchicalPipe`."""
    del nlp
    return HierarchicalPipe(
        name,
        model,
        tasks=tasks,
        device=device,
        precision=precision,
        tokens_per_batch=tokens_per_batch,
        overwrite=overwrite,
    )


def _tasks(nlp: "Annotator", asked: Iterable[str] | None, name: str) -> tuple[str, ...]:
    """The tasks that a single text can be asked."""
    levels = nlp.levels(asked)
    pairs = [task for task in levels if nlp.model.head(task).unit == "pair"]
    if asked is not None and pairs:
        raise ModelError(
            f"component {name!r} is asked for {listing(pairs)}, which judge pairs of texts, and a "
            "spaCy document is one text; leave them out of tasks, and compare pairs with "
            "hiermtl.load and hiermtl.Pair"
        )
    return tuple(task for task in levels if task not in pairs)


def _without_threads() -> None:
    """Lets a process that was forked compute: torch waits for ever for threads that it had."""
    import torch

    torch.set_num_threads(1)


def _sentences(doc: Doc, starts: Sequence[int], places: Sequence[int]) -> Iterator[Sentence]:
    """The sentences that begin with these tokens, of the words at these places."""
    for first, last in pairwise([bisect_left(places, start) for start in (*starts, len(doc))]):
        own = [doc[place] for place in places[first:last]]
        if own:
            words, spaces = (token.text for token in own), (bool(t.whitespace_) for t in own)
            yield Sentence(tuple(words), space_after=tuple(spaces))


def _tokens_at(doc: Doc, characters: Iterable[int]) -> list[int]:
    """The tokens that begin at these characters, or next after them; and the first."""
    begins = [token.idx for token in doc]
    found = {bisect_left(begins, character) for character in characters}
    return sorted((found | {0}) & set(range(len(doc))))


_NO_MODEL = "these bytes are no model; pass what to_bytes of this component gives"


def _is_file(entry: tuple[object, object]) -> bool:
    """Whether an entry names a file below a folder, on any system, and has its content."""
    name, content = entry
    if not isinstance(name, str) or not isinstance(content, bytes):
        return False
    path = PureWindowsPath(name)  # takes both slashes and drives
    return bool(path.parts) and not path.anchor and ".." not in path.parts
