"""Keeps the libraries' load reports and progress bars off the terminal."""

from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub.utils import are_progress_bars_disabled, enable_progress_bars
from transformers.utils import logging

_SILENT = 50  # above an error


@contextmanager
def quiet() -> Iterator[None]:
    """Inside, transformers says nothing, not even of errors, which come as exceptions too.

    Its settings come back afterwards.
    """
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    hub_bars = not are_progress_bars_disabled()
    logging.set_verbosity(_SILENT)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
        if hub_bars and are_progress_bars_disabled():
            enable_progress_bars()
