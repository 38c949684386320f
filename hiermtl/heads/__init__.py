"""Heads: one kind a file, one row each in the table."""

from hiermtl.heads.base import Head
from hiermtl.heads.biaffine import BiaffineHead
from hiermtl.heads.crf import CrfHead
from hiermtl.heads.tagging import TaggingHead

HEADS: dict[str, type[Head]] = {"tagging": TaggingHead, "crf": CrfHead, "biaffine": BiaffineHead}

__all__ = ["HEADS", "BiaffineHead", "CrfHead", "Head", "TaggingHead"]
