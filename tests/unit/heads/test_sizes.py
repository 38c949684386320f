"""Matrix products of heads are of sizes that recur."""

from typing import Any

import pytest
import torch
from torch import nn

from hiermtl.heads import HEADS
from hiermtl.heads.base import evened
from hiermtl.records import Tap, recurring
from tests.unit.heads.test_tagging import layout_of


@pytest.mark.parametrize("kind", [k for k, h in HEADS.items() if h.unit in ("word", "document")])
def test_heads_multiply_by_sizes_that_recur(kind: str) -> None:
    """Where they read words; what they make of mentions and predicates differs in number anyhow."""
    layout = layout_of((30, 7))
    reads: Any = {"reads": {"entity": 2}} if HEADS[kind].reads_layer else {}
    head: Any = HEADS[kind](5, ["B-A", "I-A", "O"], **reads)
    seen = []
    for module in head.modules():
        if isinstance(module, nn.Linear):
            module.register_forward_hook(lambda _, given, __: seen.append(len(given[0])))
    found = head(Tap(torch.randn(layout.words, 5), layout))
    assert seen
    assert seen == [recurring(size, steps=4) for size in seen]
    assert {len(scores) for name, scores in found.items() if not name.startswith("root_")} == {37}


def test_rows_are_appended_only_where_some_are_missing() -> None:
    values = torch.randn(37, 2)
    found = evened(values)
    assert len(found) == recurring(37, steps=4) == 40
    assert torch.equal(found[:37], values)
    assert not found[37:].any()
    assert evened(found) is found
