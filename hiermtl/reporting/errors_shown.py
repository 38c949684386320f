"""Confusions and the worst errors as markup."""

from collections import Counter
from collections.abc import Iterable, Sequence

from hiermtl.evaluation.items import Item
from hiermtl.reporting.charts import scatter
from hiermtl.reporting.markup import Markup, table, tag
from hiermtl.reporting.mistakes import MOST_DOTS, Bad, Mistakes
from hiermtl.reporting.shapes import inline

MOST_LABELS = 14
"""Rows and columns of a table of confusions: the labels that most errors are of."""

MOST_PAIRS = 12
MOST_ITEMS = 14
MOST_LETTERS = 40
"""Pairs that are listed, errors shown of a sentence, letters shown of a label."""


def confusion(found: Mistakes) -> Markup:
    """What a task is taken for what: a table by shades, and the most frequent pairs."""
    head = tag("h3", f"{found.task}, {found.data}")
    if found.numbers:
        picture = inline(scatter(found.task, found.numbers, most=MOST_DOTS))
        drawn = min(len(found.numbers), MOST_DOTS)
        said = f"{len(found.numbers):,} pairs" + (
            "" if len(found.numbers) <= MOST_DOTS else f", about {drawn} of them drawn"
        )
        return Markup(head + tag("figure", picture, tag("figcaption", said)))
    wrong = Counter({pair: n for pair, n in found.confusion.items() if pair[0] != pair[1]})
    items = f"{found.wrong:,} of {found.items:,} items are wrong"
    said = tag("p", f"{items}. {found.note}".strip(), class_="muted")
    if not wrong:
        return Markup(head + said)
    beside = [] if found.open else [_heat(found, wrong)]
    return Markup(head + said + tag("div", beside, _pairs(found, wrong), class_="beside"))


def _pairs(found: Mistakes, wrong: Counter[tuple[str | None, str | None]]) -> Markup:
    """The most frequent confusions as a list."""
    totals: Counter[str | None] = Counter()
    for (gold, _), count in found.confusion.items():
        totals[gold] += count
    rows = [
        (
            _label(gold),
            _label(guess),
            f"{count:,}",
            "" if found.open or gold is None else f"{100 * count / totals[gold]:.1f} %",
        )
        for (gold, guess), count in wrong.most_common(MOST_PAIRS)
    ]
    head = ("gold", "predicted", "times", "" if found.open else "of this gold")
    said = f"The most frequent of {len(wrong):,} kinds of confusion."
    caption = tag("p", said, class_="muted") if len(wrong) > len(rows) else None
    return tag("div", table(head, rows, words=(0, 1)), caption)


def _heat(found: Mistakes, wrong: Counter[tuple[str | None, str | None]]) -> Markup:
    """Gold in rows, predictions in columns; shades go with the square roots of shares of a row.

    Else rare confusions could not be seen.
    """
    weight: Counter[str | None] = Counter()
    for (gold, guess), count in wrong.items():
        weight[gold] += count
        weight[guess] += count
    chosen = [label for label, _ in weight.most_common(MOST_LABELS)]
    # What one side does not have stands last.
    labels = sorted(chosen, key=lambda label: (label is None, label or ""))
    rows = []
    for gold in labels:
        whole = sum(n for (own, _), n in found.confusion.items() if own == gold)
        cells = [tag("th", _label(gold), scope="row")]
        for guess in labels:
            count = found.confusion[gold, guess]
            share = (count / whole) ** 0.5 if whole else 0.0
            cells.append(
                tag(
                    "td",
                    f"{count:,}" if count else "",
                    class_="right" if gold == guess else None,
                    style=f"--share:{share:.3f}" if count else None,
                )
            )
        rows.append(tag("tr", cells))
    top = tag(
        "tr", tag("th", "gold \u2193 predicted \u2192"), [tag("th", _label(o)) for o in labels]
    )
    whole = tag("table", tag("thead", top), tag("tbody", rows), class_="heat")
    names = {label for pair in found.confusion for label in pair}
    left = len(names) - len(labels)
    said = f"{left} more labels, with fewer errors, are not shown." if left > 0 else ""
    return tag(
        "div",
        tag("div", whole, class_="wide", tabindex="0"),
        tag("p", said, class_="muted") if said else None,
    )


def _label(label: str | None) -> Markup:
    if label is None:
        return tag("i", "nothing")
    return tag("span", label if len(label) <= MOST_LETTERS else f"{label[: MOST_LETTERS - 1]}…")


def worst(found: Mistakes) -> Markup:
    """The sentences of a task with the most that is wrong."""
    head = tag("h3", f"{found.task}, {found.data}")
    if found.numbers:
        said = "Those that are furthest off."
    elif not found.wrong:
        return Markup(head + tag("p", "Nothing is wrong."))
    else:
        said = f"{found.wrong_units:,} of {found.units:,} have an error"
        said += "; the worst of them:" if found.worst else "."
    shown = tag("ol", [_bad(bad) for bad in found.worst], class_="bad")
    return Markup(head + tag("p", said, class_="muted") + shown)


def _bad(bad: Bad) -> Markup:
    marked = {at for item in bad.items for place in item.places[-1:] for at in range(*place)}
    texts = [
        tag("p", _marked(words, marked if len(bad.texts) == 1 else set()), dir="auto")
        for words in bad.texts
    ]
    words = bad.texts[0]
    items = [tag("li", _item(item, words)) for item in bad.items[:MOST_ITEMS]]
    if len(bad.items) > MOST_ITEMS:
        items.append(tag("li", f"and {len(bad.items) - MOST_ITEMS} more"))
    where = [bad.where] if bad.where else []
    if bad.total > 1 or any(item.places for item in bad.items):
        where.append(f"{len(bad.items)} of {bad.total} wrong")
    where += [bad.said] if bad.said else []
    return tag("li", texts, tag("ul", items), tag("p", ", ".join(where), class_="muted"))


def _marked(words: Sequence[str], marked: set[int]) -> list[Markup | str]:
    """Words with spaces between, some of them marked; neighbours in one mark."""
    parts: list[Markup | str] = []
    at = 0
    while at < len(words):
        end = at + 1
        while end < len(words) and (end in marked) == (at in marked):
            end += 1
        said = " ".join(words[at:end])
        parts += [" "] if parts else []
        parts.append(tag("mark", said) if at in marked else said)
        at = end
    return parts


def _item(item: Item, words: Sequence[str]) -> Iterable[Markup | str]:
    if item.places:
        yield tag("b", " \u2192 ".join(" ".join(words[a:b]) for a, b in item.places))
        yield " "
    yield "gold "
    yield tag("ins", _label(item.gold))
    yield ", predicted "
    yield tag("del", _label(item.predicted))
