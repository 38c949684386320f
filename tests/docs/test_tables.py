"""Tables of measurements on pages are those that the kept results give."""

import re

import pytest

from benchmarks.render import PLACE, kept, update
from tests.docs.test_documentation import PAGES

WITH_TABLES = [page for page in PAGES if PLACE.search(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("page", WITH_TABLES, ids=lambda page: page.name)
def test_tables_on_pages_are_those_of_the_kept_results(page):
    text = page.read_text(encoding="utf-8")
    assert update(text, kept) == text, (
        f"run `python -m benchmarks.render --update {page.relative_to(page.parents[1])}`"
    )


def test_a_figure_that_no_result_gives_is_replaced():
    table = kept("start_up")
    page = f"<!-- table: start_up -->\n\n{table}\n\n<!-- table: end -->\n"
    assert update(page, kept) == page
    wrong = re.sub(r"\d+\.\d\d \|", "999.99 |", page, count=1)
    assert wrong != page
    assert update(wrong, kept) == page


def test_a_marker_that_names_nothing_is_an_error():
    with pytest.raises(ValueError, match="no benchmark is called 'nothing'; known are cluster"):
        update("<!-- table: nothing -->\n<!-- table: end -->", kept)


def test_a_page_without_markers_is_an_error():
    with pytest.raises(ValueError, match="there is no `<!-- table"):
        update("# A page\n", kept)
