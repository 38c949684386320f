"""The program as a person runs it: in this process, or in one of its own."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from typer.testing import CliRunner, Result

from hiermtl.cli import app

ROOT = Path(__file__).parents[2]
RECIPE = """
description: a small hierarchy for tests
encoder: {name: bilstm, layers: 2, hidden: 16, word_width: 12, ngram_width: 12, ngram_buckets: 500}
tasks:
  upos: {depth: 1}
  ner: {depth: 2}
  dep: {depth: 2, head: {arc_width: 16, label_width: 16}}
corpora:
  sample: {format: sample, train: 120, dev: 40, test: 40}
training: {epochs: 2, tokens_per_batch: 80, warmup: 2, precision: fp32, lr: 2e-2, lr_heads: 2e-2}
"""


def hiermtl(*arguments: object, text: str | bytes | None = None) -> Result:
    """Runs a command in this process."""
    return CliRunner().invoke(app, list(map(str, arguments)), input=text, prog_name="hiermtl")


def done(*arguments: object, text: str | bytes | None = None) -> Result:
    """Runs a command that must succeed."""
    found = hiermtl(*arguments, text=text)
    assert found.exit_code == 0, (found.stderr, found.exception)
    return found


def refused(*arguments: object, says: tuple[str, ...], text: str | bytes | None = None) -> str:
    """Runs a command that must end with code 2 and say these parts; returns its message."""
    found = hiermtl(*arguments, text=text)
    assert isinstance(found.exception, SystemExit), repr(found.exception)
    assert found.exit_code == 2, found.stderr
    assert found.stdout == ""
    assert "Traceback" not in found.stderr
    # Usage errors are wrapped to the width of the terminal.
    message = " ".join(found.stderr.replace("│", " ").split())
    for part in says:
        assert part in message, message
    return message


def environment(**changes: str) -> Mapping[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **changes}


def alone(*arguments: object, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """Runs a command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "hiermtl", *map(str, arguments)],
        input=text,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=environment(),
        timeout=120,
        check=False,
    )


def tree(folder: Path) -> dict[str, bytes]:
    """All files below a folder, with their bytes."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
