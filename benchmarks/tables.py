"""Tables of results, for a terminal and in Markdown."""

from collections.abc import Collection, Iterable, Sequence


def aligned(head: Sequence[str], rows: Iterable[Sequence[str]], *, texts: Collection[str]) -> str:
    """Columns of `texts` to the left, of numbers to the right."""
    table = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = (
        "  ".join(
            cell.ljust(width) if name in texts else cell.rjust(width)
            for cell, width, name in zip(row, widths, head, strict=True)
        ).rstrip()
        for row in table
    )
    return "\n".join(lines)


def piped(head: Sequence[str], rows: Iterable[Sequence[str]], *, texts: Collection[str]) -> str:
    """The same in Markdown."""
    rule = [":--" if name in texts else "--:" for name in head]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows))
