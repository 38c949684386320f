"""What a message advises is something that the program then does."""

import re
from pathlib import Path
from typing import Any

import pytest

from hiermtl.commands import train
from hiermtl.errors import RecipeError, RunError
from tests.unit.commands.runs import TASKS, recipe

LEVEL = {name: {**task, "depth": 2} for name, task in TASKS.items()}
ILL: dict[str, Any] = {
    "name": "relationship",
    "units": 4,
    "every": 1,
    "estimator": "mle",
    "eps": 1e-30,
}


def of(sharing: dict[str, Any]) -> dict[str, Any]:
    return recipe(tasks=LEVEL, sharing=sharing)


def test_what_is_said_of_a_covariance_without_an_inverse_is_taken(tmp_path: Path) -> None:
    """Both ways that the message names, anew; going on with the run takes neither."""
    folder = tmp_path / "ill"
    with pytest.raises(RunError, match="cannot be inverted") as error:
        train(of(ILL), output=folder, quiet=True, **{"training.checkpoint_every": 1})
    told = str(error.value)
    assert "--resume" not in told
    assert "train anew into another folder" in told
    assert re.findall(r"sharing\.\w+", told) == [
        "sharing.eps",
        "sharing.estimator",
        "sharing.eps",
    ]
    shrunk = {key: value for key, value in ILL.items() if key != "eps"} | {"estimator": "shrunk"}
    for place, better in enumerate((shrunk, {**ILL, "eps": 1e-3})):
        with pytest.raises(RecipeError, match=r"other values of"):
            train(
                of(better),
                output=folder,
                resume=True,
                quiet=True,
                **{"training.checkpoint_every": 1},
            )
        assert train(of(better), output=tmp_path / f"{place}", quiet=True).scores.rows
    with pytest.raises(RecipeError, match="leave eps out"):
        train(of({**ILL, "estimator": "shrunk"}), output=tmp_path / "both", quiet=True)
