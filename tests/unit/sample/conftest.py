import pytest

from hiermtl.sample.derivation import Derivation
from hiermtl.sample.write import SampleCorpus, sample_corpus


@pytest.fixture(scope="session")
def corpus() -> SampleCorpus:
    return sample_corpus(0)


@pytest.fixture(scope="session")
def sentences(corpus: SampleCorpus) -> list[Derivation]:
    parts = (corpus.train, corpus.dev, corpus.test)
    return [s for part in parts for document in part for s in document.sentences]
