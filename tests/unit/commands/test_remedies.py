"""What a run would do in vain, said before it; and that advice can be followed."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from hiermtl.commands import check, train
from hiermtl.commands.length import run_length
from hiermtl.errors import RecipeError, RunError
from hiermtl.folders import REMARKS
from tests.unit.commands.runs import TASKS, built, recipe

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


def asked_of(command: str, given: dict[str, Any], folder: Path, **changes: Any) -> list[str]:
    """What `check` says, or what is kept of what training said."""
    if command == "check":
        return check(given, overrides=changes)
    train(given, output=folder, quiet=True, **changes)
    return json.loads((folder / REMARKS).read_text(encoding="utf-8"))


@pytest.mark.parametrize("command", ["check", "train"])
@pytest.mark.parametrize("name", ["adaptive", "relationship"])
def test_what_would_never_be_done_is_refused(tmp_path: Path, command: str, name: str) -> None:
    """Whether a period is too long for the run, or the run too short for it."""
    given = of({"name": name, "every": 6, **({"least": 1} if name == "adaptive" else {})})
    for steps, changes in ((4, {"sharing.every": 4}), (6, {})):
        every = changes.get("sharing.every", 6)
        with pytest.raises(RecipeError) as error:
            asked_of(command, given, tmp_path / "run", **{"training.max_steps": steps, **changes})
        told = str(error.value)
        assert told.startswith(f"sharing.every is {every}, but the run has {steps} steps, ")
        assert f"; allowed is 1 to {steps - 1}: lower it, or train for more than {every} " in told
        assert not (tmp_path / "run").exists()
    with pytest.raises(RecipeError, match=r"the run has 1 step, .* be; train for more than 6 step"):
        asked_of(command, given, tmp_path / "run", **{"training.max_steps": 1})
    # Both that are advised, at their bounds.
    for place, changes in enumerate(({"sharing.every": 3}, {"training.max_steps": 7})):
        more = {"training.max_steps": 4, "training.epochs": 9, **changes}
        asked_of(command, given, tmp_path / f"{place}", **more)


def test_a_tree_by_hand_waits_for_no_step() -> None:
    tree = {"2": [["ner"], ["dep"]], "1": [["upos", "ner"], ["dep"]]}
    assert check(recipe(sharing={"name": "adaptive", "tree": tree}))


@pytest.mark.parametrize("command", ["check", "train"])
def test_a_rate_that_grows_for_most_of_the_run_is_told(tmp_path: Path, command: str) -> None:
    def found(warmup: float, **changes: Any) -> list[str]:
        place = tmp_path / f"{warmup!r}{len(changes)}"
        asked = {"training.max_steps": 4, "training.warmup": warmup, **changes}
        lines = asked_of(command, recipe(), place, **asked)
        return [line for line in lines if "training.warmup" in line]

    assert found(2) == found(0.5) == []
    (line,) = found(3)
    assert line.startswith("training.warmup is 3, and the run has 4 steps: the learning rate grows")
    assert "falls for the rest only" in line
    assert "0.75" in found(0.75)[0]
    assert "does not reach its peak" in found(100)[0]
    # There a rate does not grow at all.
    paper = {"sampling": {"name": "bottom_up", "rate_decay": 0.3}}
    assert found(100, **paper) == []


def test_the_steps_are_those_of_the_loop(tmp_path: Path) -> None:
    for sampling in ("proportional", "round_robin"):
        length = run_length(*built(recipe(sampling=sampling)))
        run = train(recipe(sampling=sampling), output=tmp_path / sampling, quiet=True)
        assert run.cost.steps == length.total == 2 * length.per_epoch
