"""Which label may follow which in IOB2 label inventories."""

from collections.abc import Sequence

import torch
from torch import Tensor


def bio_transitions(labels: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Permitted transitions of an IOB2 label inventory.

    In IOB2 (Tjong Kim Sang & Veenstra, 1999) every span opens with ``B-``: ``I-X`` may follow
    only ``B-X`` or ``I-X`` and may not open a sentence. Every label may close one. A label whose
    first character is neither ``B`` nor ``I`` followed by a hyphen (or by nothing) is outside
    every span, whatever its name.

    Args:
        labels: Label inventory in index order.

    Returns:
        Boolean tensors: allowed ``(labels, labels)`` from row to column, and allowed first labels
        ``(labels,)``.

    Raises:
        ValueError: If a label occurs twice.
    """
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
    return allowed, start


def _split(label: str) -> tuple[str, str]:
    prefix, _, kind = label.partition("-")
    return (prefix, kind) if prefix in {"B", "I"} else ("O", "")
