"""What holds for every test: one thread, no network, nothing written outside temporary folders."""

import itertools
import os
import random
import socket
import sys
import tempfile
from pathlib import Path

# These are read when a library is imported, here or in a process that a test starts.
_CACHE = tempfile.TemporaryDirectory(prefix="hiermtl-tests-")
os.environ.update(
    HF_DATASETS_DISABLE_PROGRESS_BARS="1",
    HF_DATASETS_OFFLINE="1",
    HF_HOME=_CACHE.name,
    HIERMTL_CACHE=_CACHE.name,
    HF_HUB_DISABLE_PROGRESS_BARS="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    HF_HUB_OFFLINE="1",
    MKL_NUM_THREADS="1",
    MPLCONFIGDIR=_CACHE.name,
    OMP_NUM_THREADS="1",
    TOKENIZERS_PARALLELISM="false",
)

import numpy as np  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402
from hypothesis import settings  # noqa: E402

torch.set_num_threads(1)
settings.register_profile("hiermtl", database=None, deadline=None, derandomize=True)
settings.load_profile("hiermtl")

_NUMBERS = itertools.count()
_LOOPBACK = {"", "0.0.0.0", "127.0.0.1", "::", "::1", "localhost", socket.gethostname()}


class NetworkBlockedError(Exception):
    """A test without the marker `network` tried to reach another machine.

    It is no `OSError`: code that retries or falls back on those would hide it.
    """


def pytest_unconfigure() -> None:
    _CACHE.cleanup()


@pytest.fixture(autouse=True)
def _same_seed() -> None:
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - libraries draw from the global generator
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives each test a cache of its own, beside its `tmp_path` and made only if it is used."""
    cache = tmp_path_factory.getbasetemp() / f"cache-{next(_NUMBERS)}"
    monkeypatch.setenv("HF_HOME", str(cache))
    if "datasets" in sys.modules:
        monkeypatch.setattr(sys.modules["datasets"].config, "HF_DATASETS_CACHE", cache / "datasets")


@pytest.fixture(autouse=True)
def _no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.node.get_closest_marker("network"):
        return

    def refuse_unless_local(host: object) -> None:
        name = host.decode() if isinstance(host, bytes) else host
        if isinstance(name, str) and name not in _LOOPBACK and not name.startswith("127."):
            raise NetworkBlockedError(
                f"this test tried to reach {name!r}; mark it with @pytest.mark.network "
                "or take what it needs from a fixture"
            )

    def guard(name: str) -> None:
        method = getattr(socket.socket, name)

        def guarded(self: socket.socket, address: object, *rest: object) -> object:
            if isinstance(address, tuple):
                refuse_unless_local(address[0])
            return method(self, address, *rest)

        monkeypatch.setattr(socket.socket, name, guarded)

    guard("connect")
    guard("connect_ex")
    look_up = socket.getaddrinfo

    def guarded_look_up(host: object, *rest: object, **options: object) -> object:
        refuse_unless_local(host)
        return look_up(host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", guarded_look_up)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real corpora, which are not part of the repository."""
    if not os.environ.get("HIERMTL_DATA"):
        pytest.skip("HIERMTL_DATA is not set")
    folder = Path(os.environ["HIERMTL_DATA"])
    if not folder.is_dir():
        pytest.fail(f"HIERMTL_DATA is {str(folder)!r}, which is not a folder")
    return folder
