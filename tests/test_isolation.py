"""The promises of `conftest.py`: without these, a test could reach out and nobody would know."""

import os
import random
import socket
import tempfile
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch

ELSEWHERE = "192.0.2.1"  # reserved for documentation: no machine has it


@pytest.mark.parametrize("method", ["connect", "connect_ex"])
def test_connecting_to_another_machine_is_refused(method: str) -> None:
    with socket.socket() as end, pytest.raises(Exception, match=ELSEWHERE) as refusal:
        getattr(end, method)((ELSEWHERE, 80))
    assert refusal.type.__name__ == "NetworkBlockedError"


def test_looking_up_another_machine_is_refused() -> None:
    with pytest.raises(Exception, match=r"example\.org") as refusal:
        socket.create_connection(("example.org", 80))
    assert refusal.type.__name__ == "NetworkBlockedError"


def test_connecting_to_this_machine_is_allowed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()


def test_caches_lie_in_the_temporary_folder(tmp_path: Path) -> None:
    temporary = Path(tempfile.gettempdir()).resolve()
    for cache in (os.environ["HF_HOME"], datasets.config.HF_DATASETS_CACHE):
        assert Path(cache).resolve().is_relative_to(temporary)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("run", [1, 2])
def test_every_test_starts_from_the_same_seed(run: int) -> None:
    drawn = random.random(), float(np.random.random()), float(torch.rand(1))  # noqa: NPY002
    assert drawn == pytest.approx((0.8444218515250481, 0.5488135039273248, 0.4962565898895264))


def test_torch_uses_one_thread() -> None:
    assert torch.get_num_threads() == 1
