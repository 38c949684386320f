"""What a head owes the model: scores from word states, a loss against gold, labels from scores."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hiermtl.precision import full_precision
from hiermtl.records import Batch, HeadOutput, Layout, Tap, Unit, placed, recurring
from hiermtl.structures.padding import alike


class Head(nn.Module, ABC):
    """Word states to scores, scores to a loss, scores to labels.

    `kind` is the row in the table of heads; `layer` the kind of annotation it is trained on
    (`tags`: a label per word, `edits`: a script per word that makes its label, `tree`: a head and a
    relation per word, `label` and `number`: one of the whole text or pair, `spans`, `relations`,
    `frames` and `mentions`: items among the words, see `hiermtl.corpus.items`); `unit` what it
    judges; `labels` its inventory, in the order of its scores; `bio` says whether decoding keeps to
    IOB2, `probable` whether what it says has a probability; `reads_layer` what it reads of the
    tasks that it reads, where that is not how probable their labels are; `informed` whether it is
    also scored with gold in place of what it reads, or of the predicates it finds; `predicted` in
    which share of steps it is trained on predictions in place of gold that it reads, when training
    begins and when it ends.
    """

    kind: ClassVar[str]
    layer: ClassVar[str]
    unit: ClassVar[Unit] = "word"
    probable: ClassVar[bool] = True
    reads_layer: ClassVar[str | None] = None
    informed: ClassVar[bool] = False
    predicted: tuple[float, float] = (0.0, 0.0)
    labels: tuple[str, ...]
    bio: bool = False

    @property
    def of_sentences(self) -> bool:
        """Whether what it says lies in sentences, not beside them."""
        return self.unit in ("word", "document")

    @abstractmethod
    def forward(self, tap: Tap) -> dict[str, Tensor]:
        """Scores by name, each with the tap's words (or groups) as first axis.

        `root_...`, of no word, have one row.
        """

    @abstractmethod
    def loss(self, output: HeadOutput, gold: Mapping[str, Tensor]) -> Tensor:
        """The loss in nats, fp32, summed over labelled items.

        Shapes: gold tensors (words,) of the output's sentences, `labels` or `numbers` (groups,) of
        its groups, or `items` (items, 1 + numbers), the sentence first and the label last, of
        documents with `annotated` (sentences,) bool, which of the output's have gold; what has
        `MISSING` or NaN adds nothing.
        """

    @abstractmethod
    def decode(self, output: HeadOutput) -> list[Any]:
        """One annotation per sentence or group.

        Label ids (words,) for tags, (heads, relation ids) for trees, items (items, numbers), the
        label last, numpy int64; a label's id or a number for groups, and for documents items of
        their sentences (items, 1 + numbers), the place in the document first.
        """

    def probabilities(self, output: HeadOutput) -> Tensor:
        """(words, labels): how probable each label is, for schemes that feed predictions upwards.

        Raises NotImplementedError for heads that have no distribution over labels per word.
        """
        raise NotImplementedError(f"the {self.kind} head gives no label distribution per word")

    def confidence(self, output: HeadOutput, decoded: Sequence[Any]) -> Tensor | None:
        """(words,) probability of what was chosen for each word, 0 to 1; `None` if there is none.

        Shapes: `decoded` is what `decode(output)` gave.
        """
        try:
            probabilities = self.probabilities(output)
        except NotImplementedError:
            return None
        return taken(probabilities, np.concatenate(decoded))

    def surest(self, output: HeadOutput) -> Tensor:
        """(words,) or (groups,): the largest of the probabilities of each, for heads with any."""
        return self.probabilities(output).amax(-1)

    def start_even(self) -> None:
        """Makes every choice as probable as any other, before training.

        Zeroes the layer `output`, whose values are the scores. A head without one starts so anyhow.
        """
        output = self._modules.get("output")
        if output is not None:
            for parameter in output.parameters():
                nn.init.zeros_(parameter)

    @abstractmethod
    def options(self) -> dict[str, Any]:
        """Plain data: the arguments, beside width and labels, from which the same head is made."""

    if TYPE_CHECKING:

        def __call__(self, tap: Tap) -> dict[str, Tensor]:
            """As `forward`."""
            ...


def gold_of(task: str, head: Head, output: HeadOutput, batch: Batch) -> dict[str, Tensor] | None:
    """A task's gold of the words, or of the groups, of an output, if the batch has any."""
    if output.groups is not None and head.unit != "document":
        if task not in batch.group_gold:
            return None
        places = placed(output.groups, batch.layout.device)
        name = "numbers" if head.layer == "number" else "labels"
        return {name: batch.group_gold[task].index_select(0, places)}
    if task not in batch.gold:
        return None
    chosen = batch.layout.select(output.sentences)
    return {n: chosen.take_words(values) for n, values in batch.gold[task].items()}


