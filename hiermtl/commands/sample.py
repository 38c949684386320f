"""`hiermtl sample`."""

from pathlib import Path

from hiermtl.sample import SampleReport, write_sample


def sample(
    folder: str | Path, *, seed: int = 0, train: int = 2000, dev: int = 300, test: int = 300
) -> SampleReport:
    """Writes the generated corpora to a folder; sizes are numbers of sentences."""
    return write_sample(folder, seed=seed, train=train, dev=dev, test=test)
