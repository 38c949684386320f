"""For how many shapes of a product libraries keep what they prepared for it.

oneDNN keeps the code it wrote, and torch what it made ready: each for 1,024 shapes, unless the
environment tells them otherwise before the first product. Text brings ever new shapes. Sentences
that are annotated come sorted by length, so that those of one batch soon come again and few need be
kept; batches of training are shuffled. Where fewer are kept than one batch has, none is there when
it comes again, and annotating takes about a twentieth longer.
"""

import os

NAMES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")

ANNOTATING, TRAINING = 16, 64

PER_TASK = 8
"""For each task of a model that annotates: its head's own products, each of a few sizes."""

SET = "HIERMTL_SHAPES"
"""What this module has set, for processes that begin with it; all else is a user's."""

_OURS = [
    name
    for name in NAMES
    if name not in os.environ or f"{name}={os.environ[name]}" in os.environ.get(SET, "").split()
]


def keep_shapes(count: int) -> None:
    """Sets both, but what a user has set stays; of no effect after the first product."""
    os.environ.update(dict.fromkeys(_OURS, str(count)))
    os.environ[SET] = " ".join(f"{name}={count}" for name in _OURS)
