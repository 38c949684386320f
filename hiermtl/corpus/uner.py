"""The train file of UNER English EWT as our tables use it, made from upstream's pre-release.

Upstream's released train file has other spans in places; at the time of our tables only the
pre-release (commit 0c7ce0d of UniversalNER/UNER_English-EWT) was at hand. It has a fourth type,
OTH, which the release dropped, one `B-O` marker at the end of the first sentence of each document,
and two columns fewer on words outside spans.
"""

from pathlib import Path

from hiermtl.atomic import written_whole
from hiermtl.errors import DataError
from hiermtl.text.lines import read_blocks, read_lines

_OUTSIDE = {"O", "B-O", "I-O", "B-OTH", "I-OTH"}


def normalise_uner(source: str | Path, target: str | Path) -> int:
    """Writes `target` from the pre-release `source` and returns the number of tags changed.

    OTH spans and `B-O` markers become `O`, and every word has five columns: number, form, tag, `-`,
    `-`. `source` may be packed (`.gz`). Comments are kept. `target` is written whole or not at all.

    Raises:
        DataError: `source` is missing or has a line without number, form and tag.
        RecipeError: There is no such folder, or `target` is one.
        RunError: It cannot be written.
    """
    changed = 0
    with written_whole(target) as file:
        for first, block in read_blocks(read_lines(source), str(source)):
            for number, line in enumerate(block, first):
                cells = line.split("\t")
                if line.startswith("#") and len(cells) == 1:
                    file.write(f"{line}\n".encode())
                    continue
                if len(cells) < 3:
                    raise DataError(
                        f"{len(cells)} columns; at least number, form and tag are needed",
                        source,
                        line=number,
                    )
                tag = "O" if cells[2] in _OUTSIDE else cells[2]
                changed += tag != cells[2]
                row = "\t".join([cells[0], cells[1], tag, "-", "-"])
                file.write(f"{row}\n".encode())
            file.write(b"\n")
    return changed
