"""The picture of a hierarchy: copies of blocks from bottom to top, what flows, where heads read.

Drawn from the structure alone that `hiermtl.sharing.describe` tells, so that it shows what a model
computes. A box is a copy of a block, named by the tasks it is there for; a rounded one is a head.
Layers of the tasks' own, where a prior is over them, stand side by side above all blocks.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import hypot
from typing import TYPE_CHECKING, Any

from hiermtl.pictures.canvas import INK, MUTED, PAPER, blank, hues, on

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

State = tuple[int, str]
"""A depth and a branch."""

INCHES = 0.62
"""Of a unit of the drawing."""

LABELS = 1.8
"""What names of depths want to the left."""

LETTER, BOX, HEAD, GAP, ROW = 0.125, 0.5, 0.3, 0.3, 1.0
"""Width of a letter, heights of boxes and heads, distance of columns, least height of a row."""

FRAME = 0.18
"""How far a frame is from the layers in it."""

ARROW = 0.12
"""The length of an arrow's head."""

COMMON = "#afb8c1"
"""The colour of a block that several tasks share."""

WAY = 0.17
"""How far below its middle what enters a block from the side does so; heads are above that."""


def flow(title: str, structure: Mapping[str, Any]) -> "Figure":
    """The hierarchy as a figure of its own."""
    plan = Plan(structure)
    figure = blank(*room(plan), title)
    paint(figure.add_subplot(), plan)
    return figure


def room(plan: "Plan") -> tuple[float, float]:
    """The inches that a hierarchy wants."""
    width = INCHES * (plan.width + LABELS + 0.2)
    return max(width, 3.6), plan.height * INCHES + 0.2 * (len(plan.legend()) + 1.5)


@dataclass(slots=True)
class Segment:
    """Copies over each other without a fork between, and what forks above the last.

    `low` to `high` is what they span from left to right, `heads` where those they are read by stand
    beside them, and `end` where what is right of it may begin.
    """

    states: list[State]
    above: list["Segment"]
    low: float = 0.0
    high: float = 0.0
    heads: float = 0.0
    end: float = 0.0


