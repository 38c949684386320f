"""A virtual environment for each peer, made once from its pinned requirements."""

import os
import shutil
import subprocess
import venv
from pathlib import Path

from benchmarks.peers.process import SHOWN, SubjectError

REQUIREMENTS = Path(__file__).parent / "requirements"
MADE = "made-from.txt"
"""In an environment that is whole: the requirements it was made from."""


def environment(name: str, folder: Path, requirements: Path) -> Path:
    """The Python of a peer's environment, which is made if it is not there or not of these pins.

    One command of pip takes everything, `torch` with its version among it: where a wheel without
    CUDA is found for that version, pip keeps to it.

    Raises:
        SubjectError: It cannot be made; with what pip said last.
    """
    place = folder / name
    python = place / "bin" / "python"
    wanted = requirements.read_text(encoding="utf-8")
    made = place / MADE
    if made.exists() and made.read_text(encoding="utf-8") == wanted:
        return python
    shutil.rmtree(place, ignore_errors=True)
    log = folder / f"{name}-install.log"
    log.unlink(missing_ok=True)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        venv.create(place, with_pip=True)
        with log.open("w", encoding="utf-8") as said:
            subprocess.run(
                [python, "-m", "pip", "install", "-r", requirements],
                stdout=said,
                stderr=subprocess.STDOUT,
                check=True,
                env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
            )
    except (OSError, subprocess.CalledProcessError) as error:
        raise SubjectError(f"cannot be installed: {_last(log) or error}") from error
    made.write_text(wanted, encoding="utf-8")
    return python


def _last(log: Path) -> str:
    if not log.exists():
        return ""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or [""])[-1][:SHOWN]
