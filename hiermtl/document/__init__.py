"""What annotation gives back: a text, its words, and what the model says at each level."""

from hiermtl.document.base import Document, conllu_columns
from hiermtl.document.bridge import TOKEN_FIELDS
from hiermtl.document.parts import Arcs, SentenceView, Span

__all__ = ["TOKEN_FIELDS", "Arcs", "Document", "SentenceView", "Span", "conllu_columns"]
