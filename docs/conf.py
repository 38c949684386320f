"""The documentation as a site: `sphinx-build -c docs . site`, from the root of a checkout.

The pages are plain Markdown that also reads well where it lies. `docs/index.md` groups them; what
its headings and lists say becomes the table of contents here.
"""

import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from hiermtl import __version__ as release  # noqa: E402

project = "hiermtl"
author = "The hiermtl authors"
version = release
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
include_patterns = ["docs/**.md", "CHANGELOG.md", "CONTRIBUTING.md", "benchmarks/README.md"]
root_doc = "docs/index"
myst_heading_anchors = 4
autodoc_typehints = "none"
autodoc_member_order = "bysource"
html_theme = "furo"
html_title = f"hiermtl {release}"
html_copy_source = False

_LINK = re.compile(r"^- .*?\[[^]]*\]\(([^)]+)\.md\)", re.MULTILINE)


def contents(page: str) -> str:
    """A hidden table of contents for each heading of the index, of the pages linked below it."""
    tables = []
    for part in page.split("\n## ")[1:]:
        caption = part.splitlines()[0]
        pages = [_entry(link) for link in _LINK.findall(part)]
        if pages:
            listed = "\n".join(pages)
            tables.append(f"```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{listed}\n```\n")
    return "\n".join(tables)


def _entry(link: str) -> str:
    return f"/{link.removeprefix('../')}" if link.startswith("../") else link


def setup(app: Any) -> None:
    """Adds the table of contents to the index, and a page at the root that leads to it."""

    def read(app: Any, name: str, source: list[str]) -> None:
        if name == root_doc:
            source[0] += "\n" + contents(source[0])

    def finish(app: Any, exception: Exception | None) -> None:
        if exception is None and app.builder.format == "html":
            target = f"{root_doc}.html"
            (Path(app.outdir) / "index.html").write_text(
                f'<!doctype html><meta http-equiv="refresh" content="0; url={target}">'
                f'<a href="{target}">hiermtl</a>\n',
                encoding="utf-8",
            )

    app.connect("source-read", read)
    app.connect("build-finished", finish)
