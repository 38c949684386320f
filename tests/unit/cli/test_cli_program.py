"""Errors, exit codes, help, and how soon the program answers."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hiermtl._version import __version__
from hiermtl.errors import DataError, RecipeError, RunError

ROOT = Path(__file__).parents[3]
COMMANDS = [
    ["train"],
    ["check"],
    ["extend"],
    ["evaluate"],
    ["annotate"],
    ["exits"],
    ["benchmark"],
    ["report"],
    ["sample"],
    ["schema"],
    ["recipes", "list"],
    ["recipes", "show"],
    ["recipes", "copy"],
]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RecipeError("tasks.ner.depth is 13"), 2),
        (DataError("two columns", "a.conllu", line=3), 2),
        (RunError("the disk is full"), 1),
    ],
)
def test_errors_are_a_message_and_an_exit_code(program: Any, error: Exception, code: int) -> None:
    program.raises = error
    found = program("train", "quickstart")
    assert (found.exit_code, found.stdout, found.stderr) == (code, "", f"error: {error}\n")


def test_an_interruption_is_a_line(program: Any) -> None:
    program.raises = KeyboardInterrupt()
    found = program("train", "quickstart")
    assert (found.exit_code, found.stderr) == (130, "interrupted\n")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_output_for_which_there_is_no_space_is_a_message() -> None:
    with open("/dev/full", "w") as full:
        found = subprocess.run(
            [sys.executable, "-m", "hiermtl", "recipes", "list"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            timeout=60,
            check=False,
        )
    assert (found.returncode, found.stderr) == (
        1,
        "error: no space is left for the output; make room, or send it elsewhere\n",
    )


def test_a_fault_of_ours_keeps_its_stack_trace(program: Any) -> None:
    program.raises = ZeroDivisionError("ours")
    found = program("train", "quickstart")
    assert found.exit_code == 1
    assert isinstance(found.exception, ZeroDivisionError)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian", "x"], "No such command 'trian'. Did you mean 'train'?"),
        (["recipes", "lst"], "No such command 'lst'. Did you mean 'list'?"),
        (["train", "x", "--resum"], "--resume"),
        (["train"], "RECIPE"),
        (["train", "x", "--processes", "0"], "greater than or equal to 1"),
        (["train", "x", "--data-dir", "/no/such/folder"], "/no/such/folder"),
    ],
)
def test_usage_errors_name_what_is_near(program: Any, arguments: list[str], message: str) -> None:
    found = program(*arguments)
    assert (found.exit_code, found.stdout) == (2, "")
    assert message in found.stderr


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example_and_quiet(program: Any, command: list[str]) -> None:
    found = program(*command, "--help")
    text = " ".join(found.stdout.split())
    assert found.exit_code == 0
    assert f"Example: hiermtl {' '.join(command)}" in text
    assert "--quiet" in text
    assert program(*command, "-h").stdout == found.stdout


def test_version(program: Any) -> None:
    assert program("--version").stdout == f"hiermtl {__version__}\n"


def test_help_imports_nothing_heavy() -> None:
    found = run("-X", "importtime", "-m", "hiermtl", "--help")
    assert found.returncode == 0
    assert "Example: hiermtl train quickstart" in found.stdout
    modules = {line.split("|")[-1].strip() for line in found.stderr.splitlines() if "|" in line}
    assert "hiermtl.cli.program" in modules
    heavy = {"torch", "pydantic", "spacy", "datasets", "transformers", "numpy", "yaml", "rich"}
    assert modules & heavy == set()


def test_output_is_plain_in_a_pipe() -> None:
    found = run("-m", "hiermtl", "trian")
    assert found.returncode == 2
    assert "\x1b" not in found.stderr
    assert found.stdout == ""


def test_a_reader_that_leaves_is_no_error() -> None:
    code = "from hiermtl.cli import main; import sys; sys.argv = ['hiermtl', '--help']; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    text = process.stderr.read()
    process.stderr.close()
    process.wait(timeout=60)
    assert text == ""
