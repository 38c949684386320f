"""What a user holds: texts in, documents out."""

import copy
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, Self, TypeAlias, cast

import torch

from hiermtl.annotation.entries import Entry, Known, Prediction, Together
from hiermtl.annotation.given import Given, Source, entries_of
from hiermtl.annotation.predict import TOKENS_PER_BATCH, WINDOW, check_sizes, predict_scored
from hiermtl.annotation.segmenting import Splitter, segment_texts
from hiermtl.annotation.workers import predict_in_workers
from hiermtl.document import Document
from hiermtl.errors import DataError, ModelError, listing
from hiermtl.evaluation.predictor import INFORMED, HeadInfo
from hiermtl.hierarchy import Hierarchy
from hiermtl.model import HierarchicalModel
from hiermtl.precision import has_bf16
from hiermtl.pretrained import find_model, load_model, read_card, save_model
from hiermtl.pretrained.cards import card_for, default_card, part_of_card
from hiermtl.pretrained.hub import push
from hiermtl.shapes import ANNOTATING, PER_TASK, keep_shapes
from hiermtl.text.documents import by_document
from hiermtl.text.plain import split_text
from hiermtl.text.segment import SEGMENT
from hiermtl.text.sentence import Layer, Passage, Sentence, Structure
from hiermtl.tokens import Tokenizer

