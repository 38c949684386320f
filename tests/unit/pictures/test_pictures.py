"""Pictures of what was learnt: every task is named, numbers are those of the model, text fits."""

import re
import sys
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib import pyplot
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from hiermtl.errors import ModelError, RecipeError
from hiermtl.hierarchy import Hierarchy, Task
from hiermtl.pictures import DRAWINGS, curves, draw, hierarchy, sharing, svg
from hiermtl.pictures.canvas import DARK, HUES, INK, MUTED, PAPER, on
from hiermtl.pictures.flow import BOX, HEAD, Plan
from hiermtl.pretrained import save_model
from hiermtl.sharing import SHARING, describe
from tests.worlds import World, make_world

DEPTHS = {"upos": 1, "ner": 2, "dep": 3}
TOP = dict.fromkeys(DEPTHS, 3)
MANY = ("lemma", "chunk", "entity", "relatedness", "entailment", "coref", "srl", "xpos", "feats")


def told(scheme: str, *, depths: dict[str, int] = DEPTHS, **options: Any) -> dict[str, Any]:
    given = TOP if scheme == "hard" else depths
    return describe(world_of(scheme, depths=given, **options).model.sharing)


def world_of(scheme: str, *, depths: dict[str, int] = DEPTHS, **options: Any) -> World:
    return make_world("bilstm", {"name": scheme, **options}, depths=depths)


