"""The result of `benchmarks.scale` as text and as Markdown: its constants put into the formulas."""

from collections.abc import Mapping
from typing import Any

from benchmarks.facts import circumstances
from benchmarks.scale.formulas import Cluster, Encoder, step
from benchmarks.tables import aligned, piped

HEAD = (
    "processors",
    "weights",
    "tasks up to",
    "computing",
    "sending",
    "of it shown",
    "step",
    "pieces/s",
    "of linear",
    "weights and optimizer",
    "kept for the way back",
    "recomputed",
)
TEXTS = {"weights"}
"""Columns that are no numbers."""

LOW = 6
"""A depth of a quarter of the encoder."""


def rows(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """One line for each number of processors, way of holding weights, and depth of the tasks."""
    encoder, pieces, length = Encoder(), result["pieces"], result["length"]
    kept, again = result["per_piece"]["kept"], result["per_piece"]["recomputed"]
    out = []
    for processors in (8, 64):
        for shard in (False, True):
            for depth in (encoder.blocks, LOW):
                cluster = Cluster(processors)
                found = step(
                    encoder,
                    cluster,
                    pieces=pieces,
                    length=length,
                    per_piece=kept,
                    shard=shard,
                    depth=depth,
                )
                out.append(
                    (
                        str(processors),
                        "parts" if shard else "whole",
                        str(depth),
                        f"{1e3 * found.compute:.0f} ms",
                        f"{1e3 * (found.hidden + found.shown):.0f} ms",
                        f"{1e3 * found.shown:.0f} ms",
                        f"{1e3 * found.seconds:.0f} ms",
                        f"{processors * pieces / found.seconds / 1e6:.1f} M",
                        f"{found.compute / found.seconds:.0%}",
                        f"{found.state / 1e9:.1f} GB",
                        f"{found.activations / 1e9:.1f} GB",
                        f"{found.activations * again / kept / 1e9:.1f} GB",
                    )
                )
    return out


def facts(result: Mapping[str, Any]) -> str:
    """What was measured, in one paragraph."""
    plan, cluster = result["plan"], Cluster(8)
    per_piece = result["per_piece"]
    return (
        f"Measured ({circumstances(result)}): a block of width {Encoder().width} keeps "
        f"{per_piece['kept'] / 1e3:.1f} KB of a piece in bf16, {per_piece['recomputed'] / 1e3:.1f} "
        f"KB recomputed; a process reads and batches {result['pieces']:,} pieces in "
        f"{1e3 * result['prepared']:.0f} ms. The plan of {plan['sentences'] / 1e6:,.0f} million "
        f"sentences, 64 processors with {result['pieces']:,} pieces each, takes each process "
        f"{plan['begin']:.1f} s at the start, {plan['chunk']:.1f} s for each million sentences, or "
        f"{1e3 * plan['chunk'] / plan['steps_of_a_chunk']:.1f} ms a step, "
        f"{1e3 * plan['shares']['64']:.0f} ms a step for sharing it out, and "
        f"{plan['bytes'] / 1e6:.0f} MB. Taken: {cluster.share:.0%} of {cluster.peak / 1e12:.0f} "
        f"TFLOP/s, {cluster.wire:.0%} of {cluster.within / 1e9:.0f} GB/s within a node of "
        f"{cluster.node} and of {cluster.between / 1e9:.0f} GB/s between nodes; "
        f"{Encoder().weights / 1e6:.0f} million weights, {result['pieces']:,} pieces a processor "
        f"in sentences of {result['length']:.0f}"
    )


def markdown(result: Mapping[str, Any]) -> str:
    """A paragraph of constants and the table."""
    return f"{facts(result)}.\n\n{piped(HEAD, rows(result), texts=TEXTS)}"


def text(result: Mapping[str, Any]) -> str:
    """The same for a terminal."""
    return f"{facts(result)}\n\n{aligned(HEAD, rows(result), texts=TEXTS)}\n"
