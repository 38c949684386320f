"""The sample corpora that the promises are checked on, each made once."""

from functools import cache

from hiermtl.sample.write import SampleCorpus, sample_corpus

SEEDS = (0, 1, 2)


@cache
def corpus_of(seed: int) -> SampleCorpus:
    """The corpus of a seed, of 2,000, 300 and 300 sentences."""
    return sample_corpus(seed)
