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
}
"""Name of its files here to what is told of it.

None documents a lower precision than fp32 on a CPU.
"""
