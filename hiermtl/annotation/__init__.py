"""Texts to documents: prediction in batches, the annotator a user holds, and whole files."""

from hiermtl.annotation.annotator import Annotator, load
from hiermtl.annotation.files import AnnotateReport, annotate_files

__all__ = ["AnnotateReport", "Annotator", "annotate_files", "load"]