def texts(figure: Figure) -> list[tuple[Text, Bbox]]:
    """Every text of a figure, with where it lies when the figure is drawn."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    found = figure.findobj(lambda artist: isinstance(artist, Text) and artist.get_visible())
    said = [text for text in found if isinstance(text, Text) and text.get_text().strip()]
    # Axes that are off have their texts all the same.
    hidden = {id(t) for axes in figure.axes if not axes.axison for t in axes.findobj(Text)}
    shown = {id(t) for axes in figure.axes for t in axes.texts}
    return [
        (text, text.get_window_extent(canvas.get_renderer()))
        for text in said
        if id(text) not in hidden or id(text) in shown
    ]


def check_fit(figure: Figure) -> None:
    """No text reaches out of the picture or into another one."""
    found = texts(figure)
    whole = figure.bbox
    for text, box in found:
        inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= whole.x1 and box.y1 <= whole.y1
        assert inside, f"{text} at {box} is outside of {whole}"
    # Boxes around slanted texts say nothing of the texts.
    straight = [(text, box) for text, box in found if text.get_rotation() in (0, 90)]
    for (one, left), (other, right) in combinations(straight, 2):
        common = Bbox.intersection(left, right)
        area = 0 if common is None else common.width * common.height
        assert area < 2, f"{one} at {left} and {other} at {right} overlap"


def check_names_and_fit(found: dict[str, Any], tasks: Iterable[str]) -> None:
    figures = [draw(**found)]
    if found["scheme"] in DRAWINGS:
        figures.append(hierarchy(found["scheme"], structure=found["structure"]))
    for figure in figures:
        check_fit(figure)
        said = " ".join(text.get_text() for text, _ in texts(figure))
        assert all(re.search(rf"\b{name}\b", said) for name in (found["scheme"], *tasks))


@pytest.mark.parametrize("scheme", SHARING)
def test_every_task_is_named_and_every_text_fits(scheme: str) -> None:
    check_names_and_fit(told(scheme), DEPTHS)


@pytest.mark.parametrize("scheme", SHARING)
@pytest.mark.parametrize("tasks", [MANY[:1], MANY])
def test_one_task_and_many_fit_too(scheme: str, tasks: tuple[str, ...]) -> None:
    depths = [4] * len(tasks) if scheme == "hard" else np.linspace(1, 4, len(tasks)).astype(int)
    own = Hierarchy(Task(name, int(depth)) for name, depth in zip(tasks, depths, strict=True))
    made = SHARING[scheme](own, [8] * 5, labels=dict.fromkeys(tasks, 4))
    check_names_and_fit(describe(made), tasks)


@pytest.mark.parametrize("name", ["a$x$b", r"$\frac$"])
def test_dollars_in_a_name_are_no_formula(name: str) -> None:
    """`$x$` would be drawn as an italic x, and a formula that is none would be an error."""
    for scheme in SHARING:
        tasks = (name, "upos")
        made = SHARING[scheme](Hierarchy(Task(t, 2) for t in tasks), [8] * 3, labels={"upos": 4})
        assert f">{name}" in svg(hierarchy(scheme, structure=describe(made)["structure"]))
        assert f">{name}" in svg(draw(**describe(made)))
    assert f">{name}: depth 12<" in svg(curves(probe_rows(name), {name: 12}))


def test_a_sluice_network_that_mixes_nothing_shows_its_hierarchy() -> None:
    own = Hierarchy([Task("upos", 2)])
    made = SHARING["sluice"](own, [8] * 3, labels={"upos": 4}, betas="off")
    found = describe(made)
    assert found["learnt"] == {}
    shown = svg(hierarchy("sluice", structure=found["structure"]))
    assert svg(draw(**found)) == shown


def test_a_scheme_without_a_drawing_shows_its_hierarchy() -> None:
    found = told("low_supervision")
    figure = draw("newcomer", learnt={"strength": 3.0}, structure=found["structure"])
    assert svg(figure) == svg(hierarchy("newcomer", structure=found["structure"]))


def test_drawings_are_of_schemes_that_learn() -> None:
    learning = {scheme for scheme in SHARING if any(told(scheme)["learnt"].values())}
    assert set(DRAWINGS) == learning


def test_what_was_learnt_is_drawn_in_short_and_whole() -> None:
    world = world_of("cross_stitch")
    scheme, short = world.model.sharing, told("cross_stitch")
    whole = draw("cross_stitch", learnt=scheme.learnt(), structure=short["structure"])
    said = [text.get_text() for text, _ in texts(whole)]
    assert said == [text.get_text() for text, _ in texts(draw(**short))]
    alpha = np.array(scheme.learnt()["alpha"]["2"]["values"])
    assert {f"{value:.2f}" for value in alpha.flat} <= set(said)
    with torch.no_grad():
        scheme.get_parameter("alpha.2")[0, 1] += 1
    assert said != [text.get_text() for text, _ in texts(sharing(world.model))]


def test_shares_of_channels_are_drawn_by_mean_and_spread() -> None:
    world = world_of("cross_stitch", per="channel")
    learnt = world.model.sharing.learnt()
    channels = np.array(learnt["alpha"]["1"]["values"])
    text = svg(sharing(world.model))
    assert f"{channels[0, 0].mean():.2f}" in text
    assert f"±{channels[0, 0].std():.2f}" in text
    means = {"mean": channels.mean(-1).tolist(), "spread": channels.std(-1).tolist()}
    own = {"alpha": {"1": {**learnt["alpha"]["1"], "values": means}}}
    one = {"alpha": {"1": learnt["alpha"]["1"]}}
    structure = told("cross_stitch")["structure"]
    first, second = (
        draw("cross_stitch", learnt=given, structure=structure) for given in (own, one)
    )
    assert svg(first) == svg(second)


def test_pairs_that_share_nothing_are_hatched_and_counted() -> None:
    world = world_of("sluice")
    assert "pairs are 0" not in svg(sharing(world.model))
    with torch.no_grad():
        world.model.sharing.get_parameter("alpha.2")[0:2, 2:4] = 0
    text = svg(sharing(world.model))
    assert "1 of 6 pairs are 0" in text
    assert "<pattern" in text
    assert text.count("what heads read") == 2
    assert svg(sharing(world_of("sluice", betas="off").model)).count("what heads read") == 0


def test_the_depth_that_was_kept_is_outlined_in_the_model_that_is_left() -> None:
    world = world_of("learned", depths=TOP)
    assert "outlined" not in svg(sharing(world.model))
    world.model.sharing.propose(world.model.stack, 0, done=1.0)
    world.model.restructured()
    simple = world.model.simplified()
    assert simple.config.sharing["name"] == "low_supervision"
    figure = sharing(simple)
    assert "outlined" in svg(figure)
    kept = {p.get_y() + 0.5: p.get_x() + 0.5 for p in figure.axes[0].patches}
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert {name: kept[place] for place, name in enumerate(names)} == simple.config.learnt[
        "learnt"
    ]["depths"]


def test_affinities_that_are_not_known_are_left_out() -> None:
    assert "affinity" not in svg(draw(**told("adaptive")))
    pairs = {"upos": {"ner": 0.5, "dep": 0.93}, "ner": {"dep": 0.4}}
    found = told("adaptive", affinity=pairs)
    assert ">0.93<" in svg(draw(**found))
    found["learnt"]["affinities"][0][1] = None
    assert svg(draw(**found)).count(">0.50<") == 1
    check_fit(draw(**found))


def test_a_folder_is_drawn_as_its_model_is(tmp_path: Path) -> None:
    world = world_of("relationship", depths=TOP)
    world.model.float()
    save_model(world.model, world.tokenizer, tmp_path / "model")
    assert svg(sharing(tmp_path / "model")) == svg(sharing(world.model))
    with pytest.raises(ModelError, match="nowhere"):
        sharing(tmp_path / "nowhere")


def test_the_same_picture_has_the_same_bytes_and_no_date() -> None:
    found = told("sluice")
    one, other = (svg(draw(**found)) for _ in range(2))
    assert one == other
    assert "<dc:date>" not in one
    assert "Matplotlib v" not in one
    assert one == svg(figure := draw(**found)) == svg(figure)


def test_structure_that_changes_changes_the_picture() -> None:
    found = [told("hmtl", shortcuts=given)["structure"] for given in (True, False)]
    assert svg(hierarchy("hmtl", structure=found[0])) != svg(hierarchy("hmtl", structure=found[1]))


@pytest.mark.parametrize("depths", [TOP, DEPTHS, {"upos": 2}])
def test_layers_under_a_prior_are_equally_wide_and_all_in_its_frame(depths: dict[str, int]) -> None:
    """Between the block that a task is read at and its head, in the task's colour."""
    found = told("relationship", depths=depths)
    drawn = hierarchy("relationship", structure=found["structure"])
    (axes,) = drawn.axes
    plan = Plan(found["structure"])
    assert plan.layer.keys() == depths.keys()
    layers = [p for p in axes.patches if isinstance(p, Rectangle)]
    layers = [p for p in layers if p.get_y() + BOX / 2 in {y for _, y in plan.layer.values()}]
    assert len(layers) == len(depths)
    assert {to_hex(p.get_facecolor()) for p in layers} == set(plan.hue.values())
    assert len({round(p.get_width(), 9) for p in layers}) == 1
    boxes = (p for p in axes.patches if isinstance(p, FancyBboxPatch))
    (frame,) = (p for p in boxes if to_rgba(p.get_facecolor())[3] == 0)
    inside = frame.get_path().get_extents()
    assert all(inside.x0 < p.get_x() and p.get_x() + p.get_width() < inside.x1 for p in layers)
    assert all(inside.y1 < plan.head[task][1] - HEAD / 2 for task in depths)
    read = {task: plan.box[max(plan.reads[task])[0]] for task in depths}
    assert all(read[task] + BOX / 2 < inside.y0 for task in depths)
    said = "units \N{MULTIPLICATION SIGN} tasks"
    if depths is not DEPTHS:
        said = f"features \N{MULTIPLICATION SIGN} {said}"
    assert f"a prior over {said}" in svg(drawn)


