"""Heads: one kind a file, one row each in the table."""

from hiermtl.heads.base import Head
from hiermtl.heads.biaffine import BiaffineHead
from hiermtl.heads.crf import CrfHead
from hiermtl.heads.edits import EditsHead
from hiermtl.heads.tagging import TaggingHead

HEADS: dict[str, type[Head]] = {
    kind.kind: kind for kind in (TaggingHead, CrfHead, EditsHead, BiaffineHead)
}

__all__ = ["HEADS", "BiaffineHead", "CrfHead", "EditsHead", "Head", "TaggingHead"]
