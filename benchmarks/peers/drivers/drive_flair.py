"""flair: a linear layer per task on one encoder, in its multitask model.

Sentences have the labels of all tasks, and the model is told to use all of them, so that a
sentence passes the encoder once for them together; `make_multitask_model_and_corpus` would draw
each sentence once per task instead. Fine-tuning is with its automatic mixed precision, batches of
32 and rates that suit a small encoder; prediction sorts by length, and keeps states from task to
task.
"""

import random

import flair
import torch
from flair.data import Corpus, Sentence
from flair.datasets import FlairDatapointDataset
from flair.embeddings import TransformerWordEmbeddings
from flair.models import MultitaskModel, SequenceTagger
from flair.trainers import ModelTrainer
from flair.trainers.plugins.base import TrainerPlugin
from serve import Stopwatch, sentences, serve

BATCH = 32
RATE, DECODER_RATE = 2e-4, 2e-3


class Clock(TrainerPlugin):
    """Counts the steps of epochs, which leaves building and writing out."""

    def __init__(self):
        super().__init__()
        self.clock = Stopwatch()

    @TrainerPlugin.hook
    def before_training_epoch(self, **_):
        """Starts."""
        self.inside = self.clock.running()
        self.inside.__enter__()

    @TrainerPlugin.hook
    def after_training_epoch(self, **_):
        """Stops."""
        self.inside.__exit__(None, None, None)


class Flair:
    """The requests."""

    versions = ("flair",)

    def __init__(self, encoder, train, dev, threads):
        del threads
        flair.device = torch.device("cpu")
        self.encoder = encoder
        self.gold, self.words = sentences(train), [s["words"] for s in sentences(dev)]
        self.model = None

    def train(self, tasks, count, epochs, seed, folder):
        """Seconds of the epochs' steps."""
        flair.set_seed(seed)
        random.seed(seed)
        made = [labelled(s, tasks) for s in self.gold[:count]]
        corpus = Corpus(
            train=FlairDatapointDataset(made), dev=None, test=None, sample_missing_splits=False
        )
        embeddings = TransformerWordEmbeddings(
            self.encoder, layers="-1", subtoken_pooling="first", fine_tune=True, use_context=False
        )
        taggers = [
            SequenceTagger(
                hidden_size=256,
                embeddings=embeddings,
                tag_dictionary=corpus.make_label_dictionary(label_type=task, add_unk=False),
                tag_type=task,
                use_crf=False,
                use_rnn=False,
                reproject_embeddings=False,
            )
            for task in tasks
        ]
        self.model = MultitaskModel(taggers, task_ids=list(tasks), use_all_tasks=True)
        clock = Clock()
        ModelTrainer(self.model, corpus).fine_tune(
            folder,
            learning_rate=RATE,
            decoder_learning_rate=DECODER_RATE,
            mini_batch_size=BATCH,
            max_epochs=epochs,
            save_final_model=False,
            create_file_logs=False,
            create_loss_file=False,
            use_amp=True,
            plugins=[clock],
        )
        self.model.save(f"{folder}/model.pt")
        return {"seconds": clock.clock.seconds}

    def load(self, tasks, folder):
        """What was trained."""
        del tasks
        self.model = MultitaskModel.load(f"{folder}/model.pt")

    def annotate(self, tasks, predictions):
        """Seconds from words to sentences with labels."""
        clock = Stopwatch()
        self.model.eval()
        with clock.running():
            read = [Sentence(words) for words in self.words]
            self.model.predict(read, mini_batch_size=BATCH, embedding_storage_mode="cpu")
        answer = {"seconds": clock.seconds}
        if predictions:
            answer["predictions"] = {task: [tags(s, task) for s in read] for task in tasks}
        return answer


def labelled(sentence, tasks):
    """A sentence of flair's with the labels of these tasks."""
    made = Sentence(sentence["words"])
    for task in tasks:
        if task == "ner":
            for start, end, label in spans(sentence["ner"]):
                made[start:end].add_label(task, label)
        else:
            for token, tag in zip(made, sentence[task], strict=True):
                token.add_label(task, tag)
        made.add_label("multitask_id", task)
    return made


def spans(found):
    """Start, end and label of each span of IOB2 tags."""
    out = []
    for i, tag in enumerate(found):
        if tag.startswith("B-"):
            out.append([i, i + 1, tag[2:]])
        elif tag.startswith("I-"):
            out[-1][1] = i + 1
    return out


def tags(sentence, task):
    """Tags of words; spans as IOB2."""
    if task != "ner":
        return [token.get_label(task).value for token in sentence]
    found = ["O"] * len(sentence)
    for span in sentence.get_spans(task):
        start, label = span[0].idx - 1, span.get_label(task).value
        found[start : start + len(span)] = [f"B-{label}", *[f"I-{label}"] * (len(span) - 1)]
    return found


if __name__ == "__main__":
    serve(Flair)
