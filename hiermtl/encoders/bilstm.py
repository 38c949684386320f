"""The stacked bidirectional LSTM of the papers, one module per layer, to be cut at any depth.

Source: Søgaard and Goldberg 2016 (Deep multi-task learning with low level tasks supervised at lower
layers), section 2; word representation as Hashimoto et al. 2017, section 2.1
(`hiermtl.tokens.words`). Departs: words rarer than a threshold share one vector and differ by their
n-grams alone; input noise is word dropout, not Gaussian. Both directions stay aligned at every
depth: token i of a layer holds the forward and the backward state of token i.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hiermtl.dropout import Dropout
from hiermtl.encoders.base import Block, Embedding, Encoder
from hiermtl.errors import ModelError, listing, nearest
from hiermtl.records import Layout, placed, recurring
from hiermtl.seeding import untouched

DEFAULTS: dict[str, Any] = {
    "layers": 3,
    "hidden": 256,
    "word_width": 100,
    "ngram_width": 100,
    "vocabulary": 0,
    "buckets": 30_000,
    "word_dropout": 0.1,
    "dropout": 0.2,
}


class WordEmbedding(Embedding):
    """A word's own vector beside the mean vector of its character n-grams.

    With a word width of 0 there are n-grams alone.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Tables start normal with spread 0.1.

        Word 0 stands for all words outside the vocabulary.
        """
        super().__init__()
        self.word_dropout: float = config["word_dropout"]
        self.words: nn.Embedding | None = None
        if config["word_width"]:
            self.words = nn.Embedding(config["vocabulary"] + 1, config["word_width"])
            nn.init.normal_(self.words.weight, std=0.1)
        self.ngrams = nn.EmbeddingBag(config["buckets"], config["ngram_width"], mode="mean")
        self.dropout = Dropout(config["dropout"])
        nn.init.normal_(self.ngrams.weight, std=0.1)

    def forward(self, inputs: Mapping[str, Tensor], layout: Layout) -> Tensor:
        """Shapes: `ids`, `ngram_starts` (units,), `ngrams` (all,) to (units, both widths)."""
        ids, ngrams = inputs["ids"], self.ngrams(inputs["ngrams"], inputs["ngram_starts"])
        kept: Tensor | None = None
        if self.training and self.word_dropout:
            kept = torch.rand(ids.shape, device=ids.device) >= self.word_dropout
        if self.words is None:
            # What is hidden is all there is of the word.
            return self.dropout(ngrams if kept is None else ngrams * kept.unsqueeze(-1))
        words = self.words(ids if kept is None else ids * kept)
        return self.dropout(torch.cat([words, ngrams], dim=-1))


class BiLstmBlock(Block):
    """One bidirectional layer; further inputs are concatenated to the states below.

    Two one-directional LSTMs over rows set side by side, the backward one over reversed rows: each
    row then begins at step 0 in both, and what stands behind its end cannot reach it. Dropout falls
    on what the layer reads; a tap reads what the layer gives.
    """

    def __init__(self, width: int, hidden: int, *, dropout: float, extra_width: int) -> None:
        """Input matrices start Xavier-uniform, recurrent orthogonal, biases 0, forget gate 1."""
        super().__init__()
        self.dropout = Dropout(dropout)
        self.left_to_right = _lstm(width + extra_width, hidden)
        self.right_to_left = _lstm(width + extra_width, hidden)

    def forward(self, values: Tensor, layout: Layout, extra: Tensor | None = None) -> Tensor:
        """Shapes: as `Block.forward`."""
        if extra is not None:
            values = torch.cat([values, extra], dim=-1)
        values = self.dropout(values)
        steps = layout.cached("time steps", lambda: TimeSteps.of(layout))
        if not steps.length:
            return values.new_zeros(layout.units, 2 * self.left_to_right.hidden_size)
        out = []
        for lstm, units, places in (
            (self.left_to_right, steps.units, steps.places),
            (self.right_to_left, steps.reversed_units, steps.reversed_places),
        ):
            assert isinstance(lstm, nn.LSTM)
            read = _read(lstm, values.index_select(0, units).view(steps.length, steps.rows, -1))
            out.append(read.reshape(-1, read.shape[-1]).index_select(0, places))
        return torch.cat(out, dim=-1)

    def writes(self) -> Sequence[Tensor]:
        """The four gates of each direction, of what is read and of the state before."""
        found = []
        for lstm in (self.left_to_right, self.right_to_left):
            for name in ("weight_ih_l0", "weight_hh_l0"):
                found += lstm.get_parameter(name).chunk(4)
        return found


def _read(lstm: nn.LSTM, values: Tensor) -> Tensor:
    """(length, rows, hidden): the states; in fp32 where autocast has no LSTM to offer."""
    kind = values.device.type
    if kind != "cpu" or not torch.is_autocast_enabled(kind) or autocasts():
        return lstm(values)[0]
    with torch.autocast(kind, enabled=False):
        return lstm(values.float())[0]


@cache
def autocasts() -> bool:
    """Whether LSTMs run in bf16 autocast on this processor; those with AVX2 alone refuse."""
    with untouched(), torch.autocast("cpu", torch.bfloat16):
        try:
            nn.LSTM(1, 1)(torch.zeros(1, 1, 1))
        except RuntimeError:
            return False
    return True


def _lstm(width: int, hidden: int) -> nn.LSTM:
    lstm = nn.LSTM(width, hidden)
    for name, weight in lstm.named_parameters():
        if name.startswith("weight_ih"):
            nn.init.xavier_uniform_(weight)
        elif name.startswith("weight_hh"):
            for gate in weight.chunk(4):
                nn.init.orthogonal_(gate)
        else:
            nn.init.zeros_(weight)
            if name.startswith("bias_ih"):
                with torch.no_grad():
                    weight[hidden : 2 * hidden] = (
                        1.0  # the forget gate, as in Hashimoto et al. 2017
                    )
    return lstm


@dataclass(frozen=True, eq=False, slots=True)
class TimeSteps:
    """Rows set side by side, (length, rows) laid out step by step, and back.

    Length and rows are `recurring`. Shapes: units, reversed_units (length * rows,): the unit each
    row reads at each step, from its first or from its last; behind a row's end its edge unit is
    read again, in rows behind the last one unit 0, and nothing takes the result. places,
    reversed_places (units,): where a unit's state stands; padding units take step 0 of their row,
    and units of no row that of the first.
    """

    length: int
    rows: int
    units: Tensor
    reversed_units: Tensor
    places: Tensor
    reversed_places: Tensor

    @classmethod
    def of(cls, layout: Layout) -> "TimeSteps":
        """The steps of a layout."""
        device, longest = layout.device, int(layout.row_lengths.max(initial=0))
        length = recurring(longest, steps=8, grain=1, device=device)
        rows = recurring(layout.rows, steps=4, grain=1, device=device)
        lengths, starts = (
            np.pad(array, (0, rows - layout.rows))
            for array in (layout.row_lengths, layout.row_starts)
        )
        step = np.arange(length)[:, None]
        within = np.minimum(step, lengths - 1)
        stride = np.full(layout.rows, layout.padded) if layout.padded else layout.row_lengths
        row = np.repeat(np.arange(layout.rows), stride)
        place = np.arange(len(row)) - np.repeat(np.cumsum(stride) - stride, stride)
        row, place = (np.pad(array, (0, layout.units - len(row))) for array in (row, place))
        place = np.where(place < lengths[row], place, 0)
        edges = (
            np.maximum(lengths, 1) - 1
        )  # a row without units reads another row's and gives nothing
        units = (starts + np.maximum(within, 0), starts + edges - np.maximum(within, 0))
        places = (place * rows + row, (edges[row] - place) * rows + row)
        arrays = (*(np.minimum(unit, layout.units - 1).ravel() for unit in units), *places)
        return cls(length, rows, *(placed(array, layout.device) for array in arrays))


class BiLstmEncoder(Encoder):
    """Word and n-gram embedding, then `layers` bidirectional layers.

    Every width above depth 0 is `2 * hidden`.
    """

    family = "bilstm"
    side_by_side = True
    directions = 2

    def __init__(self, **options: Any) -> None:
        """Takes any of `DEFAULTS`; `vocabulary` and `buckets` must be the tokenizer's.

        Raises ModelError for an option that is none of them.
        """
        for name in options:
            if name not in DEFAULTS:
                raise ModelError(
                    f"{name!r} is no option of a BiLSTM; allowed are {listing(DEFAULTS)}"
                    f"{nearest(name, DEFAULTS)}"
                )
        self._config = {**DEFAULTS, **options}
        below = self._config["word_width"] + self._config["ngram_width"]
        self.widths = (below, *[2 * self._config["hidden"]] * self._config["layers"])

    def embedding(self) -> WordEmbedding:
        """A new embedding, drawn from the current random state."""
        return WordEmbedding(self._config)

    def block(self, depth: int, extra_width: int = 0) -> BiLstmBlock:
        """A new layer, drawn from the current random state."""
        return BiLstmBlock(
            self.widths[depth - 1],
            self._config["hidden"],
            dropout=self._config["dropout"],
            extra_width=extra_width,
        )

    def config(self) -> dict[str, Any]:
        """All options, with `family`."""
        return {"family": self.family, **self._config}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "BiLstmEncoder":
        """An encoder with weights from scratch."""
        return cls(**{key: value for key, value in config.items() if key != "family"})
