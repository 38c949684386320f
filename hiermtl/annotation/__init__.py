"""Texts to documents: prediction in batches, the annotator a user holds, and whole files."""

from hiermtl.annotation.annotator import Annotator, load
from hiermtl.annotation.cluster import annotate_on_cluster
from hiermtl.annotation.files import AnnotateReport, annotate_files
from hiermtl.annotation.given import Pair

__all__ = ["AnnotateReport", "Annotator", "Pair", "annotate_files", "annotate_on_cluster", "load"]
