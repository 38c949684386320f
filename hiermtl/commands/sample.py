"""`hiermtl sample`."""

from pathlib import Path

from hiermtl.errors import RecipeError
from hiermtl.sample import SampleReport, write_sample


def sample(
    folder: str | Path, *, seed: int = 0, train: int = 2000, dev: int = 300, test: int = 300
) -> SampleReport:
    """Writes the generated corpora to a folder; sizes are numbers of sentences.

    Raises:
        RecipeError: The folder cannot be written.
    """
    try:
        return write_sample(folder, seed=seed, train=train, dev=dev, test=test)
    except OSError as error:
        raise RecipeError(
            f"{folder} cannot be written ({error.strerror}); name a folder you may write to"
        ) from error
