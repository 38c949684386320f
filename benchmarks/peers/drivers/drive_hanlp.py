"""HanLP: a linear layer per tag task and a biaffine parser on one encoder.

Set up as its documentation trains its own multi-task models: batches of 32 sentences of similar
length, word dropout 0.1, rates 1e-3 for decoders and 5e-5 for the encoder (here 1e-4, the encoder
being small), warm-up a tenth. A step is of one task.
"""

import shutil
import tempfile
from pathlib import Path

from hanlp.common.dataset import SortingSamplerBuilder
from hanlp.components.mtl.multi_task_learning import MultiTaskLearning
from hanlp.components.mtl.tasks.dep import BiaffineDependencyParsing
from hanlp.components.mtl.tasks.ner.tag_ner import TaggingNamedEntityRecognition
from hanlp.components.mtl.tasks.pos import TransformerTagging
from hanlp.layers.embeddings.contextual_word_embedding import ContextualWordEmbedding
from serve import Stopwatch, conllu, sentences, serve

BATCH = 32
TRIAL = 8
"""Sentences that HanLP judges itself by after an epoch; this is not timed."""


class Timed(MultiTaskLearning):
    """With a clock around the steps of epochs, which leaves judging, saving and building out."""

    clock = Stopwatch()

    def fit_dataloader(self, *args, **kwargs):
        """The steps of an epoch."""
        with self.clock.running():
            return super().fit_dataloader(*args, **kwargs)


class HanLP:
    """The requests."""

    versions = ("hanlp",)

    def __init__(self, encoder, train, dev, threads):
        del threads
        self.encoder = encoder
        self.gold, self.words = sentences(train), [s["words"] for s in sentences(dev)]
        self.model = None

    def train(self, tasks, count, epochs, seed, folder):
        """Seconds of the epochs' steps."""
        made = Path(tempfile.mkdtemp())
        for split, part in (("train", self.gold[:count]), ("trial", self.gold[:TRIAL])):
            for task in set(tasks) - {"dep"}:
                with open(made / f"{split}.{task}.tsv", "w", encoding="utf-8") as file:
                    for s in part:
                        rows = zip(s["words"], s[task], strict=True)
                        file.write("\n".join("\t".join(row) for row in rows) + "\n\n")
            with open(made / f"{split}.conllu", "w", encoding="utf-8") as file:
                file.writelines(conllu(s, ["upos", "dep"]) for s in part)
        self.model = Timed()
        self.model.clock = Stopwatch()
        self.model.fit(
            ContextualWordEmbedding(
                "token",
                self.encoder,
                average_subwords=True,
                max_sequence_length=512,
                word_dropout=0.1,
            ),
            {task: self.task(task, made) for task in tasks},
            folder,
            epochs,
            lr=1e-3,
            encoder_lr=1e-4,
            grad_norm=1,
            gradient_accumulation=1,
            eval_trn=False,
            patience=epochs,
            seed=seed,
        )
        shutil.rmtree(made)
        return {"seconds": self.model.clock.seconds}

    def task(self, name, folder):
        """A task, reading the files of its layer."""
        sampler = SortingSamplerBuilder(batch_size=BATCH)
        if name == "dep":
            file, trial = (str(folder / f"{split}.conllu") for split in ("train", "trial"))
            return BiaffineDependencyParsing(file, trial, trial, sampler, lr=1e-3, tree=True)
        file, trial = (str(folder / f"{split}.{name}.tsv") for split in ("train", "trial"))
        if name == "ner":
            return TaggingNamedEntityRecognition(file, trial, trial, sampler, lr=1e-3)
        return TransformerTagging(file, trial, trial, sampler, lr=1e-3)

    def load(self, tasks, folder):
        """What was trained."""
        del tasks
        self.model = MultiTaskLearning()
        self.model.load(folder)

    def annotate(self, tasks, predictions):
        """Seconds from words to a document, all tasks in one call."""
        clock = Stopwatch()
        with clock.running():
            document = self.model(self.words, tasks=list(tasks))
        answer = {"seconds": clock.seconds}
        if predictions:
            found = {task: document[task] for task in tasks}
            if "dep" in found:
                found["dep"] = [list(zip(*tree, strict=True)) for tree in found["dep"]]
            if "ner" in found:
                spans = zip(self.words, found["ner"], strict=True)
                found["ner"] = [tagged(len(words), found) for words, found in spans]
            answer["predictions"] = found
        return answer


def tagged(length, entities):
    """Spans (form, label, start, end) as IOB2."""
    tags = ["O"] * length
    for _, label, start, end in entities:
        tags[start:end] = [f"B-{label}", *[f"I-{label}"] * (end - start - 1)]
    return tags


if __name__ == "__main__":
    serve(HanLP)
