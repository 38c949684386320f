"""For how many shapes of a product libraries keep what they prepared for it.

oneDNN keeps the code it wrote, and torch what it made ready: each for 1,024 shapes, unless the
environment tells them otherwise before the first product. Text brings ever new shapes. Sentences
that are annotated come sorted by length, so that those of one batch soon come again and few need be
kept; batches of training are shuffled.
"""

import os

NAMES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")

ANNOTATING, TRAINING = 16, 64

_OURS = [name for name in NAMES if name not in os.environ]


def keep_shapes(count: int) -> None:
    """Sets both, but what the process began with stays; of no effect after the first product."""
    os.environ.update(dict.fromkeys(_OURS, str(count)))
