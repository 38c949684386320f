"""The sections of a page, one function each; a section that has nothing to show says why."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import groupby
from shlex import quote
from typing import Any

import yaml

from hiermtl.errors import listing
from hiermtl.evaluation.compare_table import Table, table_notes, text_columns, titled_tables
from hiermtl.evaluation.scores import ScoreRow
from hiermtl.evaluation.table import shown_score
from hiermtl.reporting.charts import forest, probe_picture
from hiermtl.reporting.curves import Series, curve_picture
from hiermtl.reporting.errors_shown import confusion, worst
from hiermtl.reporting.ladder import ladder
from hiermtl.reporting.markup import Content, Markup, table, tag
from hiermtl.reporting.material import Material
from hiermtl.reporting.probes_shown import by_depth, proposed
from hiermtl.reporting.shapes import Picture, inline


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page: its anchor, its title, and what fills it."""

    name: str
    title: str
    fill: Callable[[Material], Content]


def _said(words: Content, *, quiet: bool = False) -> Markup:
    """A paragraph; what stands between back quotes is code."""
    if isinstance(words, str) and not isinstance(words, Markup):
        parts = words.split("`")
        whole = len(parts) % 2 == 1
        words = [tag("code", p) if at % 2 else p for at, p in enumerate(parts)] if whole else words
    return tag("p", words, class_="muted" if quiet else None)


def _figure(picture: Picture, caption: Content = None) -> Markup:
    return tag("figure", inline(picture), tag("figcaption", caption) if caption else None)


def _hierarchy(material: Material) -> Content:
    if not material.rungs:
        return _said("The folder does not say which tasks there are.")
    structure = material.described.get("structure", {})
    top = material.facts.blocks
    rows = [
        (
            rung.level if rung.level is not None else "",
            rung.depth,
            rung.task + (" (auxiliary)" if rung.auxiliary else ""),
            "" if rung.score is None else f"{rung.score.metric}\u00a0{shown_score(rung.score)}",
            "" if rung.blocks is None else rung.blocks,
            "" if rung.parameters is None else f"{rung.parameters / 1e6:,.2f}\u00a0M",
            "" if rung.speed is None else f"{rung.speed:,.0f}",
            rung.head,
            "" if rung.labels is None else f"{rung.labels:,}",
        )
        for rung in reversed(material.rungs)
    ]
    head = (
        *("level", "depth", "task", "score on dev", "blocks run", "parameters", "words/s", "head"),
        "labels",
    )
    shown = [place for place, _ in enumerate(head) if any(row[place] != "" for row in rows)]
    listed = table(
        [head[place] for place in shown],
        [[row[place] for place in shown] for row in rows],
        words=[
            at for at, place in enumerate(shown) if head[place] in ("task", "score on dev", "head")
        ],
    )
    said = "Depth is the block a task is read at, level the rank of its depth."
    if any(rung.blocks is not None for rung in material.rungs):
        said += " Blocks and parameters are those that run when the task is asked alone."
    if material.facts.finished and all(rung.speed is None for rung in material.rungs):
        said += " Speed was not measured; `--speed` measures it."
    caption = "Bars: the score, from 0 to 100, or of a correlation from 0 to 1."
    if top is not None:
        caption += f" The encoder has {top} blocks."
    picture = _figure(ladder(material.facts, material.rungs, structure), caption)
    return tag("div", picture, tag("div", listed, _said(said, quiet=True)), class_="split")


def _curves(material: Material) -> Content:
    log = material.facts.log
    if log is None:
        return _said("There is no log of training in the folder.")
    found: list[Content] = []
    kept = "The dashed line is the step whose weights were kept, the number the score there."
    parts: list[tuple[str, list[Series], str]] = [
        ("Scores on dev", log.metrics, kept if log.best else ""),
        (
            "Loss in training",
            log.losses,
            "The mean over what was trained on since the entry before; the number is the last.",
        ),
    ]
    if log.penalties:
        parts.append(
            (
                "Terms on weights in training",
                log.penalties,
                "What the sharing scheme adds to the loss, by its name for it; as losses are told.",
            )
        )
    for title, curves, caption in parts:
        if not curves:
            found.append(_said(f"{title}: the log has none."))
            continue
        best = log.best if curves is log.metrics else {}
        pictures = [
            _figure(curve_picture(curve, best=best.get(curve.name), end=log.last or 0))
            for curve in curves
        ]
        found += [
            tag("h3", title),
            tag("div", pictures, class_="panels"),
            _said(caption, quiet=True) if caption else None,
        ]
    if log.skipped:
        steps = ", ".join(map(str, log.skipped[:20])) + (", ..." if len(log.skipped) > 20 else "")
        found.append(_said(f"Left out, since their gradient was no number: steps {steps}."))
    return found


