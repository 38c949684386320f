"""Heads: one kind a file, one row each in the table."""

from hiermtl.heads.base import Head
from hiermtl.heads.biaffine import BiaffineHead
from hiermtl.heads.coreference import CoreferenceHead
from hiermtl.heads.crf import CrfHead
from hiermtl.heads.edits import EditsHead
from hiermtl.heads.hint import HintHead
from hiermtl.heads.pair_classification import PairClassificationHead
from hiermtl.heads.pair_regression import PairRegressionHead
from hiermtl.heads.relation import RelationHead
from hiermtl.heads.roles import RolesHead
from hiermtl.heads.span import SpanHead
from hiermtl.heads.tagging import TaggingHead
from hiermtl.heads.text_classification import TextHead

HEADS: dict[str, type[Head]] = {
    kind.kind: kind
    for kind in (
        TaggingHead,
        CrfHead,
        EditsHead,
        HintHead,
        BiaffineHead,
        SpanHead,
        RolesHead,
        RelationHead,
        CoreferenceHead,
        TextHead,
        PairClassificationHead,
        PairRegressionHead,
    )
}

__all__ = [
    "HEADS",
    "BiaffineHead",
    "CoreferenceHead",
    "CrfHead",
    "EditsHead",
    "Head",
    "HintHead",
    "PairClassificationHead",
    "PairRegressionHead",
    "RelationHead",
    "RolesHead",
    "SpanHead",
    "TaggingHead",
    "TextHead",
]