Precision: TypeAlias = Literal["fp32", "bf16"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")


class Annotator:
    """A model with its tokenizer.

    Called with a text or a list of words it returns a `Document`; `pipe` takes a stream of them.
    `exits` says whether sentences may leave early; `left` then counts, for each task that has
    exits, how many sentences (texts, pairs) were read at which depth so far.
    """

    def __init__(
        self,
        model: HierarchicalModel,
        tokenizer: Tokenizer,
        *,
        precision: str | None = None,
        tokens_per_batch: int = TOKENS_PER_BATCH,
        flat: bool = True,
        card: str | None = None,
        exits: bool = False,
    ) -> None:
        """Takes a model and the tokenizer it was trained with.

        Args:
            model: Stays as it is; another number type than its own computes with a copy.
            tokenizer: Words to pieces.
            precision: Default: what the model's config names, where the processor has bf16
                arithmetic, else `fp32`; `fp64` for a model in doubles.
            tokens_per_batch: Pieces in a batch, what it is rounded up by not counted.
            flat: Whether rows lie end to end instead of being padded: faster, the same labels.
            card: The model's README, kept by `save_pretrained`.
            exits: Whether a sentence may leave for a task below its depth, where an exit of the
                model is sure: faster, and not the whole model's answers; see docs/exits.md.
                Default: off, every sentence is read at the task's depth.

        Raises:
            ModelError: `precision` is neither of the two, or the model has no exits to use.
        """
        self.model, self.tokenizer, self._card = model, tokenizer, card
        self._set_exits(exits)
        self.tokens_per_batch, self.flat = tokens_per_batch, flat
        self._computing = model
        if model.dtype == torch.float64 and precision is None:
            self.precision = "fp64"
            return
        self.precision = choose_precision(model, precision)
        half = self.precision == "bf16"
        if model.dtype != (torch.bfloat16 if half else torch.float32):
            own = copy.deepcopy(model)
            self._computing = own.bfloat16() if half else own.float()

    def _set_exits(self, exits: bool) -> None:
        if exits and not self.model.config.exits:
            raise ModelError(
                "exits is True, but the model has none; add some with `hiermtl exits MODEL "
                "--loss 0.5 -o FOLDER` and load that folder, or leave exits out"
            )
        self.exits = exits
        self.left: dict[str, Counter[int]] = {}

    def with_exits(self, exits: bool = True) -> Self:
        """The same annotator whose sentences may leave early, or may not; nothing is copied.

        Raises:
            ModelError: The model has no exits to use.
        """
        other = copy.copy(self)
        other._set_exits(exits)
        return other

    @property
    def computing(self) -> HierarchicalModel:
        """What computes: the model, or its copy in another number type."""
        return self._computing

    @property
    def hierarchy(self) -> Hierarchy:
        """The tasks and their depths."""
        return self.model.hierarchy

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks, lowest level first."""
        return self.model.hierarchy.names

    @property
    def heads(self) -> Mapping[str, HeadInfo]:
        """What has to be known of each task's head to score it."""
        tasks = self.model.config.tasks
        return {
            task: HeadInfo.of(
                self.model.head(task), tasks[task].get("column"), reads=self.model.lower[task]
            )
            for task in self.tasks
        }

    @property
    def columns(self) -> dict[str, str]:
        """For each task the layer of the data it was trained on; mostly its own name."""
        tasks = self.model.config.tasks
        return {task: tasks[task].get("column") or task for task in self.tasks}

    @property
    def segments(self) -> bool:
        """Whether the model finds words and sentences of raw text by itself, by task `segment`."""
        return SEGMENT in self.model.hierarchy

    def levels(self, tasks: Iterable[str] | None = None) -> tuple[str, ...]:
        """Of these tasks, or of all, those that annotate words or texts: all but `segment`.

        Raises:
            ModelError: The model has no such task.
        """
        return tuple(task for task in self.model.hierarchy.select(tasks) if task != SEGMENT)

    @property
    def language(self) -> str:
        """The language whose rules split raw text if the model does not, a code of spaCy's."""
        return self.model.config.language

    def __call__(
        self, text: Given, tasks: Iterable[str] | None = None, *, with_scores: bool = False
    ) -> Document:
        """The annotated document; see `pipe`."""
        return next(self.pipe([text], tasks, with_scores=with_scores))

    def pipe(
        self,
        texts: Iterable[Given],
        tasks: Iterable[str] | None = None,
        *,
        with_scores: bool = False,
        tokens_per_batch: int | None = None,
        window: int = WINDOW,
        workers: int = 0,
    ) -> Iterator[Document]:
        """Annotates many texts, batched together, in their order and at constant memory.

        Args:
            texts: Each a string, which is split into sentences and words, by the model if it has
                the task `segment`, else by the rules of its language; a list of words, which
                is one sentence; or a list of `Sentence`. An empty one gives an empty document.
                Half surrogates, which no encoding can write, are read as U+FFFD. Or a `Pair`, whose
                two texts are also asked the tasks of words.
            tasks: Default: all. Only the blocks of the encoder that these need are run, and, over
                raw text, those of `segment`.
            with_scores: Whether documents also get `scores`.
            tokens_per_batch: Pieces in a batch. Default: the annotator's.
            window: Sentences that are read ahead; 1 gives each document as soon as it is read.
                Workers read two windows each ahead, of at most 512 sentences.
            workers: Processes that predict, each with a copy of the model; they take some
                seconds to start, so they pay for big inputs, most with small models. 0 is this
                process, which segments raw text in any case. A program that uses them must be
                importable (`if __name__ == "__main__":`).

        Raises:
            ModelError: At once, for a task the model does not have, a number below 1, or workers
                without a use.
            DataError: A text is none of these kinds, none of the tasks judges it, or a word is
                blank.
            RunError: A worker died, or there is no room for its copy of the model.
        """
        names = self.levels(tasks)
        if isinstance(texts, str | bytes):
            raise DataError(
                f"one text, {texts[:40]!r}, where several are expected; pass a list of texts, or "
                "call the annotator itself"
            )
        waiting: deque[Source] = deque()
        units = {task: self.model.head(task).unit for task in names}
        size = self.tokens_per_batch if tokens_per_batch is None else tokens_per_batch
        check_sizes(tokens_per_batch=size, window=window)
        split, ahead = self._splitter(tokens_per_batch=size, window=window)
        words = entries_of(texts, waiting, split, units=units, ahead=ahead)
        if workers:
            found = self._counted(
                predict_in_workers(
                    self,
                    words,
                    tasks=names,
                    workers=workers,
                    with_scores=with_scores,
                    tokens_per_batch=size,
                    window=window,
                )
            )
        else:
            found = self.predictions(
                words, names, with_scores=with_scores, tokens_per_batch=size, window=window
            )
        return self._documents(found, waiting, names, with_scores=with_scores)

    def _counted(self, found: Iterator[Prediction]) -> Iterator[Prediction]:
        """Keeps count of the depths at which tasks with exits were read."""
        for prediction in found:
            for task, depth in prediction.depths.items():
                self.left.setdefault(task, Counter())[depth] += 1
            yield prediction

    def _splitter(self, **sizes: int) -> tuple[Splitter, int]:
        """What makes sentences of texts, and how many it is to be given at once."""
        if self.segments:
            return lambda texts: segment_texts(self, texts, **sizes), sizes["window"]
        return lambda texts: [split_text(text, self.language) for text in texts], 1

    def _documents(
        self,
        found: Iterator[Prediction],
        waiting: deque[Source],
        names: Sequence[str],
        *,
        with_scores: bool,
    ) -> Iterator[Document]:
        words = [task for task in names if self.model.head(task).of_sentences]
        kinds = {task: self.model.head(task).layer for task in words}
        levels = {task: "tags" if kind == "edits" else kind for task, kind in kinds.items()}
        for first in found:
            source = waiting.popleft()
            rest = [next(found) for _ in source.sentences[1:]]
            predictions = [first, *rest] if source.sentences else []
            whole = next(found) if source.whole else first
            scores = [prediction.scores for prediction in predictions]
            if source.whole and scores:
                scores[0] = {**scores[0], **whole.scores}
            yield Document(
                source.sentences,
                [prediction.layers for prediction in predictions],
                levels=levels,
                known=self.levels(),
                scores=scores if with_scores else None,
                text=source.text,
                language=self.language,
                columns=self.columns,
                labels=whole.labels,
            )

    def predict_layers(
        self, sentences: Iterable[Sequence[str]], tasks: Iterable[str] | None = None
    ) -> Iterator[Mapping[str, Layer]]:
        """The bare layers of sentences given as words, in their order; faster than documents."""
        return (prediction.layers for prediction in self.predictions(sentences, tasks))

    def predict_sentences(
        self, sentences: Iterable[Sentence], tasks: Iterable[str] | None = None
    ) -> Iterator[Mapping[str, Layer]]:
        """Like `predict_layers`, of gold sentences in the order of their documents.

        What informed heads say where they are told gold is there too, under the task's name and
        `INFORMED`. Neighbouring sentences with the same document id are one document.
        """
        return (layers for layers, _ in self._predicted(sentences, tasks, with_scores=False))

    def predict_with_scores(
        self, sentences: Iterable[Sentence], tasks: Iterable[str] | None = None
    ) -> Iterator[tuple[Mapping[str, Layer], Mapping[str, Sequence[float]]]]:
        """Like `predict_sentences`, with `Prediction.scores` of each sentence."""
        return self._predicted(sentences, tasks, with_scores=True)

    def _predicted(
        self, sentences: Iterable[Sentence], tasks: Iterable[str] | None, *, with_scores: bool
    ) -> Iterator[tuple[Mapping[str, Layer], Mapping[str, Sequence[float]]]]:
        names = self.model.hierarchy.select(tasks)
        heads, columns = self.heads, self.columns
        told = {
            lower
            for task in names
            if heads[task].informed
            for lower in heads[task].reads or (task,)
        }

        def known(sentence: Sentence) -> dict[str, Structure]:
            layers = ((task, sentence.layers.get(columns[task])) for task in told)
            return {task: layer for task, layer in layers if isinstance(layer, Structure)}

        def entries() -> Iterator[Entry]:
            if any(heads[task].unit == "document" for task in names):
                for document in by_document(sentences):
                    words = tuple(sentence.words for sentence in document)
                    yield Together(words, document=True, known=tuple(map(known, document)))
            else:
                for sentence in sentences:
                    yield Known(sentence.words, known(sentence))

        for prediction in self.predictions(entries(), names, with_scores=with_scores):
            given = {task + INFORMED: layer for task, layer in prediction.informed.items()}
            yield {**prediction.layers, **given}, prediction.scores

    def predict_labels(
        self, passages: Iterable[Passage], tasks: Iterable[str] | None = None
    ) -> Iterator[Mapping[str, str | float]]:
        """What is said of each passage as a whole, in their order: task to label or number."""
        return (labels for labels, _ in self._judged(passages, tasks, with_scores=False))

    def predict_labels_with_scores(
        self, passages: Iterable[Passage], tasks: Iterable[str] | None = None
    ) -> Iterator[tuple[Mapping[str, str | float], Mapping[str, float]]]:
        """Like `predict_labels`, with how probable the label of each task is."""
        return self._judged(passages, tasks, with_scores=True)

    def _judged(
        self, passages: Iterable[Passage], tasks: Iterable[str] | None, *, with_scores: bool
    ) -> Iterator[tuple[Mapping[str, str | float], Mapping[str, float]]]:
        sizes: deque[int] = deque()

        def entries() -> Iterator[Entry]:
            for passage in passages:
                sizes.append(len(passage.sentences))
                yield Together(tuple(s.words for s in passage.sentences), words=False)

        found = self.predictions(entries(), tasks, with_scores=with_scores)
        for first in found:
            for _ in range(sizes.popleft() - 1):
                next(found)
            yield first.labels, {task: scores[0] for task, scores in first.scores.items()}

    def predictions(
        self,
        sentences: Iterable[Entry],
        tasks: Iterable[str] | None = None,
        *,
        with_scores: bool = False,
        tokens_per_batch: int | None = None,
        window: int = WINDOW,
    ) -> Iterator[Prediction]:
        """Like `predict_layers`, with scores if they are asked for.

        By default all tasks but `segment`, whose sentences are stretches of text.
        """
        found = predict_scored(
            self._computing,
            self.tokenizer,
            sentences,
            tasks=self.levels() if tasks is None else tasks,
            tokens_per_batch=self.tokens_per_batch
            if tokens_per_batch is None
            else tokens_per_batch,
            flat=self.flat,
            window=window,
            with_scores=with_scores,
            exits=self.exits,
        )
        return self._counted(found) if self.exits else found

    def annotate_texts(
        self, texts: Iterable[str], tasks: Iterable[str] | None = None
    ) -> Iterator[list[Sentence]]:
        """The sentences of each text, each with its predicted layers."""
        for document in self.pipe(texts, tasks):
            pairs = zip(document.source, document.layers, strict=True)
            yield [sentence.with_layers(layers) for sentence, layers in pairs]

    def save_pretrained(self, folder: str | Path, *, weights: str | None = None) -> None:
        """Writes a model folder that `load` reads; see `hiermtl.pretrained.save_model`.

        `weights="fp16"` halves its size.
        """
        save_model(self.model, self.tokenizer, folder, card=self._card, weights=weights)

    def push_to_hub(
        self,
        name: str,
        *,
        revision: str | None = None,
        private: bool | None = None,
        message: str = "Push a hiermtl model",
        weights: str | None = None,
        token: str | None = None,
    ) -> str:
        """Puts the model on the hub, as `load(name)` reads it, in one commit.

        Args:
            name: owner/name; made if there is no such repository.
            revision: A branch, made if need be. Default: the main one.
            private: Whether a repository that is made here is. Default: as the owner has set.
            message: The commit's.
            weights: See `save_pretrained`.
            token: One that may write. Default: that of whoever is logged in.

        Returns:
            The commit, which `load(name, revision=...)` takes.

        Raises:
            ModelError: It is no such name, or you may not write there.
            RunError: The hub cannot be reached.
        """
        card = self._card or default_card(self.model)
        with TemporaryDirectory(prefix="hiermtl-") as place:
            folder = Path(place) / "model"
            save_model(
                self.model, self.tokenizer, folder, card=card_for(card, name), weights=weights
            )
            return push(
                folder, name, revision=revision, private=private, message=message, token=token
            )

    def __repr__(self) -> str:
        """The encoder, and the tasks from top to bottom."""
        config = self.model.config
        name, scheme = config.encoder.get("family"), config.sharing["name"]
        lines = [
            f"Annotator: {name} encoder, sharing {scheme}, language {self.language}, "
            f"{self.precision} on {self.model.device}"
        ]
        rows = [("level", "depth", "task", "head", "labels")]
        for task in reversed(self.hierarchy.tasks):
            head = self.model.head(task.name)
            level = str(self.hierarchy.level(task.name))
            rows.append((level, str(task.depth), task.name, head.kind, str(len(head.labels))))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = (c.ljust(w) for c, w in zip(row, widths, strict=True))
            lines.append("  " + "  ".join(cells).rstrip())
        return "\n".join(lines)


def load(
    name: str | Path,
    *,
    tasks: Iterable[str] | None = None,
    depth: int | None = None,
    device: str = "cpu",
    precision: str | None = None,
    revision: str | None = None,
    exits: bool = False,
) -> Annotator:
    """The annotator of a model folder, a shipped model or a model of the hub.

    Args:
        name: Tried as a folder, as a shipped name, and as a hub id, in this order.
        tasks: Load what these need, and read no other tensors; see
            `hiermtl.pretrained.load_model`. Default: all.
        depth: Likewise, of the tasks that need no more blocks of the encoder than this.
        device: Where to compute, such as `cpu` or `cuda`.
        precision: See `Annotator`.
        revision: Of a hub model: a branch, tag or commit.
        exits: See `Annotator`. Default: off.

    Raises:
        ModelError: There is no such model, it asks for code, its folder is damaged, or it has no
            such task or no exits.
    """
    folder = find_model(name, revision=revision)
    model, tokenizer = load_model(folder, tasks=tasks, depth=depth, device=device)
    card = read_card(folder)
    if tasks is not None or depth is not None:
        card = part_of_card(card, model)
    keep_shapes(max(ANNOTATING, PER_TASK * len(model.hierarchy.names)))
    return Annotator(model, tokenizer, precision=precision, card=card, exits=exits)


def choose_precision(model: HierarchicalModel, precision: str | None) -> Precision:
    """The precision asked for, or the model's own where the processor has its arithmetic.

    Raises:
        ModelError: It is not one of `PRECISIONS`.
    """
    asked = model.config.precision if precision is None else precision
    if asked not in PRECISIONS:
        raise ModelError(f"precision {asked!r}; allowed are {listing(PRECISIONS)}")
    if precision is None and asked == "bf16" and not has_bf16(model.device):
        return "fp32"
    return cast("Precision", asked)