def _scores(material: Material) -> Content:
    rows = material.facts.rows
    if not rows:
        return _said("The folder holds no scores.")
    found: list[Content] = []
    if not material.facts.finished:
        found.append(_said("These are the last scores of a run that is not finished."))
    for split, own in sorted(rows.items()):
        found.append(tag("h3", f"Split {split}"))
        for origin, group in groupby(sorted(own, key=_origin), key=_origin):
            found.append(_score_table(list(group)))
            data, dtype, seed = origin
            said = "unknown" if seed == "None" else seed
            found.append(_said(f"Data {data}; dtype {dtype}; seed {said}.", quiet=True))
    if "test" not in rows and material.facts.finished:
        asked = tag("code", f"hiermtl evaluate {quote(material.facts.asked)} --split test")
        found.append(
            _said(["The test split was not scored for this page: ", asked, "."], quiet=True)
        )
    return found


def _origin(row: ScoreRow) -> tuple[str, str, str]:
    return row.data, row.dtype, str(row.seed)


def _score_table(rows: list[ScoreRow]) -> Markup:
    rows.sort(key=lambda row: (row.level, row.depth, row.task))
    head = ("level", "depth", "task", "metric", "score", "items", "scorer")
    cells = [
        tag(
            "tr",
            [
                tag("td", cell, class_=None if place in (2, 3, 6) else "number")
                for place, cell in enumerate(
                    (
                        row.level,
                        row.depth,
                        row.task,
                        row.metric,
                        shown_score(row),
                        f"{row.items:,}",
                        row.scorer,
                    )
                )
            ],
            class_="main" if not at or rows[at - 1].task != row.task else None,
        )
        for at, row in enumerate(rows)
    ]
    top = tag(
        "tr",
        [
            tag("th", name, class_=None if place in (2, 3, 6) else "number")
            for place, name in enumerate(head)
        ],
    )
    whole = tag("table", tag("thead", top), tag("tbody", cells))
    return tag("div", whole, class_="wide", tabindex="0")


def _comparison(material: Material) -> Content:
    comparison = material.comparison
    if comparison is None:
        return _said(_why(material, "comparison"))
    found: list[Content] = []
    controls = dict.fromkeys((item.size, item.control) for item in comparison.differences)
    drawn = []
    for size, control in controls:
        own = [d for d in comparison.differences if (d.size, d.control) == (size, control)]
        part = "" if size is None else f", {size:,} examples"
        drawn.append(_figure(forest(f"Difference to {control}{part}, in points", own)))
    if drawn:
        said = (
            "Lines: 95 % intervals, from three seeds of both on. Filled: the interval is without "
            "0. Right of the line is better."
        )
        found += [tag("div", drawn, class_="beside"), _said(said, quiet=True)]
    for title, rows in titled_tables(comparison):
        found += [tag("h3", title[:1].upper() + title[1:]), _plain(rows)]
    notes = [tag("li", note) for note in table_notes(comparison)]
    return [*found, tag("ul", notes, class_="muted") if notes else None]


def _plain(rows: Table) -> Markup:
    return table(rows[0], rows[1:], words=text_columns(rows))


def _confusion(material: Material) -> Content:
    if not material.mistakes:
        return _said(_why(material, "confusion"))
    return [confusion(found) for found in material.mistakes]


def _errors(material: Material) -> Content:
    if not material.mistakes:
        return _said(_why(material, "errors"))
    first = _said("Sentences of dev. Test is not looked into.", quiet=True)
    return [first, [worst(found) for found in material.mistakes]]


def _probes(material: Material) -> Content:
    rows = material.facts.probe
    if not rows:
        return _said("No probes were made of this model, or their file is not in its folder.")
    depths = {rung.task: rung.depth for rung in material.rungs}
    tasks = dict.fromkeys(str(row["task"]) for row in rows)
    pictures = [
        _figure(probe_picture(task, [r for r in rows if r["task"] == task], depth=depths.get(task)))
        for task in tasks
    ]
    said = "How well each depth's states tell a task; the dashed line is where the model reads it."
    return [
        tag("div", pictures, class_="panels"),
        _said(said, quiet=True),
        proposed(material.facts.probed) if material.facts.probed else None,
        by_depth(rows),
        [_said(one, quiet=True) for one in material.facts.probe_said],
    ]


