"""The whole page: one file of HTML with its style and pictures in it, and no script."""

from pathlib import Path
from typing import Any

from hiermtl.errors import listing
from hiermtl.reporting.facts import Facts
from hiermtl.reporting.markup import Content, Markup, tag
from hiermtl.reporting.material import Material
from hiermtl.reporting.sections import SECTIONS
from hiermtl.reporting.shapes import style_of_inks

STYLE = Path(__file__).with_name("style.css")


def page(material: Material) -> str:
    """The page of a run, as text for a file."""
    facts = material.facts
    parts = [
        tag("section", tag("h2", section.title, id=section.name), section.fill(material))
        for section in SECTIONS
    ]
    links = [tag("li", tag("a", section.title, href=f"#{section.name}")) for section in SECTIONS]
    style = style_of_inks() + STYLE.read_text(encoding="utf-8")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{facts.title}: report"),
        tag("style", Markup(style)),
    )
    notes = [*facts.notes, *material.notes]
    body = tag(
        "body",
        tag("header", tag("h1", facts.title), _about(facts), _status(facts), _facts(material)),
        tag("nav", tag("ul", links), aria_label="Sections"),
        tag("main", parts),
        tag(
            "footer",
            [tag("p", "What could not be read or done:"), tag("ul", [tag("li", n) for n in notes])]
            if notes
            else None,
            tag("p", f"Made by hiermtl {material.here.get('hiermtl', '')}."),
        ),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def _about(facts: Facts) -> Content:
    said = str(facts.recipe.get("description") or "")
    return tag("p", said, class_="muted") if said and said != facts.title else None


def _status(facts: Facts) -> Markup:
    """Whether the run is finished; if not, how far it came and how to go on."""
    if facts.finished:
        tasks = len(facts.rungs())
        said = f"Finished: a model of {tasks} task{'' if tasks == 1 else 's'}."
        return tag("div", tag("p", tag("b", said)), class_="status")
    lines: list[Content] = []
    if facts.failure:
        what = "Interrupted" if facts.failure.get("interrupted") else "Failed"
        when = facts.failure.get("when")
        lines.append(tag("b", f"{what}{f' on {when}' if when else ''}: there is no model yet."))
        lines.append(str(facts.failure.get("message", "")))
    else:
        lines.append(tag("b", "Unfinished: there is no model in the folder."))
        lines.append(
            "The run is at work, or was broken off; nothing in the folder says that it failed."
        )
    log = facts.log
    if log is not None and log.last is not None:
        epoch = "" if log.epoch is None else f", after epoch {log.epoch:g}"
        lines.append(f"Its log ends at step {log.last:,}{epoch}.")
    else:
        lines.append("It has no log: it ended, or stands, before the first entry.")
    if facts.apart:
        done = [task for task, trained in facts.apart.items() if trained]
        lines.append(f"Tasks are trained one after the other; done are {listing(done)}.")
    if facts.touched:
        lines.append(f"The last entry was written on {facts.touched}.")
    if facts.checkpoints:
        lines.append(f"Its newest checkpoint is {facts.checkpoints[-1]}.")
    # What a failure says names its own next step.
    if not facts.failure or facts.failure.get("interrupted"):
        # Only who began the run knows its recipe's file and all that was set beside it.
        lines.append(["To go on: the command that began it, with ", tag("code", "--resume"), "."])
    return tag("div", [tag("p", line) for line in lines], class_="status open")


def _facts(material: Material) -> Markup:
    facts, cost = material.facts, material.facts.cost
    encoder = facts.recipe.get("encoder")
    pairs = {
        "encoder": encoder.get("name") if isinstance(encoder, dict) else None,
        "blocks": facts.blocks,
        "sharing": facts.scheme or None,
        "tasks": len(material.rungs) or None,
        "seed": facts.seed,
        "parameters": _million(cost.get("parameters")),
        "steps": _count(cost.get("steps")),
        "words trained on": _count(cost.get("words")),
        "time of training": _time(cost.get("seconds")),
        "words/s in training": _rate(cost),
        "extends": facts.extends.get("model"),
        "number type": facts.config.get("precision"),
        "language": facts.recipe.get("language"),
    }
    shown = [
        tag(
            "div", tag("dt", name), tag("dd", value), class_="two" if len(str(value)) > 16 else None
        )
        for name, value in pairs.items()
        if value is not None
    ]
    return tag("dl", shown, class_="facts")


def _count(value: Any) -> str | None:
    return f"{value:,.0f}" if isinstance(value, int | float) and value else None


def _million(value: Any) -> str | None:
    return f"{value / 1e6:,.2f} million" if isinstance(value, int | float) and value else None


def _time(value: Any) -> str | None:
    if not isinstance(value, int | float) or not value:
        return None
    if value < 90:
        return f"{value:.0f} s"
    return f"{value / 60:.0f} min" if value < 5400 else f"{value / 3600:.1f} h"


def _rate(cost: Any) -> str | None:
    words, seconds = cost.get("words"), cost.get("seconds")
    numbers = all(isinstance(value, int | float) and value for value in (words, seconds))
    return f"{words / seconds:,.0f}" if numbers else None
