"""Step time, communication and memory of data-parallel training, by formula.

Bytes and operations of a transformer with L blocks of width w and inner width f, trained with AdamW
in bf16 autocast: weights, gradients and both moments are fp32. Times are bounds from below: a ring
moves every byte at the full rate of the slowest link, and a product runs at its share of the peak.
"""

from dataclasses import dataclass

FP32 = 4


@dataclass(frozen=True, slots=True)
class Encoder:
    """A transformer; the default has the size of BERT large, 333 million weights."""

    blocks: int = 24
    width: int = 1024
    inner: int = 4096
    vocabulary: int = 30_522
    positions: int = 512

    @property
    def block_weights(self) -> int:
        """Weights of one block: four products of attention, two of the feed-forward, two norms."""
        w, f = self.width, self.inner
        return 4 * w * w + 2 * w * f + 9 * w + f

    @property
    def weights(self) -> int:
        """All of them, with embeddings."""
        return self.blocks * self.block_weights + self.width * (self.vocabulary + self.positions)

    def operations(self, pieces: int, length: float) -> float:
        """Of a training step: 6 for each weight of a product and piece, 12 w for each pair."""
        products = self.blocks * (4 * self.width**2 + 2 * self.width * self.inner)
        return pieces * (6 * products + 12 * self.blocks * self.width * length)


@dataclass(frozen=True, slots=True)
class Cluster:
    """Graphics processors, and how fast they compute and send.

    The defaults are those of H100 SXM, 8 to a node, by its maker's data sheet: dense bf16
    operations a second; bytes a second each way by NVLink within a node, and by an adapter of 400
    Gbit/s for each processor between nodes. `share` of the peak is what a training step is taken to
    reach, `wire` what is taken to be reached of a link.
    """

    processors: int
    node: int = 8
    peak: float = 989e12
    within: float = 450e9
    between: float = 50e9
    share: float = 0.4
    wire: float = 0.8

    @property
    def rate(self) -> float:
        """Bytes a second of the slowest link of a ring through all."""
        return self.wire * (self.within if self.processors <= self.node else self.between)

    def around(self, size: float) -> float:
        """Seconds in which a ring brings bytes of this size together, or shares them out."""
        return (self.processors - 1) / self.processors * size / self.rate


@dataclass(frozen=True, slots=True)
class Step:
    """Seconds of a step: `hidden` of sending lie under computing, `shown` do not. Bytes held."""

    compute: float
    hidden: float
    shown: float
    state: float
    activations: float

    @property
    def seconds(self) -> float:
        """Of the whole step."""
        return self.compute + self.shown


def step(
    encoder: Encoder,
    cluster: Cluster,
    *,
    pieces: int,
    length: float,
    per_piece: float,
    shard: bool,
    depth: int | None = None,
    bucket: int = 25 * 2**20,
) -> Step:
    """A step of `pieces` for each processor, with tasks up to `depth` (all blocks by default).

    `per_piece` are the bytes a block keeps of a piece for the way back. Whole weights: what the
    tasks reach is sent around twice, once to add it up and once to share it out, as it is made; the
    last bucket finds nothing to hide under. Parts: weights of the blocks that run are gathered on
    the way up and again on the way down, and their gradients added up.
    """
    used = encoder.blocks if depth is None else depth
    small = Encoder(used, encoder.width, encoder.inner, encoder.vocabulary, encoder.positions)
    compute = small.operations(pieces, length) / (cluster.peak * cluster.share)
    kept = encoder.weights * FP32
    held = pieces * used * per_piece
    if shard:
        sent = 3 * cluster.around(small.weights * FP32)
        state = 4 * kept / cluster.processors + 2 * encoder.block_weights * FP32
        first = cluster.around(encoder.block_weights * FP32)
        shown = first + max(0.0, sent - first - compute)
    else:
        sent = 2 * cluster.around(small.weights * FP32)
        # Weights, gradients, two moments, and what is sent.
        state = 5 * kept
        last = 2 * cluster.around(min(bucket, small.weights * FP32))
        shown = last + max(0.0, sent - last - 2 / 3 * compute)
    return Step(compute, sent - shown, shown, state, held)
