"""One cache for this room, so that its sample corpora are made once; and one finished run."""

from collections.abc import Iterator

import pytest

from hiermtl.commands import Run, train
from tests.unit.commands.runs import recipe


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HIERMTL_CACHE", str(tmp_path_factory.mktemp("commands-cache")))
        yield


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, _cache: None) -> Run:
    """A finished run on the sample corpora."""
    return train(recipe(), output=tmp_path_factory.mktemp("run"), quiet=True)
