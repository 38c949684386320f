"""Devices and number types."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from hiermtl import commands
from hiermtl.precision import resolve_device


class _Stopped(Exception):
    """What follows the loading of a model is not of interest here."""


def test_a_device_that_is_named_is_taken() -> None:
    assert resolve_device("cuda:1") == "cuda:1"


@pytest.mark.parametrize(("there", "taken"), [(False, "cpu"), (True, "cuda")])
def test_a_graphics_processor_is_taken_where_there_is_one(
    there: bool, taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert resolve_device(None) == taken


@pytest.mark.parametrize(
    ("command", "given", "device"),
    [
        ("evaluate", {}, "cuda"),
        ("evaluate", {"device": "cpu"}, "cpu"),
        ("annotate", {"source": "a.txt", "output": "b.txt"}, "cuda"),
        ("annotate", {"source": "a.txt", "output": "b.txt", "workers": 2}, "cpu"),
        ("annotate", {"source": "a", "output": "b", "workers": 2, "device": "cuda"}, "cuda"),
        ("benchmark", {}, "cuda"),
    ],
)
def test_commands_load_models_onto_it_but_workers_have_none(
    command: str, given: dict[str, Any], device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def load(name: Any, **options: Any) -> None:
        seen.append(options["device"])
        raise _Stopped

    # The package's attribute of that name is the function.
    monkeypatch.setattr(import_module(f"hiermtl.commands.{command}"), "load", load)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(_Stopped):
        getattr(commands, command)(Path("model"), **given)
    assert seen == [device]