def evened(values: Tensor) -> Tensor:
    """Zero rows appended, up to a size of which few occur; see `hiermtl.records.recurring`.

    Batches differ more in words than in units, and heads cost little: so steps are wider here. An
    exported graph, whose sizes are symbols, has no sizes to meet again.
    """
    if torch.compiler.is_exporting():
        return values
    missing = recurring(len(values), steps=4, device=values.device) - len(values)
    return F.pad(values, (0, 0, 0, missing)) if missing else values


def first_of_each(rows: Tensor) -> Tensor:
    """(found,): where each different row, (rows, numbers), stands first; rows sorted."""
    found, inverse = rows.unique(dim=0, return_inverse=True)
    places = torch.arange(len(rows), device=rows.device)
    return torch.full_like(found[:, 0], len(rows)).scatter_reduce(0, inverse, places, "amin")


def running(values: Tensor) -> tuple[Tensor, Tensor]:
    """Totals (rows + 1, width) fp32 of the rows before each, without the mean of all, and that.

    The mean is (1, width). Totals without it stay small, while those of the rows would grow, and in
    a document of many thousand words hold little of a single one.
    """
    rows = full_precision(values)
    mean = rows.mean(0, keepdim=True) if len(rows) else rows.sum(0, keepdim=True)
    return F.pad((rows - mean).cumsum(0), (0, 0, 1, 0)), mean


def means(values: Tensor, begin: Tensor, end: Tensor) -> Tensor:
    """(spans, width) fp32: the mean of the rows (rows, width) from `begin` to `end`; 0 of none.

    By running totals, so that the work does not grow with the spans.
    """
    totals, mean = running(values)
    counts = (end - begin).unsqueeze(1)
    total = totals.index_select(0, end) - totals.index_select(0, begin)
    return torch.where(counts > 0, total / counts.clamp(min=1) + mean, 0.0)


def taken(probabilities: Tensor, chosen: np.ndarray) -> Tensor:
    """(words, choices) and the choice of each word (words,) to (words,), fp32."""
    places = placed(chosen, probabilities.device)[:, None]
    return probabilities.gather(1, places).squeeze(-1).float()


def split_by_sentence(
    values: np.ndarray, word_counts: Sequence[int] | np.ndarray
) -> list[np.ndarray]:
    """(words, ...), or items, to one array per sentence; counts are those of each sentence."""
    # Slices: np.split takes ten times as long, which tells where sentences are many.
    ends = np.cumsum(word_counts).tolist()
    return [values[first:last] for first, last in pairwise([0, *ends])]


def in_parts(
    output: HeadOutput, *, power: int = 1, width: int = 1
) -> Iterator[tuple[np.ndarray, HeadOutput]]:
    """The places of the words of sentences of about one length, and the output that has these.

    `power` and `width` as of `alike`.
    """
    layout = output.layout
    for rows in alike(layout.word_counts, power=power, width=width):
        chosen = np.zeros(layout.sentences, dtype=bool)
        chosen[rows] = True
        yield (
            np.flatnonzero(np.repeat(chosen, layout.word_counts)),
            output.narrow(output.sentences[rows]),
        )


def in_order(parts: Sequence[tuple[np.ndarray, Tensor]]) -> Tensor:
    """(words, ...): values of the words at some places, (places, ...), of all parts."""
    if len(parts) == 1:
        return parts[0][1]
    order = np.argsort(np.concatenate([words for words, _ in parts]))
    values = torch.cat([value for _, value in parts])
    return values.index_select(0, placed(order, values.device))


def pad_words(values: Tensor, layout: Layout, *, fill: float = 0) -> tuple[Tensor, Tensor]:
    """(words, ...) to (sentences, longest, ...), and the lengths (sentences,)."""
    counts = layout.word_counts
    longest = int(counts.max(initial=0))
    places = layout.cached("padded words", lambda: _padded_words(layout, longest))
    out = values.new_full((layout.sentences * longest, *values.shape[1:]), fill).index_copy(
        0, places, values
    )
    return out.view(layout.sentences, longest, *values.shape[1:]), layout.tensor("word_counts")


def _padded_words(layout: Layout, longest: int) -> Tensor:
    within = np.arange(layout.words) - np.repeat(layout.word_starts[:-1], layout.word_counts)
    return placed(layout.word_sentences * longest + within, layout.device)
