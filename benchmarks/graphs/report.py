"""The result of `benchmarks.graphs` as text and as Markdown."""

from collections.abc import Mapping
from typing import Any

from benchmarks.facts import circumstances
from benchmarks.tables import aligned, piped

TEXTS = {"what"}
"""Columns that are no numbers."""

TORCH, GRAPH, SMALL = "torch, fp32", "graph, fp32", "graph, int8"
HEAD = ("what", TORCH, GRAPH, SMALL)


def rows(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Sizes of files, the best speed of all rounds, and main scores; torch says what fp32 says."""
    files, seconds = result["sizes"], result["seconds"]
    sizes = ("file, MB", "", *(f"{files[name] / 1e6:.1f}" for name in (GRAPH, SMALL)))
    rates = (result["words"] / min(seconds[name]) for name in HEAD[1:])
    speeds = ("words a second", *(f"{rate:,.0f}" for rate in rates))
    scores = [
        (f"{row['task']}, {row['metric']} on dev", "", *(f"{row[k]:.2f}" for k in (GRAPH, SMALL)))
        for row in result["scores"]
    ]
    return [sizes, speeds, *scores]


def facts(result: Mapping[str, Any]) -> str:
    """What the figures depend on, in one paragraph."""
    rounds = len(result["seconds"][TORCH])
    return (
        f"{circumstances(result)}, ONNX Runtime {result['machine']['versions']['onnxruntime']}; "
        f"model {result['model']}; speed: {result['sentences']} sentences of {result['data']}, "
        f"{result['words']:,} words, from words to labels in processor time on one thread, best of "
        f"{rounds} rounds; scores: {result['long']} sentences were longer than a row"
    )


def markdown(result: Mapping[str, Any]) -> str:
    """A paragraph of facts and the table."""
    return f"{facts(result)}.\n\n{piped(HEAD, rows(result), texts=TEXTS)}"


def text(result: Mapping[str, Any]) -> str:
    """The same for a terminal."""
    return f"{facts(result)}\n\n{aligned(HEAD, rows(result), texts=TEXTS)}\n"