@dataclass(slots=True)
class Plan:
    """Where everything is drawn, worked out from a structure."""

    structure: Mapping[str, Any]
    reads: dict[str, list[State]] = field(init=False)
    parents: dict[State, State | None] = field(init=False)
    names: dict[State, str] = field(init=False)
    hue: dict[str, str] = field(init=False)
    segments: list[Segment] = field(init=False)
    of: dict[State, Segment] = field(init=False)
    box: list[float] = field(init=False)
    out: list[float] = field(init=False)
    head: dict[str, tuple[float, float]] = field(init=False)
    layer: dict[str, tuple[float, float]] = field(init=False)
    width: float = 0.0
    height: float = 0.0

    def __post_init__(self) -> None:
        """Works everything out, from left to right and from bottom to top."""
        self.reads = {
            task: [(depth, branch) for depth, branch in states]
            for task, states in self.structure["reads"].items()
        }
        self.hue = hues(self.reads)
        self.parents = {
            (depth, branch): None if parent is None else (depth - 1, parent)
            for depth, own in enumerate(self.structure["branches"])
            for branch, parent in own.items()
        }
        self.names = self._names()
        self.layer = {}
        self.segments = [self._segment(state) for state in self.parents if not state[0]]
        self.of = {}
        at = 0.0
        for segment in self.segments:
            at = self._place(segment, at) + GAP
        self.width = at - GAP + 0.22 * len(self.fed)
        self._stack()

    @property
    def fed(self) -> list[str]:
        """The tasks whose predictions enter blocks, the highest first."""
        fed = {task for tasks in self.structure["feeds"].values() for task in tasks}
        return [task for task in reversed(self.reads) if task in fed]

    def span(self, state: State) -> tuple[float, float]:
        """From where to where a copy is drawn."""
        segment = self.of[state]
        return segment.low, segment.high

    def middle(self, state: State) -> float:
        """The middle of a copy from left to right."""
        return sum(self.span(state)) / 2

    def mixed(self, state: State) -> list[State]:
        """What is mixed into a copy's states after the blocks of its depth."""
        depth, branch = state
        for receivers, senders in self.structure["mixes"].get(str(depth), ()):
            if branch in receivers:
                return [(depth, sender) for sender in senders]
        return []

    @property
    def prior(self) -> Sequence[str]:
        """The axes of the prior over layers of the tasks' own, if they have some."""
        return self.structure.get("prior", ())

    @property
    def wide_layer(self) -> float:
        """The width of each task's layer."""
        return max(1.0, *map(wide, self.reads))

    def seen(self) -> Iterator[tuple[State, State]]:
        """Each copy that reads states further down, and those states."""
        for depth, states in self.structure["sees"].items():
            for state in self.parents:
                if state[0] == int(depth):
                    yield from ((state, (at, branch)) for at, branch in states)

    def legend(self) -> list[str]:
        """What the signs mean that occur."""
        said = ["box: a copy of a block; rounded: a task's head"]
        if self.prior:
            axes = " \N{MULTIPLICATION SIGN} ".join(f"{axis}s" for axis in self.prior)
            said.append(f"frame: a prior over {axes}")
        if self.structure["mixes"]:
            said.append("circle: a learned mix of streams")
        if any(len(states) > 1 for states in self.reads.values()):
            said.append("dots: the depths that a head reads a mix of")
        if self.structure.get("ties"):
            said.append("zigzag: weights held to each other")
        if self.structure["sees"]:
            said.append("dashed: states that are read again")
        if self.structure["feeds"]:
            said.append("dotted: labels that a head predicts")
        return said

    def _names(self) -> dict[State, str]:
        """Each copy by the tasks it is there for; `shared` where these are all."""
        users: dict[State, list[str]] = {state: [] for state in self.parents}
        for task, states in self.reads.items():
            for start in states:
                state: State | None = start
                while state is not None and task not in users[state]:
                    users[state].append(task)
                    state = self.parents[state]
        found = {}
        for state, tasks in users.items():
            some = " + ".join(tasks) if len(tasks) < 4 else f"{len(tasks)} tasks"
            everyone = len(tasks) == len(self.reads) > 1
            found[state] = "shared" if everyone else some or state[1]
        return found

    def _segment(self, state: State) -> Segment:
        states = [state]
        while len(above := [s for s, parent in self.parents.items() if parent == states[-1]]) == 1:
            states += above
        return Segment(states, [self._segment(s) for s in above])

    def _beside(self, segment: Segment) -> tuple[list[str], list[str]]:
        """The heads beside a segment: those that read one state of it, and those that mix some."""
        tasks = [task for task, states in self.reads.items() if max(states) in segment.states]
        single = [task for task in tasks if len(self.reads[task]) == 1]
        return single, [task for task in tasks if task not in single]

    def _place(self, segment: Segment, low: float) -> float:
        """Gives a segment and what is above it their places, from `low` on; returns the end."""
        if any(state in segment.states for state, _ in self.seen()):
            low += 0.35
        low += FRAME if self.prior else 0
        at = low
        for place, above in enumerate(segment.above):
            at = self._place(above, at + (GAP if place else 0))
        label = max(len(self.names[state]) for state in segment.states)
        segment.low, segment.high = low, max(at, low + max(1.3, LETTER * label + 0.3))
        self.of.update(dict.fromkeys(segment.states, segment))
        if self.prior:
            return self._place_layers(segment)
        segment.heads = segment.end = segment.high + GAP
        single, mixing = self._beside(segment)
        for tasks in ([single] if single else []) + [[task] for task in mixing]:
            segment.end += max(map(wide, tasks)) + 0.15
        segment.end -= 0.15 if single or mixing else GAP
        return segment.end

    def _place_layers(self, segment: Segment) -> float:
        """Layers of tasks that are read at the top above it, those of others to its right.

        The deeper the task, the nearer. Heights wait.
        """
        tasks = [task for task, states in self.reads.items() if max(states) in segment.states]
        tasks.sort(key=lambda task: max(self.reads[task]), reverse=True)
        above = [t for t in tasks if max(self.reads[t]) == segment.states[-1] and not segment.above]
        step = self.wide_layer + GAP
        over = step * len(above) - GAP
        segment.high = max(segment.high, segment.low + over)
        at = (segment.low + segment.high - over + self.wide_layer) / 2
        for task in above:
            self.layer[task], at = (at, 0.0), at + step
        segment.end, at = segment.high, segment.high + GAP + self.wide_layer / 2
        for task in tasks[len(above) :]:
            self.layer[task], at = (at, 0.0), at + step
            segment.end = self.layer[task][0] + self.wide_layer / 2
        segment.heads = segment.end = segment.end + FRAME
        return segment.end

    def _stack(self) -> None:
        """Heights of rows and heads."""
        self.box, self.out, self.head = [], [], {}
        top = BOX / 2
        for depth in range(len(self.structure["branches"])):
            mixes = str(depth) in self.structure["mixes"]
            self.box.append(top)
            self.out.append(top + 1.0 if mixes else top)
            most = 0
            for segment in {id(s): s for s in self.of.values()}.values():
                single, mixing = ([], []) if self.prior else self._beside(segment)
                here = [task for task in single if self.reads[task][0][0] == depth]
                widest = max(map(wide, single), default=0.0)
                for place, task in enumerate(here):
                    middle = segment.heads + widest / 2
                    self.head[task] = (middle, self.out[-1] + 0.08 + place * (HEAD + 0.06))
                at = segment.heads + (widest + 0.15 if single else 0)
                for task in mixing:
                    if max(self.reads[task])[0] == depth:
                        self.head[task] = (at + wide(task) / 2, self.out[-1] + BOX)
                    at += wide(task) + 0.15
                most = max(most, len(here), 2 if mixing else 0)
            top = self.out[-1] + max(ROW, (most - 1) * (HEAD + 0.06) + 0.75)
        if self.prior:
            middle = self.out[-1] + ROW + FRAME
            self.layer = {task: (x, middle) for task, (x, _) in self.layer.items()}
            over = middle + BOX / 2 + FRAME + 0.25 + HEAD / 2
            self.head = {task: (x, over) for task, (x, _) in self.layer.items()}
        highest = max([self.box[-1] + BOX / 2, *(y + HEAD / 2 for _, y in self.head.values())])
        self.height = max(highest, self.out[-1] + 0.2)


