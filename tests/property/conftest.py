"""What tests of properties share."""

from collections.abc import Iterator

import pytest

from tests.processes import Processes


@pytest.fixture(scope="module")
def two_processes() -> Iterator[Processes]:
    """Two processes, started when a test of a module first asks for them."""
    processes = Processes(2)
    yield processes
    processes.close()
