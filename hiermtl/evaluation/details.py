"""What can be told beside scores: slices, intervals, calibration, confusions, cost."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from hiermtl.errors import RecipeError, listing, nearest

KINDS = ("length", "seen", "genre", "label")
"""By what scores can be sliced."""

LENGTHS = ((1, 10), (11, 20), (21, 30), (31, 40), (41, None))
"""Classes of sentences by their number of words; the last has no upper end."""

BINS = 10
"""Classes of confidence, equally wide."""

_GENRES = (re.compile(r"[A-Z]+_([a-z]+)_"), re.compile(r"([^\W\d_]+)-"))
"""How document ids begin that name a genre: `GUM_academic_art`, `reviews-122564`."""


@dataclass(frozen=True, slots=True)
class Details:
    """What is asked for beside scores.

    Attributes:
        by: Of `KINDS`, by what scores are sliced.
        intervals: Whether scores have intervals.
        calibration: Whether probabilities are set against what was right.
        confusion: Whether labels are counted by what they were taken for.
        known: For each task the words of its training data, for slices by `seen`.
    """

    by: tuple[str, ...] = ()
    intervals: bool = False
    calibration: bool = False
    confusion: bool = False
    known: Mapping[str, frozenset[str]] = field(default_factory=lambda: MappingProxyType({}))

    def __bool__(self) -> bool:
        """Whether anything is asked for."""
        return bool(self.by) or self.intervals or self.calibration or self.confusion


@dataclass(frozen=True, slots=True)
class Bin:
    """Items whose confidence lies above `low` and not above `high`; all from 0 to 100."""

    low: float
    high: float
    items: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """How sure a task's head is, and how often it is right, in per cent.

    `ece` is the expected calibration error: the mean distance between confidence and accuracy over
    bins of confidence, each with the weight of its items.

    Source: Naeini et al. 2015, Obtaining Well Calibrated Probabilities Using Bayesian Binning; Guo
    et al. 2017, On Calibration of Modern Neural Networks, section 2.
    """

    level: int
    task: str
    data: str
    split: str
    items: int
    confidence: float
    accuracy: float
    ece: float
    bins: tuple[Bin, ...]


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often each gold label was taken for each label; `None` for what only one side has.

    `cells` are gold, predicted and times, most frequent first, right ones too.
    """

    level: int
    task: str
    data: str
    split: str
    cells: tuple[tuple[str | None, str | None, int], ...]


@dataclass(frozen=True, slots=True)
class LevelCost:
    """What it takes to annotate the tasks of a level alone: blocks that run, and speed.

    Blocks are counted with all copies of columns and branches that run. The speed is of so many
    words, in this number type, on this device, with so many threads of the processor; `with_exits`
    is the one where sentences may leave early, if that was asked for.
    """

    level: int
    tasks: tuple[str, ...]
    blocks: int
    words_per_second: float
    with_exits: float | None = None
    words: int = 0
    precision: str = ""
    device: str = ""
    threads: int = 0


@dataclass(frozen=True, slots=True)
class ExitUse:
    """A task's main score without exits and with them, and how many sentences were read where.

    `read` maps depths to sentences (texts, pairs); the deepest is the task's own.
    """

    level: int
    task: str
    metric: str
    data: str
    split: str
    whole: float
    score: float
    read: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class BlockRows:
    """How many pieces a block read, special ones included, without exits and with them."""

    depth: int
    whole: int
    left: int


def read_kinds(by: str | Iterable[str]) -> tuple[str, ...]:
    """By what scores are sliced: names, or a text with commas between them.

    Raises:
        RecipeError: A name is none of `KINDS`.
    """
    given = by.split(",") if isinstance(by, str) else by
    names = [name.strip() for text in given for name in str(text).split(",")]
    for name in names:
        if name not in KINDS:
            raise RecipeError(
                f"by names {name!r}; scores are sliced by {listing(KINDS)}{nearest(name, KINDS)}"
            )
    return tuple(dict.fromkeys(names))


def length_of(words: int) -> str:
    """The class of a sentence of so many words."""
    for low, high in LENGTHS:
        if high is None or words <= high:
            return f"length {low}-{'' if high is None else high}"
    raise AssertionError(words)


def genre_of(document: str) -> str | None:
    """The genre that a document's id begins with, if it does.

    Small letters between a name in capitals and another underscore (`GUM_academic_art`), or letters
    before a first hyphen (`reviews-122564-0001`).
    """
    found = next((match for one in _GENRES if (match := one.match(document))), None)
    return f"genre {found[1]}" if found else None