def wide(task: str) -> float:
    """The width of a head."""
    return LETTER * len(task) + 0.3


def paint(axes: "Axes", plan: Plan) -> None:
    """Draws a hierarchy into axes of its own."""
    spare = room(plan)[0] / INCHES - plan.width - LABELS
    axes.set_xlim(-LABELS - spare / 2, plan.width + spare / 2)
    axes.set_ylim(-0.1, plan.height + 0.1)
    axes.set_aspect("equal")
    axes.set_axis_off()
    for depth, y in enumerate(plan.box):
        said = f"depth {depth}" if depth else "embeddings"
        axes.text(-0.45, y, said, ha="right", va="center", fontsize=8.5, color=MUTED)
    _ties(axes, plan)
    if plan.layer:
        _layers(axes, plan)
    for state, parent in plan.parents.items():
        if parent is not None:
            # From the middle of a mix; straight up from a copy that spans what is above it.
            mixes = bool(plan.mixed(parent))
            x = plan.middle(state)
            start = (plan.middle(parent), plan.out[parent[0]] + 0.13) if mixes else None
            start = start or (x, plan.box[parent[0]] + BOX / 2)
            _line(axes, [start, (x, plan.box[state[0]] - BOX / 2)], arrow=True)
    for state in plan.parents:
        _box(axes, plan, state)
        _mix(axes, plan, state)
    _seen(axes, plan)
    for task in plan.reads:
        _head(axes, plan, task)
    _fed(axes, plan)
    # They are where they are: what is laid out is the axes, with the legend below.
    for artist in (*axes.lines, *axes.patches, *axes.texts):
        artist.set_in_layout(False)
    axes.annotate(
        "\n".join(plan.legend()),
        xy=(0.5, 0),
        xycoords="axes fraction",
        xytext=(0, -4),
        textcoords="offset points",
        ha="center",
        va="top",
        fontsize=8,
        color=MUTED,
        linespacing=1.4,
    )


