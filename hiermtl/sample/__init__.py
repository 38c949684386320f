"""Sample corpora: text with gold for every level, generated from a seed."""

from hiermtl.sample.write import SampleReport, sample_corpus, write_sample

__all__ = ["SampleReport", "sample_corpus", "write_sample"]
