"""Requests to end: a checkpoint between two steps, and a run that can be gone on with."""

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from hiermtl.model import HierarchicalModel
from hiermtl.training import Evaluation
from hiermtl.training.stopping import Stopping
from tests.unit.training.runs import EveryStep, entries, fresh, train, weights
from tests.worlds import ALL

EXITS = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: SystemExit}
every_signal = pytest.mark.parametrize("number", list(EXITS))


class AskedAt(EveryStep):
    """Somebody asks the run to end during this step."""

    step, number = 3, signal.SIGTERM

    def advance(self, words: int) -> None:
        super().advance(words)
        if self.done == self.step:
            os.kill(os.getpid(), self.number)


def scores(model: HierarchicalModel) -> Evaluation:
    """A number that depends on the weights."""
    return Evaluation(float(sum(p.detach().sum() for p in model.parameters())), [], "")


@every_signal
def test_a_run_that_is_asked_to_end_can_be_gone_on_with(
    tmp_path: Path, number: signal.Signals
) -> None:
    options: dict[str, Any] = {"annotated": [ALL], "dropout": 0.3, "evaluate": scores}
    whole, history = train(tmp_path / "whole", **options)
    kind = type("Asked", (AskedAt,), {"number": number})
    before = signal.getsignal(number)
    with pytest.raises(EXITS[number]) as ended:
        train(tmp_path / "cut", progress=kind, **options)
    assert signal.getsignal(number) is before
    if number == signal.SIGTERM:
        assert ended.value.code == 128 + signal.SIGTERM
    assert [p.name for p in (tmp_path / "cut" / "checkpoints").glob("step-*")] == ["step-3"]
    again, other = train(tmp_path / "cut", resume=True, **options)
    assert all(map(torch.equal, weights(whole).values(), weights(again).values()))
    assert history.evaluations == other.evaluations
    assert history.words == other.words


@every_signal
def test_an_evaluation_is_broken_off_and_made_up_for(
    tmp_path: Path, number: signal.Signals
) -> None:
    options: dict[str, Any] = {"annotated": [ALL], "dropout": 0.3, "epochs": 3}
    whole, history = train(tmp_path / "whole", evaluate=scores, **options)
    calls: list[int] = []

    def asked(model: HierarchicalModel) -> Evaluation:
        calls.append(1)
        if len(calls) == 2:
            os.kill(os.getpid(), number)
            pytest.fail("it went on")
        return scores(model)

    with pytest.raises(EXITS[number]):
        train(tmp_path / "cut", evaluate=asked, **options)
    again, other = train(tmp_path / "cut", evaluate=asked, resume=True, **options)
    assert len(calls) == 4, "the evaluation that was broken off is made once more"
    assert history.evaluations == other.evaluations
    assert all(map(torch.equal, weights(whole).values(), weights(again).values()))
    mains = [entry["step"] for entry in entries(tmp_path / "cut") if "main" in entry]
    assert mains == [entry["step"] for entry in history.evaluations]


def test_a_second_request_is_obeyed_at_once() -> None:
    with Stopping() as stopping:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopping.asked() == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_outside_the_main_thread_signals_are_left_alone(tmp_path: Path) -> None:
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(train(tmp_path, world=fresh())[1].step))
    before = signal.getsignal(signal.SIGTERM)
    thread.start()
    thread.join()
    assert found
    assert found[0] > 0
    assert signal.getsignal(signal.SIGTERM) is before