def _line(
    axes: "Axes",
    points: Sequence[tuple[float, float]],
    *,
    arrow: bool = False,
    colour: str = MUTED,
    style: str = "-",
    order: float = 1,
) -> None:
    """Along points, the last part an arrow if asked."""
    from matplotlib.patches import Polygon

    x, y = zip(*points, strict=True)
    axes.plot(x, y, color=colour, linewidth=1.1, linestyle=style, zorder=order)
    if arrow:
        way = (x[-1] - x[-2], y[-1] - y[-2])
        length = hypot(*way)
        along = (ARROW * way[0] / length, ARROW * way[1] / length)
        foot = (x[-1] - along[0], y[-1] - along[1])
        sides = [(foot[0] + s * along[1] / 2, foot[1] - s * along[0] / 2) for s in (1, -1)]
        axes.add_patch(Polygon([points[-1], *sides], color=colour, linewidth=0, zorder=order))


def _box(axes: "Axes", plan: Plan, state: State) -> None:
    """A copy of a block, in the colour of the one task it is there for."""
    from matplotlib.patches import Rectangle

    (low, high), y, name = plan.span(state), plan.box[state[0]], plan.names[state]
    colour = plan.hue.get(name, COMMON)
    corner = (low, y - BOX / 2)
    axes.add_patch(Rectangle(corner, high - low, BOX, facecolor=colour, linewidth=0, zorder=2))
    middle = (low + high) / 2
    # What passes goes behind the name.
    behind = {"facecolor": colour, "linewidth": 0, "pad": 1.5}
    said = axes.text(middle, y, name, ha="center", va="center", color=on(colour), zorder=3)
    said.set_bbox(behind)


def _mix(axes: "Axes", plan: Plan, state: State) -> None:
    """Lines from all that is mixed to a circle above the copy."""
    senders = plan.mixed(state)
    if not senders:
        return
    x, y = plan.middle(state), plan.out[state[0]]
    for sender in senders:
        colour = plan.hue.get(plan.names[sender], MUTED)
        _line(axes, [(plan.middle(sender), plan.box[state[0]] + BOX / 2), (x, y)], colour=colour)
    axes.plot([x], [y], "o", markersize=8, color=PAPER, markeredgecolor=INK, zorder=3)


def _head(axes: "Axes", plan: Plan, task: str) -> None:
    """A head, and lines to what it reads."""
    from matplotlib.patches import FancyBboxPatch

    (x, y), states, width = plan.head[task], plan.reads[task], wide(task)
    if task in plan.layer:
        foot = plan.layer[task][1] + BOX / 2
        _line(axes, [(x, foot), (x, y - HEAD / 2)])
        states = []
    for state in states:
        low, high = plan.span(state)
        mixed = bool(plan.mixed(state))
        start = (plan.middle(state) + 0.12, plan.out[state[0]]) if mixed else (high, y)
        if len(states) > 1:
            # A lane of its own, with a dot at each depth.
            level = plan.out[state[0]]
            inside = low <= x <= high
            level += BOX / 2 if inside else 0
            start = (start[0], level)
            _line(axes, [(x, level), (x, y - HEAD / 2)], colour=plan.hue[task])
            if not inside:
                _line(axes, [start, (x, level)], colour=MUTED)
            axes.plot([x], [level], "o", markersize=4, color=plan.hue[task], zorder=3)
            continue
        edge, bend = x - width / 2, (max(start[0], high) + plan.of[state].heads) / 2
        if mixed or y - HEAD / 2 < plan.out[state[0]] + BOX / 2:
            _line(axes, [start, (bend, start[1]), (bend, y), (edge, y)])
        else:
            first = (high, plan.out[state[0]] + 0.08)
            _line(axes, [first, (bend, first[1]), (bend, y), (edge, y)])
    axes.add_patch(
        FancyBboxPatch(
            (x - width / 2 + 0.1, y - HEAD / 2 + 0.1),
            width - 0.2,
            HEAD - 0.2,
            boxstyle="round,pad=0.1,rounding_size=0.14",
            facecolor=PAPER,
            edgecolor=plan.hue[task],
            linewidth=1.6,
            zorder=3,
        )
    )
    axes.text(x, y - 0.01, task, ha="center", va="center", zorder=4)


