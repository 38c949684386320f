"""One cache and one trained model for all of these tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.program import RECIPE, done


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HIERMTL_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("COLUMNS", "300")
        yield


@pytest.fixture(scope="session")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def model(recipe: Path, tmp_path_factory: pytest.TempPathFactory, _cache: None) -> Path:
    """A folder with a finished run; tests must not write into it."""
    folder = tmp_path_factory.mktemp("model") / "run"
    assert f"The model is in {folder}" in done("train", recipe, "-o", folder).stdout
    return folder


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory, _cache: None) -> Path:
    """Sample corpora as files."""
    folder = tmp_path_factory.mktemp("sample")
    done("sample", folder, "--train", 20, "--dev", 15, "--test", 15)
    return folder
