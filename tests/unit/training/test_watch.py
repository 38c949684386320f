"""Which process is named when a step does not end."""

import itertools
import json
from typing import Any

import pytest
import torch.distributed as dist

from hiermtl.training import watch as room
from hiermtl.training.watch import Watch


class Store:
    """What processes have told: a beat more at each reading, unless they are silent."""

    def __init__(self, told: dict[int, dict[str, Any]], *, silent: set[int]) -> None:
        self.told, self.silent, self.beats = told, silent, itertools.count()

    def get(self, key: str) -> bytes:
        rank = int(key.rpartition("/")[2])
        if rank not in self.told:
            raise RuntimeError("wait timeout")
        beat = 0 if rank in self.silent else next(self.beats)
        return json.dumps({**self.told[rank], "beat": beat}).encode()


def at(step: int, doing: str = "training", *, waits: bool = False) -> dict[str, Any]:
    return {"step": step, "doing": doing, "waits": waits}


@pytest.mark.parametrize(
    ("told", "silent", "named"),
    [
        # It is in the same step and speaks, but waits for nobody.
        ([at(9, waits=True), at(9), at(9, waits=True)], set(), "process 1, at step 10 (training)."),
        (
            [at(9, waits=True), at(9, waits=True), at(8, "evaluating")],
            set(),
            "process 2, at step 9",
        ),
        (
            [at(9, waits=True), at(9, waits=True), at(9)],
            {1},
            "process 1, at step 10 (training) when it was last heard of.",
        ),
        ([at(9, waits=True), at(9, waits=True)], set(), "process 2, of which nothing is known."),
    ],
)
def test_the_process_that_the_others_wait_for_is_named(
    monkeypatch: pytest.MonkeyPatch, told: list[Any], silent: set[int], named: str
) -> None:
    monkeypatch.setattr(dist, "get_world_size", lambda: 3)
    monkeypatch.setattr(dist, "get_rank", lambda: 0)
    monkeypatch.setattr(room, "SILENT", 0.0)
    watch = Watch(30.0)
    store: Any = Store(dict(enumerate(told)), silent=silent)
    watch._store = store
    with watch.at(9):
        said = watch._behind()
    assert f"the last of all is {named}" in said
    assert "step 10 has taken more than 30 s on process 0" in said
    assert "training.timeout" in said


def test_alone_nothing_is_watched() -> None:
    with Watch(0.0) as watch, watch.at(3):
        assert watch._store is None
