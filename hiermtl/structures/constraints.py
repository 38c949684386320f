"""Which label may follow which in IOB2 label inventories."""

from collections.abc import Sequence

import torch
from torch import Tensor

SCHEMES = ("iob2",)


def bio_transitions(labels: Sequence[str], scheme: str = "iob2") -> tuple[Tensor, Tensor, Tensor]:
    """Permitted transitions of an IOB2 label inventory.

    In IOB2 (Tjong Kim Sang & Veenstra, 1999) every span opens with ``B-``: ``I-X`` may follow
    only ``B-X`` or ``I-X`` and may not open a sentence. Every label may close one. A label whose
    first character is neither ``B`` nor ``I`` followed by a hyphen (or by nothing) is outside
    every span, whatever its name.

    Args:
        labels: Label inventory in index order.
        scheme: Tagging scheme, ``"iob2"`` only.

    Returns:
        Boolean tensors: allowed ``(labels, labels)`` from row to column, allowed first labels
        ``(labels,)`` and allowed last labels ``(labels,)``.

    Raises:
        ValueError: If the scheme is unknown or a label occurs twice.
    """
    if scheme not in SCHEMES:
        raise ValueError(f"unknown tagging scheme {scheme!r}; known: {', '.join(SCHEMES)}")
    if len(set(labels)) != len(labels):
        raise ValueError("the label inventory names a label twice")
    parts = [_split(label) for label in labels]
    allowed = torch.tensor(
        [
            [to != "I" or (origin in {"B", "I"} and kind == target) for to, target in parts]
            for origin, kind in parts
        ],
        dtype=torch.bool,
    ).reshape(len(labels), len(labels))
    start = torch.tensor([prefix != "I" for prefix, _ in parts], dtype=torch.bool)
    return allowed, start, torch.ones(len(labels), dtype=torch.bool)


def forbid(scores: Tensor, allowed: Tensor, *, value: float = float("-inf")) -> Tensor:
    """Scores with everything that is not allowed replaced.

    Args:
        scores: Transition, start or end scores.
        allowed: Boolean tensor of the same shape.
        value: Score of what is forbidden; ``-inf`` for decoding.

    Returns:
        A new tensor; the gradient flows through what is allowed.
    """
    return scores.masked_fill(~allowed.to(scores.device), value)


def _split(label: str) -> tuple[str, str]:
    prefix, _, kind = label.partition("-")
    return (prefix, kind) if prefix in {"B", "I"} else ("O", "")
