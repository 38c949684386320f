"""A page for each sharing scheme, whose picture and settings are those of the scheme."""

import inspect
import re
from importlib.metadata import version
from typing import Any

import pytest

from docs.pictures.draw import FOLDER, first_runs, learnt, picture
from hiermtl.recipe.loader import read_value
from hiermtl.recipe.schemes import SHARING as OPTIONS
from hiermtl.sharing import SHARING
from hiermtl.sharing.soft_l2 import SoftL2
from tests.docs.test_documentation import ROOT

PAGES = ROOT / "docs" / "schemes"
SECTIONS = [
    "Idea",
    "When to use it",
    "Cost",
    "Settings",
    "What a test states",
    "Limits",
    "Source",
]
COMPARED = "Compared on real text"

everyone = pytest.mark.parametrize("scheme", SHARING)


def page(scheme: str) -> str:
    return (PAGES / f"{scheme}.md").read_text(encoding="utf-8")


def settings(text: str) -> dict[str, object]:
    """Key to default, as the table of settings of a page says them."""
    section = text.split("## Settings\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| `([^`]*)` \| \S.* \|$", section, re.MULTILINE)
    assert len(rows) == max(0, len(re.findall(r"^\|", section, re.MULTILINE)) - 2)
    assert len(dict(rows)) == len(rows)
    return {key: read_value(default) for key, default in rows}


def defaults(scheme: str) -> dict[str, Any]:
    """Key to default, as a recipe has them."""
    fields = OPTIONS[scheme].model_fields
    return {key: field.default for key, field in fields.items() if key != "name"}


def check_settings(text: str, scheme: str) -> None:
    assert settings(text) == defaults(scheme)


def check_picture(kept: str, scheme: str) -> None:
    assert kept == picture(scheme), "run `python -m docs.pictures.draw`"


def test_each_scheme_has_a_page_that_the_overviews_lead_to() -> None:
    assert {file.stem for file in PAGES.iterdir()} == set(SHARING)
    for overview in ("schemes.md", "sharing.md"):
        text = (ROOT / "docs" / overview).read_text(encoding="utf-8")
        linked = re.findall(r"^\| \[`(\w+)`\]\(schemes/(\w+)\.md\) \|", text, re.MULTILINE)
        assert sorted(linked) == sorted((scheme, scheme) for scheme in SHARING)


@everyone
def test_a_page_is_a_card_with_everything_on_it(scheme: str) -> None:
    text = page(scheme)
    assert text.startswith(f"# `{scheme}`: ")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == SECTIONS
    assert f"](../pictures/{scheme}.svg)" in text
    assert COMPARED in text
    assert "](../compared.md)" in text


@everyone
def test_settings_on_a_page_are_those_of_recipe_and_scheme(scheme: str) -> None:
    check_settings(page(scheme), scheme)
    given = inspect.signature(SHARING[scheme].__init__).parameters
    for key, default in settings(page(scheme)).items():
        assert key in SHARING[scheme].option_names()
        assert given[key].default == default, key
    # Beside them there is only what a model remembers of its structure.
    state = {"adaptive": {"groups", "junction"}, "learned": {"taps"}}.get(scheme, set())
    assert set(SHARING[scheme].option_names()) == settings(page(scheme)).keys() | state


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("| `strength` | `1e-3` |", "| `strength` | `1e-2` |"),
        ("| `strength` | `1e-3` |", "| `strenght` | `1e-3` |"),
        ("| `strength` | `1e-3` |", "| strength | 1e-3 |"),
    ],
)
def test_a_wrong_setting_on_a_page_is_found(old: str, new: str) -> None:
    text = page("soft_l2")
    assert old in text
    with pytest.raises(AssertionError):
        check_settings(text.replace(old, new), "soft_l2")


@everyone
def test_the_source_on_a_page_is_that_of_the_recipe(scheme: str) -> None:
    recipe = (ROOT / "recipes" / scheme / "sample.yaml").read_text(encoding="utf-8")
    header = recipe.split("\ndescription:")[0]
    links = re.findall(r"https://\S+", header)
    assert all(f"<{link}>" in page(scheme) for link in links)
    assert links or scheme == "single"


def pinned(package: str) -> str:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    return re.findall(rf"^{package}==(.*)$", text, re.MULTILINE)[0]


drawn = pytest.mark.skipif(
    version("matplotlib") != pinned("matplotlib"),
    reason="another version of matplotlib than the pinned one may write other bytes",
)


@drawn
@everyone
def test_pictures_on_pages_are_those_of_the_schemes(scheme: str) -> None:
    check_picture((FOLDER / f"{scheme}.svg").read_text(encoding="utf-8"), scheme)


def test_there_are_no_further_pictures() -> None:
    assert {file.stem for file in FOLDER.glob("*.svg")} == {*SHARING, *first_runs()}


@pytest.mark.slow
@drawn
@pytest.mark.parametrize("name", first_runs())
def test_pictures_of_what_was_learnt_are_those_of_the_kept_results(name: str) -> None:
    kept = (FOLDER / f"{name}.svg").read_text(encoding="utf-8")
    assert kept == learnt(first_runs()[name]), "run `python -m docs.pictures.draw`"
    others = [file for other, file in first_runs().items() if other != name]
    assert all(kept != learnt(file) for file in others)


@drawn
def test_a_picture_is_wrong_once_the_structure_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = (FOLDER / "soft_l2.svg").read_text(encoding="utf-8")
    check_picture(kept, "soft_l2")
    monkeypatch.setattr(SoftL2, "ties", lambda self, depth: ())
    with pytest.raises(AssertionError, match=r"python -m docs\.pictures\.draw"):
        check_picture(kept, "soft_l2")
