"""What a user wrote is never markup."""

import pytest

from hiermtl.reporting.markup import Markup, table, tag, text
from tests.unit.reporting.pages import Page

HOSTILE = "</td><script>alert('&')</script><b class=\"x\">"


def test_text_is_escaped_wherever_it_is_put_in() -> None:
    made = tag("p", HOSTILE, [HOSTILE, (HOSTILE,)], title=HOSTILE)
    page = Page(made)
    assert [name for name, _ in page.elements] == ["p"]
    assert page.elements[0][1] == {"title": HOSTILE}
    assert page.words == [HOSTILE * 3]
    assert page.problems == []


def test_markup_is_kept_as_it_is() -> None:
    assert tag("p", tag("b", "1 < 2")) == "<p><b>1 &lt; 2</b></p>"
    assert tag("p", Markup("<i>x</i>"), None, 3, 2.5) == "<p><i>x</i>32.5</p>"


def test_text_that_was_joined_with_markup_is_not_trusted() -> None:
    assert not isinstance(Markup("<b>") + "x", Markup)
    assert text(Markup("<b>") + "x") == "&lt;b&gt;x"


def test_names_of_attributes_can_be_written_in_python() -> None:
    made = tag("text", "x", class_="a", font_size="9", name="n", anchor=None)
    assert made == '<text class="a" font-size="9" name="n">x</text>'


@pytest.mark.parametrize("bad", ["\x00", "\x1b", "\ud800", "\ufffe"])
def test_characters_that_no_page_can_hold_are_replaced(bad: str) -> None:
    assert text(f"a{bad}b\n") == "a\ufffdb\n"
    text(f"a{bad}b").encode("utf-8")


def test_tables_have_their_numbers_to_the_right() -> None:
    made = table(("task", "score"), [("upos", 9.5)])
    assert '<th>task</th><th class="number">score</th>' in made
    assert '<td>upos</td><td class="number">9.5</td>' in made
    assert Page(made).problems == []
