"""Tiny models with random weights."""

from collections.abc import Callable

import pytest
import torch
from transformers import BertConfig, BertTokenizerFast

from hiermtl.config import HierarchicalConfig
from hiermtl.encoders.bert import BertEncoder
from hiermtl.encoders.bilstm import BiLstmEncoder
from hiermtl.model import HierarchicalModel
from hiermtl.tokens import PieceTokenizer, Tokenizer, WordTokenizer
from hiermtl.tokens.words import word_code

TASKS = {
    "upos": {"depth": 1, "head": "tagging", "labels": ["NOUN", "VERB", "DET"]},
    "ner": {"depth": 1, "head": "crf", "labels": ["O", "B-PER", "I-PER"]},
    "dep": {"depth": 2, "head": "biaffine", "labels": ["root", "obj"]},
}
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "##a", "##b", "##c", "."]


def bert_config() -> BertConfig:
    return BertConfig(
        vocab_size=len(PIECES),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=24,
    )


def bert_tokenizer() -> BertTokenizerFast:
    return BertTokenizerFast(vocab={piece: place for place, piece in enumerate(PIECES)})


def trained(model: HierarchicalModel) -> HierarchicalModel:
    """Weights that no start would draw."""
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)
    return model.eval()


def make_bert() -> tuple[HierarchicalModel, Tokenizer]:
    encoder = BertEncoder(bert_config())
    model = HierarchicalModel(HierarchicalConfig(encoder.config(), TASKS, language="en"), encoder)
    return trained(model), PieceTokenizer(bert_tokenizer(), limit=24)


def make_bilstm() -> tuple[HierarchicalModel, Tokenizer]:
    encoder = BiLstmEncoder(layers=2, hidden=8, vocabulary=2, buckets=31)
    model = HierarchicalModel(HierarchicalConfig(encoder.config(), TASKS), encoder)
    return trained(model), WordTokenizer([word_code("a"), word_code("b")], 31, sizes=[2])


@pytest.fixture(params=[make_bert, make_bilstm], ids=["bert", "bilstm"])
def parts(request: pytest.FixtureRequest) -> tuple[HierarchicalModel, Tokenizer]:
    make: Callable[[], tuple[HierarchicalModel, Tokenizer]] = request.param
    return make()


@pytest.fixture
def bert() -> tuple[HierarchicalModel, Tokenizer]:
    return make_bert()


@pytest.fixture
def encoder_folder(tmp_path_factory: pytest.TempPathFactory):
    """A transformers BERT with its tokenizer."""
    from transformers import BertModel

    folder = tmp_path_factory.mktemp("encoder")
    BertModel(bert_config(), add_pooling_layer=True).save_pretrained(folder)
    bert_tokenizer().save_pretrained(folder)
    return folder
