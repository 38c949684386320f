"""`hiermtl demo`."""

from collections.abc import Callable
from pathlib import Path

from hiermtl.annotation import Annotator, load
from hiermtl.demo import LIMIT, PORT, DemoServer, Levels
from hiermtl.errors import RecipeError
from hiermtl.precision import resolve_device


def demo(
    model: str | Path | Annotator,
    *,
    port: int = PORT,
    limit: int = LIMIT,
    precision: str | None = None,
    device: str | None = None,
    told: Callable[[str], None] | None = None,
) -> None:
    """Serves a page on this machine where a person types text and sees every level of it.

    Returns when it is interrupted.

    Args:
        model: A model, or where one lies.
        port: Of 127.0.0.1; 0 is any that is free.
        limit: Characters that a text may have.
        precision: `fp32` or `bf16` for a model that is loaded here. Default: the model's.
        device: Where a model that is loaded here computes. Default: `cuda` where there is one.
        told: Is told the address of the page once it can be opened.

    Raises:
        ModelError: The model or the precision is not there.
        RecipeError: `limit` is below 1.
        RunError: The port cannot be used.
    """
    if limit < 1:
        raise RecipeError(f"limit is {limit}; allowed is 1 or more characters")
    nlp = model
    if not isinstance(nlp, Annotator):
        nlp = load(nlp, device=resolve_device(device), precision=precision)
    with DemoServer(Levels(nlp, limit=limit), port) as server:
        try:
            if told is not None:
                told(server.address)
            server.serve_forever()
        except KeyboardInterrupt:
            return
