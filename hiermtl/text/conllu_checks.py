"""What can be wrong in a CoNLL-U sentence, said so that its author can mend it.

The reader decides fast that something is irregular; only then are these slower checks run. They
name the line.
"""

import re
from collections.abc import Sequence

from hiermtl.errors import DataError, listing

COLUMNS = ("ID", "FORM", "LEMMA", "UPOS", "XPOS", "FEATS", "HEAD", "DEPREL", "DEPS", "MISC")
_WORD = re.compile(r"[1-9][0-9]*")
_RANGE = re.compile(r"([1-9][0-9]*)-([1-9][0-9]*)")
_EMPTY = re.compile(r"(0|[1-9][0-9]*)\.([1-9][0-9]*)")


def check_rows(lines: Sequence[str], first: int, *, path: str) -> None:
    """Checks columns and ids of a sentence; `first` is the number of its first line.

    Raises:
        DataError: Wrong number of columns, an empty column, ids that do not count 1, 2, 3, a
            multiword range that overlaps, is out of order or ends beyond the sentence, or a
            malformed or misplaced empty node.
    """
    word = covered = empties = range_line = 0
    for number, line in enumerate(lines, first):
        if line.startswith("#"):
            continue
        cells = line.split("\t")
        _check_cells(line, cells, number=number, path=path)
        name = cells[0]
        if _WORD.fullmatch(name):
            if name != str(word + 1):
                raise DataError(
                    f"word id {name!r}; expected '{word + 1}': ids count the words of a sentence "
                    "from 1 without gaps, and a blank line ends a sentence",
                    path,
                    line=number,
                )
            word, empties = word + 1, 0
        elif match := _RANGE.fullmatch(name):
            begin, end = int(match[1]), int(match[2])
            if begin > end or begin <= covered or begin != word + 1:
                what = (
                    "runs backwards"
                    if begin > end
                    else f"overlaps the range that ends at word {covered}"
                    if begin <= covered
                    else f"is out of order: the next word is {word + 1}"
                )
                raise DataError(
                    f"multiword range {name!r} {what}; a range stands right before its first word",
                    path,
                    line=number,
                )
            covered, range_line = end, number
        elif match := _EMPTY.fullmatch(name):
            if (int(match[1]), int(match[2])) != (word, empties + 1):
                raise DataError(
                    f"empty node id {name!r}; expected '{word}.{empties + 1}': empty nodes follow "
                    "their word and count from 1",
                    path,
                    line=number,
                )
            empties += 1
        else:
            raise DataError(
                f"id {name!r}; allowed are a word (3), a multiword range (3-4) and an empty node "
                "(3.1)",
                path,
                line=number,
            )
    if word == 0:
        raise DataError(
            "a sentence without words; remove these lines or the blank line after them",
            path,
            line=first,
        )
    if covered > word:
        raise DataError(
            f"multiword range ends at word {covered}, but the sentence has {word} words; correct "
            "the range or add the words",
            path,
            line=range_line,
        )


def _check_cells(line: str, cells: Sequence[str], *, number: int, path: str) -> None:
    if len(cells) == 1:
        spaces = re.match(r"\d+(-\d+|\.\d+)? ", line)
        what = "columns are separated by spaces" if spaces else "no tab in this line"
        raise DataError(
            f"{what}: {line[:40]!r}; CoNLL-U has 10 columns with one tab between neighbours, and "
            "comments begin with '#'",
            path,
            line=number,
        )
    if len(cells) != 10:
        raise DataError(
            f"{len(cells)} columns; CoNLL-U has 10 ({' '.join(COLUMNS)}): write `_` in empty "
            "ones, or, for another format, use the reader for column files",
            path,
            line=number,
        )
    for column, cell in zip(COLUMNS, cells, strict=True):
        if not cell:
            raise DataError(f"column {column} is empty; write `_`", path, line=number)


def check_tree(lines: Sequence[str], first: int, *, path: str) -> None:
    """Checks the heads of a sentence whose rows are in order.

    Raises:
        DataError: A HEAD that is no number of a word, no root or several, or a cycle.
    """
    rows = [
        (number, cells)
        for number, line in enumerate(lines, first)
        if not line.startswith("#") and (cells := line.split("\t"))[0].isdecimal()
    ]
    forms = [cells[1] for _, cells in rows]
    heads: list[int | None] = []
    for number, cells in rows:
        head = cells[6]
        if head != "_" and (not re.fullmatch(r"0|[1-9][0-9]*", head) or int(head) > len(rows)):
            raise DataError(
                f"HEAD {head!r} of word {cells[0]} {cells[1]!r}; allowed are 0 for the root, 1 to "
                f"{len(rows)}, and `_` where the arc is not annotated",
                path,
                line=number,
            )
        heads.append(None if head == "_" else int(head))
    roots = [place for place, head in enumerate(heads) if head == 0]
    if len(roots) > 1:
        named = listing(f"{place + 1} {forms[place]!r}" for place in roots)
        raise DataError(
            f"{len(roots)} roots (HEAD 0): words {named}; a tree has one: attach the others",
            path,
            line=rows[roots[1]][0],
        )
    if cycle := find_cycle(heads):
        named = listing(f"{place} {forms[place - 1]!r}" for place in cycle)
        what = f"words {named} form a cycle" if len(cycle) > 1 else f"word {named} is its own head"
        raise DataError(
            f"{what}; following HEAD from any word must reach the root (HEAD 0)",
            path,
            line=rows[cycle[0] - 1][0],
        )
    if not roots and None not in heads:
        raise DataError("no root; one word must have HEAD 0", path, line=first)


def find_cycle(heads: Sequence[int | None]) -> list[int]:
    """The words (from 1, ascending) of the first cycle; empty when all reach root or open end."""
    done = bytearray(len(heads) + 1)
    done[0] = 1
    for start in range(1, len(heads) + 1):
        path = []
        node = start
        while not done[node]:
            done[node] = 2
            path.append(node)
            node = heads[node - 1] or 0
        if done[node] == 2:
            return sorted(path[path.index(node) :])
        for place in path:
            done[place] = 1
    return []