def _layers(axes: "Axes", plan: Plan) -> None:
    """A layer for each task, what it reads, and the frame of the prior that is over all of them."""
    from matplotlib.patches import FancyBboxPatch, Rectangle

    half = plan.wide_layer / 2
    (left, y), (right, _) = min(plan.layer.values()), max(plan.layer.values())
    axes.text(-0.45, y, "layers", ha="right", va="center", fontsize=8.5, color=MUTED)
    foot, inner = y - BOX / 2, FRAME - 0.1
    axes.add_patch(
        FancyBboxPatch(
            (left - half - inner, foot - inner),
            right - left + 2 * (half + inner),
            BOX + 2 * inner,
            boxstyle="round,pad=0.1,rounding_size=0.14",
            facecolor="none",
            edgecolor=MUTED,
            linewidth=1.1,
            zorder=1,
        )
    )
    _line(axes, [(left, y), (right, y)])
    for task, (x, _) in plan.layer.items():
        for state in plan.reads[task]:
            (low, high), level = plan.span(state), plan.box[state[0]]
            start = [(x, level + BOX / 2)] if low <= x <= high else [(high, level), (x, level)]
            _line(axes, [*start, (x, foot)], arrow=True)
        colour = plan.hue[task]
        axes.add_patch(
            Rectangle((x - half, foot), 2 * half, BOX, facecolor=colour, linewidth=0, zorder=2)
        )
        axes.text(x, y, task, ha="center", va="center", color=on(colour), zorder=3)


def _ties(axes: "Axes", plan: Plan) -> None:
    """Zigzags between copies whose weights are held together."""
    for depth, groups in plan.structure.get("ties", {}).items():
        for group in groups:
            for one, other in pairwise((int(depth), branch) for branch in group):
                left, right = plan.span(one)[1], plan.span(other)[0]
                y, steps = plan.box[one[0]] - WAY, max(4, round((right - left) / 0.09))
                points = [
                    (
                        left + (right - left) * n / steps,
                        y + (0.05 * (-1) ** n if 0 < n < steps else 0),
                    )
                    for n in range(steps + 1)
                ]
                _line(axes, points)


def _seen(axes: "Axes", plan: Plan) -> None:
    """Dashed lines from states further down to the blocks that read them again."""
    for state, source in plan.seen():
        (left, _), (low, high) = plan.span(state), plan.span(source)
        x, y, start = left - 0.2, plan.box[state[0]] - WAY, plan.box[source[0]]
        first = [(x, start + BOX / 2)] if low <= x <= high else [(low, start), (x, start)]
        _line(axes, [*first, (x, y)], style="--", colour=INK, order=2.5)
        _line(axes, [(x, y), (left, y)], arrow=True, colour=INK, order=2.5)


def _fed(axes: "Axes", plan: Plan) -> None:
    """Dotted lines from heads to the blocks that read what they predict."""
    end = max(segment.end for segment in plan.segments)
    for place, task in enumerate(plan.fed):
        (x, y), lane = plan.head[task], end + 0.22 * (place + 1)
        colour = plan.hue[task]
        for depth, tasks in plan.structure["feeds"].items():
            if task not in tasks:
                continue
            for state in plan.parents:
                if state[0] == int(depth):
                    entry, right = plan.box[state[0]] - WAY, plan.span(state)[1]
                    path = [(x + wide(task) / 2, y), (lane, y), (lane, entry)]
                    _line(axes, path, style=":", colour=colour)
                    _line(axes, [(lane, entry), (right, entry)], style=":", colour=colour)
                    _line(axes, [(right + 0.1, entry), (right, entry)], arrow=True, colour=colour)
