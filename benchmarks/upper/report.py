"""The results of `benchmarks.upper` as text and as Markdown."""

from collections.abc import Iterator, Mapping
from statistics import median
from typing import Any

from benchmarks.facts import circumstances
from benchmarks.tables import aligned, piped
from benchmarks.timing import ratios

SHOWN = (
    "f1",
    "f1_given",
    "f1_predicate",
    "accuracy",
    "macro_f1",
    "conll",
    "words",
    "tokens",
    "sentences",
)
"""The metrics that the table of rules has."""

RULES = ("task", "data", "rule", "scores")
SPANCAT = ("task", "data", "f1", "precision", "recall", "dev f1", "minutes of all trainings")
COSTS = ("level added", "ms per 1,000 words", "time added", "goal", "decoded")


def baselines_rows(result: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """A row per rule."""
    for one in result["rules"]:
        scores = ", ".join(
            f"{name} {one['scores'][name]:.1f}" for name in SHOWN if name in one["scores"]
        )
        told = f" ({one['told']})" if one["told"] else ""
        yield one["task"], one["data"], one["rule"] + told, scores


def baselines_markdown(result: Mapping[str, Any]) -> str:
    """The table of rules."""
    return piped(RULES, baselines_rows(result), texts=RULES)


def baselines_text(result: Mapping[str, Any]) -> str:
    """The same for a terminal."""
    return aligned(RULES, baselines_rows(result), texts=RULES) + "\n"


def spancat_rows(result: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """A row per corpus."""
    for one in result["systems"]:
        scores = (f"{one['scores'][name]:.1f}" for name in ("f1", "precision", "recall"))
        dev = f"{max(one['dev'].values()):.1f}"
        yield one["task"], one["data"], *scores, dev, f"{one['seconds'] / 60:.0f}"


def spancat_facts(result: Mapping[str, Any]) -> str:
    """What the figures depend on, in one paragraph."""
    settings = "; ".join(
        f"{one['data']}: {one['epochs']} epochs, no span longer than {one['longest']} words is "
        f"found, what is no span weighs {one['weight']:g} (tried: {', '.join(one['dev'])})"
        for one in result["systems"]
    )
    return (
        f"Test, exact spans and labels, seed {result['seed']}, fp32, nothing pretrained, the best "
        f"weights on dev; {settings}; {circumstances(result)}"
    )


def spancat_markdown(result: Mapping[str, Any]) -> str:
    """A paragraph of facts and the table."""
    table = piped(SPANCAT, spancat_rows(result), texts=SPANCAT[:2])
    return f"{spancat_facts(result)}.\n\n{table}"


def spancat_text(result: Mapping[str, Any]) -> str:
    """The same for a terminal."""
    table = aligned(SPANCAT, spancat_rows(result), texts=SPANCAT[:2])
    return f"{spancat_facts(result)}\n\n{table}\n"


def cost_rows(result: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """A row for the four tasks, and one per level: the median over rounds of what it adds."""
    seconds, base, words = result["seconds"], result["base"], result["words"]
    each = 1e6 * median(seconds[base]) / words
    yield f"none ({base})", f"{each:.0f}", "", "", ""
    for one in result["levels"]:
        more, less = (ratios(seconds, one[name], base) for name in ("with", "without"))
        added = median(a - b for a, b in zip(more, less, strict=True))
        yield (
            one["level"],
            f"{1e6 * median(seconds[one['with']]) / words:.0f}",
            f"{100 * added:.1f} %",
            f"{100 * one['goal']:.0f} %",
            f"{one['found']:,}",
        )


def cost_facts(result: Mapping[str, Any]) -> str:
    """What the figures depend on, in one paragraph."""
    rounds = len(result["seconds"][result["base"]])
    heads = "a trained model" if result["trained"] == "given" else f"trained {result['trained']}"
    return (
        f"{circumstances(result)}; {result['precision']}, {heads}, {result['documents']} documents "
        f"of {result['words']:,} words, {rounds} rounds"
    )


def cost_markdown(result: Mapping[str, Any]) -> str:
    """A paragraph of facts and the table."""
    return f"{cost_facts(result)}.\n\n{piped(COSTS, cost_rows(result), texts=COSTS[:1])}"


def cost_text(result: Mapping[str, Any]) -> str:
    """The same for a terminal."""
    return f"{cost_facts(result)}\n\n{aligned(COSTS, cost_rows(result), texts=COSTS[:1])}\n"
