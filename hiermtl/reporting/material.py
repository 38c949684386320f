"""Everything a page is made of, gathered by whoever can load models and corpora."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hiermtl.evaluation.compare import Comparison
from hiermtl.reporting.facts import Facts, Rung
from hiermtl.reporting.mistakes import Mistakes


@dataclass(frozen=True, slots=True)
class Material:
    """What is shown of a run.

    Attributes:
        facts: What its folder says.
        rungs: Its tasks, with what they cost.
        described: What its tasks share and what was learnt of it; empty without a model.
        drawn: The picture of that as SVG text; `None` where matplotlib is missing.
        mistakes: Of each task on each corpus; `None` where they were not looked for.
        comparison: Of the run and others; `None` where no others were named.
        changed: Keys in which the recipe differs from the shipped one it is called after, each with
            the shipped value and this one; `None` where there is no shipped one.
        here: The environment of the report itself.
        notes: What could not be done.
        why: For the name of a section, why it is empty.
    """

    facts: Facts
    rungs: Sequence[Rung]
    described: Mapping[str, Any] = field(default_factory=dict)
    drawn: str | None = None
    mistakes: Sequence[Mistakes] | None = None
    comparison: Comparison | None = None
    changed: Mapping[str, tuple[Any, Any]] | None = None
    here: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    why: Mapping[str, str] = field(default_factory=dict)
