"""Batches computed side by side in one process.

On a processor, two streams of half its threads each use it better than one stream of all: while one
stream runs Python between two products, the other multiplies, and smaller teams wait less for each
other.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

STREAMS = 2

_FREE = threading.Lock()
"""Held while streams run: the number of threads is partly one for the whole process."""

Given = TypeVar("Given")
Made = TypeVar("Made")


def streamed(
    function: Callable[[Given], Made], items: Sequence[Given], device: torch.device
) -> Iterator[Made]:
    """`function` of each item, in the order of the items, without gradients.

    Items are taken in their order, so that the costliest should stand first. On a graphics
    processor, with one thread, with too few items to share out, or while another caller's streams
    run, all is done by the caller.
    """
    threads = torch.get_num_threads()
    streams = min(STREAMS, threads, len(items) // 2)
    alone = torch.inference_mode()(function)
    if device.type != "cpu" or streams < 2 or not _FREE.acquire(blocking=False):
        yield from map(alone, items)
        return
    # Autocast belongs to a thread; in the streams it is the caller's.
    half, dtype = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")

    def beside(item: Given) -> Made:
        with torch.autocast("cpu", dtype, enabled=half):
            return alone(item)

    pool = ThreadPoolExecutor(
        streams,
        thread_name_prefix="hiermtl-stream",
        initializer=torch.set_num_threads,
        initargs=(threads // streams,),
    )
    try:
        yield from pool.map(beside, items)
    finally:
        pool.shutdown(cancel_futures=True)
        # The number is a thread's own, but new threads and some libraries take the last one set.
        torch.set_num_threads(threads)
        _FREE.release()
