"""The peers, and what cannot be made equal among them."""

from benchmarks.peers.subjects import PEER, About

PEERS: dict[str, About] = {
    "hanlp": About(
        name="HanLP",
        kind=PEER,
        tasks=("upos", "xpos", "ner", "dep"),
        precision="fp32",
        batching="32 sentences of similar length",
        encoder="annotating once; training once per task",
        decoder="argmax, biaffine spanning tree",
    ),
    "spacy": About(
        name="spaCy",
        kind=PEER,
        tasks=("upos", "xpos", "ner", "dep"),
        precision="fp32",
        batching="1,024 words with padding, of similar length; annotating 1,000 sentences, sorted",
        encoder="once",
        decoder="argmax, transitions one by one",
    ),
    "flair": About(
        name="flair",
        kind=PEER,
        tasks=("upos", "xpos", "ner"),
        precision="fp32; training bf16 autocast",
        batching="32 sentences; annotating sorted by length",
        encoder="once",
        decoder="argmax",
    ),
    "stanza": About(
        name="Stanza",
        kind=PEER,
        tasks=("upos", "xpos", "dep"),
        precision="fp32",
        batching="tagger 32 sentences, parser 1,000 words; annotating its own, sorted by length",
        encoder="once for tags, once for trees; a BiLSTM above each",
        decoder="argmax, biaffine spanning tree",
    ),
}
"""Name of its files here to what is told of it.

Only flair documents a lower precision than fp32 that a CPU can use, and in training alone.
"""
