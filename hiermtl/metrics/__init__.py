"""Scores as sums of per-sentence counts, so that any resampling of sentences can be scored."""