def _sharing(material: Material) -> Content:
    described = material.described
    if not described:
        return _said(_why(material, "sharing"))
    scheme = tag("code", described["scheme"])
    learnt = described.get("learnt") or {}
    found: list[Content] = []
    if any(learnt.values()):
        found.append(_said(["What ", scheme, " has learnt of how its tasks share."]))
    else:
        found.append(_said([scheme, " learns nothing of how its tasks share; what it shares is:"]))
    reads = described.get("structure", {}).get("reads", {})
    since = [r.task for r in material.rungs if not r.auxiliary and r.task not in reads]
    if since and material.facts.extends:
        found.append(_said(f"Added when the model was extended, and not in it: {listing(since)}."))
    if material.drawn is not None:
        found.append(tag("figure", Markup(material.drawn)))
    else:
        found.append(_said(_why(material, "drawn"), quiet=True))
    numbers = learnt or described.get("structure", {})
    shown = yaml.safe_dump(_flat(numbers), sort_keys=False, allow_unicode=True, width=100)
    what = "The numbers" if learnt else "The structure"
    block = tag("pre", tag("code", shown), tabindex="0")
    found.append(
        tag("details", tag("summary", what), block, open=None if material.drawn else "open")
    )
    return found


def _flat(given: Any) -> Any:
    """Plain data that YAML can say."""
    if isinstance(given, Mapping):
        return {str(key): _flat(value) for key, value in given.items()}
    if isinstance(given, list | tuple):
        return [_flat(value) for value in given]
    return given if isinstance(given, str | int | float | None) else str(given)


def _recipe(material: Material) -> Content:
    recipe = material.facts.recipe
    if not recipe:
        return _said("The folder does not say by which recipe the model was trained.")
    found: list[Content] = [_said(recipe["description"])] if recipe.get("description") else []
    if material.changed is not None:
        name = tag("code", recipe["name"])
        if material.changed:
            rows = [
                (tag("code", key), repr(ours), repr(theirs))
                for key, (theirs, ours) in material.changed.items()
            ]
            found += [
                _said(["What differs from the shipped recipe ", name, ":"]),
                table(("key", "here", "shipped"), rows, words=(0, 1, 2)),
            ]
        else:
            found.append(_said(["As it is shipped: ", name, "."]))
    corpora = recipe.get("corpora")
    if isinstance(corpora, Mapping) and corpora:
        rows = [_corpus(name, of) for name, of in corpora.items() if isinstance(of, Mapping)]
        found += [
            tag("h3", "Data"),
            table(("corpus", "format", "licence", "note"), rows, words=range(4)),
        ]
    if material.facts.remarks:
        said = [tag("li", remark) for remark in material.facts.remarks]
        found += [_said("What was said of the data before training:"), tag("ul", said)]
    shown = yaml.safe_dump(_flat(recipe), sort_keys=False, allow_unicode=True, width=100)
    block = tag("pre", tag("code", shown), tabindex="0")
    found.append(tag("details", tag("summary", "The whole recipe, with all its values"), block))
    return found


def _corpus(name: str, of: Mapping[str, Any]) -> tuple[Content, ...]:
    joins = [one for one in of.get("join") or () if isinstance(one, Mapping)]
    notes = [str(part["note"]) for part in (of, *joins) if part.get("note")]
    return name, of.get("format", ""), of.get("licence") or "not stated", "; ".join(notes)


def _environment(material: Material) -> Content:
    recorded = material.facts.environment
    found: list[Content] = []
    if not recorded:
        found.append(_said("The folder does not say where the model was trained."))
    for place, one in enumerate(recorded):
        if isinstance(one, Mapping):
            title = "Trained in" if not place else "Then gone on with in"
            found += [tag("h3", title), _pairs(one)]
    version = material.facts.config.get("transformers_version")
    if version is not None and not recorded:
        found.append(_said(f"Its config was written with transformers {version}."))
    return [*found, tag("h3", "This page was made in"), _pairs(material.here)]


def _pairs(of: Mapping[str, Any]) -> Markup:
    rows = []
    for key, value in of.items():
        if isinstance(value, Mapping):
            value = ", ".join(f"{name} {own}" for name, own in value.items())
        rows.append((key, str(value)))
    return table(("", ""), rows, words=(0, 1))


def _why(material: Material, name: str) -> str:
    return material.why.get(name, "There is nothing to show.")


SECTIONS = (
    Section("hierarchy", "Hierarchy", _hierarchy),
    Section("curves", "Learning curves", _curves),
    Section("scores", "Scores per level", _scores),
    Section("comparison", "Comparison with controls", _comparison),
    Section("confusion", "Confusion", _confusion),
    Section("errors", "Worst errors", _errors),
    Section("probes", "Probes", _probes),
    Section("sharing", "Learned sharing", _sharing),
    Section("recipe", "Recipe", _recipe),
    Section("environment", "Environment", _environment),
)
