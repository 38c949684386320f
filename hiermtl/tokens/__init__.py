"""Words to the encoder's units, and examples to batches."""

from hiermtl.tokens.base import Rows, Tokenizer
from hiermtl.tokens.collate import Collator
from hiermtl.tokens.pieces import PieceTokenizer
from hiermtl.tokens.words import WordTokenizer

__all__ = ["Collator", "PieceTokenizer", "Rows", "Tokenizer", "WordTokenizer"]
