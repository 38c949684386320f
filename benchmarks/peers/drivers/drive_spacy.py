"""spaCy with spacy-transformers: one encoder, taggers, and transition-based parser and entities.

Components are those of spaCy's quickstart for a transformer; training batches by padded size, with
dropout 0.1, Adam with weight decay and a linear warm-up, as its configs have it. The rate is twice
theirs and batches are half as big, as suits a small encoder that is trained for few steps.
"""

import random

import spacy
from serve import Stopwatch, sentences, serve
from spacy.tokens import Doc
from spacy.training import Example
from spacy.training.batchers import minibatch_by_padded_size
from thinc.api import Adam, fix_random_seed, warmup_linear

RATE = 1e-4
"""Of encoder and heads. Of three rates the best for tags after 20 steps; for trees 1e-3 was."""
PADDED, BUFFER = 1024, 256
PIPED = 1000
"""Documents that are sorted by length before the encoder gets them."""
COMPONENTS = {"upos": "morphologizer", "xpos": "tagger", "dep": "parser", "ner": "ner"}
LISTENER = {
    "@architectures": "spacy-transformers.TransformerListener.v1",
    "grad_factor": 1.0,
    "pooling": {"@layers": "reduce_mean.v1"},
}
TRANSITIONS = {"dep": ("parser", 128, 3), "ner": ("ner", 64, 2)}


def pipeline(encoder, tasks):
    """Untrained."""
    nlp = spacy.blank("en")
    model = {
        "@architectures": "spacy-transformers.TransformerModel.v3",
        "name": encoder,
        "tokenizer_config": {"use_fast": True},
        "get_spans": {
            "@span_getters": "spacy-transformers.strided_spans.v1",
            "window": 128,
            "stride": 96,
        },
    }
    nlp.add_pipe("transformer", config={"model": model})
    for task in tasks:
        if task in TRANSITIONS:
            kind, width, pieces = TRANSITIONS[task]
            head = {
                "@architectures": "spacy.TransitionBasedParser.v2",
                "state_type": kind,
                "extra_state_tokens": False,
                "hidden_width": width,
                "maxout_pieces": pieces,
                "use_upper": False,
            }
        else:
            head = {"@architectures": "spacy.Tagger.v2"}
        nlp.add_pipe(COMPONENTS[task], config={"model": {**head, "tok2vec": LISTENER}})
    return nlp


class SpaCy:
    """The requests."""

    versions = ("spacy", "spacy-transformers", "thinc")

    def __init__(self, encoder, train, dev, threads):
        del threads
        self.encoder = encoder
        self.gold, self.words = sentences(train), [s["words"] for s in sentences(dev)]
        self.nlp = None

    def train(self, tasks, count, epochs, seed, folder):
        """Seconds of the updates, with what puts sentences into batches."""
        fix_random_seed(seed)
        self.nlp = nlp = pipeline(self.encoder, tasks)
        examples = [self.example(s, tasks) for s in self.gold[:count]]
        nlp.initialize(lambda: examples)
        draw, clock = random.Random(seed), Stopwatch()
        steps = epochs * sum(1 for _ in batches(examples))
        optimizer = Adam(
            warmup_linear(RATE, max(1, steps // 10), steps + 1),
            L2=0.01,
            L2_is_weight_decay=True,
            grad_clip=1.0,
            use_averages=False,
        )
        with clock.running():
            for _ in range(epochs):
                draw.shuffle(examples)
                for batch in batches(examples):
                    nlp.update(batch, sgd=optimizer, drop=0.1)
                    optimizer.step_schedules()
        nlp.to_disk(folder)
        return {"seconds": clock.seconds}

    def example(self, sentence, tasks):
        """A sentence with the layers of these tasks."""
        gold = {}
        if "upos" in tasks:
            gold["pos"] = sentence["upos"]
        if "xpos" in tasks:
            gold["tags"] = sentence["xpos"]
        if "ner" in tasks:
            gold["ents"] = sentence["ner"]
        if "dep" in tasks:
            heads, relations = sentence["dep"]
            gold["heads"] = [i if head == 0 else head - 1 for i, head in enumerate(heads)]
            gold["deps"] = ["ROOT" if name == "root" else name for name in relations]
        vocab, words = self.nlp.vocab, sentence["words"]
        starts = [i == 0 for i in range(len(words))]
        reference = Doc(vocab, words=words, sent_starts=None if "dep" in tasks else starts, **gold)
        return Example(Doc(vocab, words=words), reference)

    def load(self, tasks, folder):
        """What was trained."""
        del tasks
        self.nlp = spacy.load(folder)

    def annotate(self, tasks, predictions):
        """Seconds from words to docs."""
        nlp, clock = self.nlp, Stopwatch()
        others = [COMPONENTS[task] for task in COMPONENTS if task not in tasks]
        disabled = [name for name in others if name in nlp.pipe_names]
        with nlp.select_pipes(disable=disabled), clock.running():
            docs = [Doc(nlp.vocab, words=words) for words in self.words]
            docs = list(nlp.pipe(docs, batch_size=PIPED))
        answer = {"seconds": clock.seconds}
        if predictions:
            read = {"upos": upos, "xpos": xpos, "ner": ner, "dep": dep}
            answer["predictions"] = {task: [read[task](doc) for doc in docs] for task in tasks}
        return answer


def batches(examples):
    """Of sentences of similar length, so many words with padding."""
    return minibatch_by_padded_size(
        examples, size=PADDED, buffer=BUFFER, get_length=lambda one: len(one.reference)
    )


def upos(doc):
    """Tags."""
    return [token.pos_ for token in doc]


def xpos(doc):
    """Tags."""
    return [token.tag_ for token in doc]


def ner(doc):
    """IOB2."""
    return [f"{token.ent_iob_}-{token.ent_type_}" if token.ent_type_ else "O" for token in doc]


def dep(doc):
    """Heads and relations; a parse of several sentences has several roots."""
    heads = [0 if token.head.i == token.i else token.head.i + 1 for token in doc]
    return [heads, ["root" if token.dep_ == "ROOT" else token.dep_ for token in doc]]


if __name__ == "__main__":
    serve(SpaCy)
