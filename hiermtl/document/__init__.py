"""What annotation gives back: a text, its words, and what the model says at each level."""

from hiermtl.document.base import Document, conllu_columns
from hiermtl.document.parts import Arcs, SentenceView, Span

__all__ = ["Arcs", "Document", "SentenceView", "Span", "conllu_columns"]
