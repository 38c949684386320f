"""Tiny models with random weights: a BERT with word pieces, and a BiLSTM with words."""

from collections.abc import Callable

import pytest
import torch
from transformers import BertConfig, BertTokenizerFast

from hiermtl.annotation import Annotator
from hiermtl.config import HierarchicalConfig
from hiermtl.encoders.bert import BertEncoder
from hiermtl.encoders.bilstm import BiLstmEncoder
from hiermtl.model import HierarchicalModel
from hiermtl.tokens import PieceTokenizer, Tokenizer, WordTokenizer
from hiermtl.tokens.words import word_code

UPOS = ["NOUN", "VERB", "DET", "PUNCT"]
NER = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
DEP = ["root", "nsubj", "obj", "punct"]
TASKS = {
    "upos": {"depth": 1, "head": "tagging", "labels": UPOS},
    "ner": {"depth": 2, "head": "crf", "labels": NER},
    "dep": {
        "depth": 3,
        "head": "biaffine",
        "labels": DEP,
        "options": {"arc_width": 16, "label_width": 8},
    },
}
LETTERS = [chr(c) for c in range(ord("a"), ord("z") + 1)]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{c}" for c in LETTERS)]


def spread(model: HierarchicalModel) -> HierarchicalModel:
    """Larger weights, so that labels vary from word to word."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.startswith("heads.") or "embeddings" in name:
                weight.normal_(std=0.5)
    return model.eval()


def pieces(limit: int) -> PieceTokenizer:
    vocabulary = {piece: place for place, piece in enumerate([*VOCABULARY, ".", ",", "!"])}
    return PieceTokenizer(BertTokenizerFast(vocab=vocabulary), limit=limit)


def make_bert(**options: object) -> tuple[HierarchicalModel, Tokenizer]:
    config = BertConfig(
        vocab_size=len(VOCABULARY) + 3,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=24,
    )
    encoder = BertEncoder(config)
    whole = HierarchicalConfig(encoder.config(), TASKS, language="en", **options)
    return spread(HierarchicalModel(whole, encoder)), pieces(24)


def make_bilstm(**options: object) -> tuple[HierarchicalModel, Tokenizer]:
    words = WordTokenizer([*map(word_code, ("the", "dog", "barks"))], 97, sizes=[2, 3])
    encoder = BiLstmEncoder(
        layers=3, hidden=8, word_width=8, ngram_width=8, vocabulary=3, buckets=97
    )
    whole = HierarchicalConfig(encoder.config(), TASKS, language="en", **options)
    return spread(HierarchicalModel(whole, encoder)), words


@pytest.fixture(params=[make_bert, make_bilstm], ids=["bert", "bilstm"])
def parts(request: pytest.FixtureRequest) -> tuple[HierarchicalModel, Tokenizer]:
    make: Callable[[], tuple[HierarchicalModel, Tokenizer]] = request.param
    return make()


@pytest.fixture
def bert() -> tuple[HierarchicalModel, Tokenizer]:
    return make_bert()


@pytest.fixture
def nlp(bert: tuple[HierarchicalModel, Tokenizer]) -> Annotator:
    return Annotator(*bert)


@pytest.fixture
def coreference() -> Annotator:
    """Finds spans and what they are together, by chance."""
    _, words = make_bilstm()
    encoder = BiLstmEncoder(
        layers=1, hidden=8, word_width=8, ngram_width=8, vocabulary=3, buckets=97
    )
    tasks = {
        "entity": {"depth": 1, "head": "span", "labels": ["person"]},
        "coref": {
            "depth": 1,
            "head": "coreference",
            "labels": ["mention"],
            "options": {"reads": {"entity": 1}},
        },
    }
    torch.manual_seed(0)
    config = HierarchicalConfig(encoder.config(), tasks, language="en")
    return Annotator(spread(HierarchicalModel(config, encoder)), words)


@pytest.fixture
def sentences() -> list[list[str]]:
    """Of many lengths, none and one among them, and longer than the encoder."""
    generator = torch.Generator().manual_seed(1)
    lengths = [3, 0, 1, 12, 7, 7, 60, 2, 5, 0, 33, 1]
    letters = "abcdefghijklmnopqrstuvwxyz"
    return [
        [
            "".join(letters[i] for i in torch.randint(26, (size,), generator=generator))
            for size in torch.randint(1, 6, (length,), generator=generator).tolist()
        ]
        for length in lengths
    ]
