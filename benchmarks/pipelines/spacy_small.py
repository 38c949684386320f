"""A pipeline of spaCy of the size of its small models, for the same tasks; weights untrained.

The architecture follows the configs of spaCy's quickstart for a CPU: a convolutional network (width
96, depth 4, window 1) over hashed features, which all components share; one transition-based
parser, one for entities; taggers; lemmas by edit trees.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import spacy
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from hiermtl.document import Document
from hiermtl.text.sentence import Sentence

_LISTENER = {"@architectures": "spacy.Tok2VecListener.v1", "width": 96}
TOK2VEC = {
    "@architectures": "spacy.Tok2Vec.v2",
    "embed": {
        "@architectures": "spacy.MultiHashEmbed.v2",
        "width": 96,
        "attrs": ["NORM", "PREFIX", "SUFFIX", "SHAPE"],
        "rows": [5000, 1000, 2500, 2500],
        "include_static_vectors": False,
    },
    "encode": {
        "@architectures": "spacy.MaxoutWindowEncoder.v2",
        "width": 96,
        "depth": 4,
        "window_size": 1,
        "maxout_pieces": 3,
    },
}
"""Words as spaCy's quickstart for a processor reads them."""

TASKS = ("upos", "xpos", "feats", "lemma", "ner", "dep")
_LAYERS = {"upos": "tags", "xpos": "tags", "feats": "tags", "lemma": "tags", "ner": "tags"}


def spacy_small(train: Sequence[Sentence]) -> Language:
    """The pipeline, its labels those of these sentences."""
    nlp = spacy.blank("en")
    nlp.add_pipe("tok2vec", config={"model": TOK2VEC})
    for name in ("tagger", "morphologizer"):
        nlp.add_pipe(name, config={"model": _tagger()})
    nlp.add_pipe("trainable_lemmatizer", config={"model": _tagger()})
    nlp.add_pipe("parser", config={"model": _parser("parser")})
    nlp.add_pipe("ner", config={"model": _parser("ner")})
    examples = list(_examples(nlp, train))
    nlp.initialize(lambda: examples)
    return nlp


def _tagger() -> dict[str, Any]:
    return {"@architectures": "spacy.Tagger.v2", "tok2vec": _LISTENER}


def _parser(kind: str) -> dict[str, Any]:
    return {
        "@architectures": "spacy.TransitionBasedParser.v2",
        "tok2vec": _LISTENER,
        "state_type": kind,
        "extra_state_tokens": False,
        "hidden_width": 64,
        "maxout_pieces": 2,
        "use_upper": True,
    }


def _examples(nlp: Language, sentences: Sequence[Sentence]) -> Iterator[Example]:
    levels = {**_LAYERS, "dep": "tree"}
    for sentence in sentences:
        if set(levels) <= set(sentence.layers):
            gold = Document([sentence], [sentence.layers], levels=levels, known=levels)
            reference = gold.to_spacy(nlp)
            yield Example(Doc(nlp.vocab, words=list(sentence.words)), reference)
