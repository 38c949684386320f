import pytest

from hiermtl.sample.derivation import Derivation
from hiermtl.sample.write import SampleCorpus
from tests.unit.sample.seeds import corpus_of


@pytest.fixture(scope="session")
def corpus() -> SampleCorpus:
    return corpus_of(0)


@pytest.fixture(scope="session")
def sentences(corpus: SampleCorpus) -> list[Derivation]:
    parts = (corpus.train, corpus.dev, corpus.test)
    return [s for part in parts for document in part for s in document.sentences]