def test_without_a_prior_there_is_no_frame() -> None:
    found = told("relationship")["structure"]
    plain = told("low_supervision")["structure"]
    assert {part: found[part] for part in plain if part != "prior"} == {
        part: plain[part] for part in plain if part != "prior"
    }
    without = svg(hierarchy("relationship", structure={**found, "prior": []}))
    assert without == svg(hierarchy("relationship", structure=plain))
    assert without != svg(hierarchy("relationship", structure=found))
    assert "frame" not in without


def test_a_result_from_before_ties_were_told_is_drawn() -> None:
    found = told("low_supervision")
    del found["structure"]["ties"], found["structure"]["prior"]
    assert svg(draw(**found)) == svg(draw(**told("low_supervision")))


def test_settings_of_a_user_are_left_alone() -> None:
    found = told("learned")
    plain = svg(draw(**found))
    with matplotlib.rc_context({"font.size": 30.0, "text.color": "red", "svg.fonttype": "path"}):
        before = dict(matplotlib.rcParams)
        assert svg(draw(**found)) == plain
        assert dict(matplotlib.rcParams) == before
    assert not pyplot.get_fignums()


def test_without_matplotlib_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    found = told("learned")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(RecipeError, match=r"need matplotlib .*pip install 'hiermtl\[pictures\]'"):
        draw(**found)


def contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG 2, 1 to 21."""

    def light(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


def test_text_is_read_on_light_and_dark_pages_and_on_every_colour() -> None:
    for text in (INK, MUTED):
        assert contrast(text, PAPER) > 4.5
        assert contrast(DARK[text], DARK[PAPER]) > 4.5
    for hue in HUES:
        assert contrast(hue, on(hue)) > 4.5
    text = svg(draw(**told("learned")))
    for light, dark in DARK.items():
        assert f'[style*="fill: {light}"]{{fill:{dark} !important}}' in text
        assert f"fill: {light}" in text.split("</style>", 1)[1] or light not in (INK, PAPER)


def probe_rows(*tasks: str) -> list[dict[str, Any]]:
    told = {"metric": "accuracy", "spread": 1.5, "control": 50.0}
    return [
        {"task": task, "depth": depth, "score": 40.0 + depth, **told}
        for task in tasks
        for depth in range(13)
    ]


def test_curves_of_probes_of_one_seed_have_no_band() -> None:
    rows = [{**row, "spread": None} for row in probe_rows("upos")]
    assert len(curves(rows, {}).axes[0].collections) == 0
    assert len(curves(probe_rows("upos"), {}).axes[0].collections) == 1


@pytest.mark.parametrize("tasks", [MANY[:1], MANY[:2], MANY])
def test_curves_of_probes_name_every_task_and_its_depth(tasks: tuple[str, ...]) -> None:
    figure = curves(probe_rows(*tasks), {tasks[0]: 12})
    check_fit(figure)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == [f"{tasks[0]}: depth 12", *tasks[1:]]
    line, control, ring = figure.axes[0].lines
    assert list(line.get_ydata()) == [40.0 + depth for depth in range(13)]
    assert set(control.get_ydata()) == {50.0}
    assert (list(ring.get_xdata()), list(ring.get_ydata())) == ([12], [52.0])
    assert svg(figure) == svg(curves(probe_rows(*tasks), {tasks[0]: 12}))
