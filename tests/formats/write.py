"""Writes tiny model folders of the current format version, with what they say.

    python -m tests.formats.write

They stay in the repository for ever, so that a later version of the package is tested on them. A
version that is there already is not written again.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import BertConfig, BertTokenizerFast

from hiermtl.annotation import Annotator, Pair
from hiermtl.config import FORMAT_VERSION, HierarchicalConfig
from hiermtl.encoders.bert import BertEncoder
from hiermtl.encoders.bilstm import BiLstmEncoder
from hiermtl.model import HierarchicalModel
from hiermtl.pretrained import save_model
from hiermtl.tokens import PieceTokenizer, Tokenizer, WordTokenizer
from hiermtl.tokens.words import word_code

FORMATS = Path(__file__).parent
SAID = "said.json"
SENTENCES = [["ab", "c", "."], ["bca"], ["a", "cab", "b", "a", "c", "."]]

UPOS = {"depth": 1, "head": "tagging", "labels": ["NOUN", "VERB", "PUNCT"]}
DEP = {
    "depth": 2,
    "head": "biaffine",
    "labels": ["root", "obj", "punct"],
    "options": {"arc_width": 4, "label_width": 4},
}


def said(nlp: Annotator) -> list[dict[str, Any]]:
    """What a model says of the sentences, and of the first two as a pair."""
    given = [*SENTENCES, Pair(*SENTENCES[:2])]
    return [json.loads(json.dumps(doc.to_dict())) for doc in nlp.pipe(given)]


def bert() -> tuple[HierarchicalModel, Tokenizer]:
    """Word pieces, one stream, tags, spans as tags, trees and labels of pairs."""
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abc.", "##a", "##b", "##c"]
    config = BertConfig(
        vocab_size=len(names),
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=24,
    )
    encoder = BertEncoder(config)
    tasks = {
        "upos": UPOS,
        "ner": {"depth": 1, "head": "crf", "labels": ["O", "B-PER", "I-PER"]},
        "dep": DEP,
        "entailment": {
            "depth": 2,
            "head": "pair_classification",
            "labels": ["NO", "YES"],
            "options": {"hidden": 4, "pool": 2, "layers": 1},
        },
        "srl": {
            "depth": 2,
            "head": "roles",
            "labels": ["ARG0", "ARG1", "ARGM-TMP", *(f"V:=||.0{n}" for n in range(6))],
            "options": {"size": 4},
        },
    }
    whole = HierarchicalConfig(encoder.config(), tasks, language="en")
    pieces = BertTokenizerFast(vocab={name: place for place, name in enumerate(names)})
    return HierarchicalModel(whole, encoder), PieceTokenizer(pieces, limit=24)


def bilstm() -> tuple[HierarchicalModel, Tokenizer]:
    """Words and n-grams, streams that are mixed, scripts and nested spans."""
    encoder = BiLstmEncoder(
        layers=2, hidden=4, word_width=4, ngram_width=4, vocabulary=2, buckets=31
    )
    tasks = {
        "upos": UPOS,
        "lemma": {"depth": 1, "head": "edits", "labels": ["=||", "l||", "l||-"]},
        "entity": {
            "depth": 2,
            "head": "span",
            "labels": ["person", "place"],
            "options": {"size": 4},
        },
        "mention": {
            "depth": 2,
            "head": "span",
            "labels": ["object", "event", "time"],
            "options": {"size": 4, "bases": 2},
        },
    }
    whole = HierarchicalConfig(
        encoder.config(), tasks, {"name": "cross_stitch"}, language="en", pooling="mean"
    )
    words = WordTokenizer([word_code("ab"), word_code("c")], 31, sizes=[2])
    return HierarchicalModel(whole, encoder), words


def write() -> None:
    """Writes the folders of the current version."""
    place = FORMATS / f"v{FORMAT_VERSION}"
    if place.exists():
        sys.exit(f"{place} is there already, and stays as it is")
    torch.manual_seed(0)
    for make in (bert, bilstm):
        model, tokenizer = make()
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(torch.randn_like(weight), alpha=1.0 if weight.dim() > 1 else 0.1)
        folder = place / make.__name__
        save_model(model.eval(), tokenizer, folder)
        found = said(Annotator(model, tokenizer))
        (folder / SAID).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()
