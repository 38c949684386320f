"""Stanza: a tagger (UPOS and XPOS together) and a parser, each with an encoder of its own.

Both are trained by its own programs, with the last layer of the encoder, fine-tuned from the
first step, and without word vectors and characters. Annotating is its pipeline on given words, with
lemmas copied from words, since the parser asks for some. Entities would be a third encoder, trained
from files of another kind: they are left out.
"""

import json
import math
import tempfile
from pathlib import Path

import stanza
import stanza.models.depparse.trainer as parsing
import stanza.models.pos.trainer as tagging
from serve import Stopwatch, conllu, sentences, serve
from stanza.models import parser, tagger
from stanza.models.depparse.data import DataLoader
from stanza.utils.conll import CoNLL

TAGGED = 32
"""Sentences in a batch of the tagger."""
PARSED = 1000
"""Words in a batch of the parser."""
TRIAL = 8
"""Sentences that models are judged by after the last step, without which they are not kept."""
CLOCK = Stopwatch()


class Stanza:
    """The requests."""

    versions = ("stanza", "peft")

    def __init__(self, encoder, train, dev, threads):
        del threads
        self.encoder = encoder
        self.gold, self.words = sentences(train), [s["words"] for s in sentences(dev)]
        self.pipeline = None
        for trainer in (tagging.Trainer, parsing.GraphTrainer):
            trainer.update = timed(trainer.update)

    def train(self, tasks, count, epochs, seed, folder):
        """Seconds of the steps; that a step's batch is made is not counted."""
        with tempfile.TemporaryDirectory() as made:
            files = {split: f"{made}/{split}.conllu" for split in ("train", "trial")}
            for split, part in (("train", self.gold[:count]), ("trial", self.gold[:TRIAL])):
                text = "".join(conllu(sentence, tasks) for sentence in part)
                Path(files[split]).write_text(text, encoding="utf-8")
            CLOCK.seconds = 0.0
            steps = epochs * math.ceil(len(self.gold[:count]) / TAGGED)
            tagger.main(self.options(files, folder, seed, "tagger", steps, TAGGED))
            if "dep" in tasks:
                steps = epochs * self.batches(files["train"], folder, seed, files)
                options = self.options(files, folder, seed, "parser", steps, PARSED)
                warm = str(max(1, steps // 10))
                options += ["--bert_start_finetuning", "0", "--bert_warmup_steps", warm]
                options += ["--optim", "adamw", "--no_checkpoint", "--no_plateau"]
                parser.main(options)
        seconds = CLOCK.seconds
        self.load(tasks, folder)
        return {"seconds": seconds}

    def options(self, files, folder, seed, name, steps, batch):
        """Of either program."""
        given = {
            "lang": "en",
            "shorthand": "en_ewt",
            "train_file": files["train"],
            "eval_file": files["trial"],
            "bert_model": self.encoder,
            "bert_hidden_layers": 1,
            "bert_learning_rate": 0.1,
            "lr": 3e-3,
            "batch_size": batch,
            "max_steps": steps,
            "eval_interval": steps,
            "log_step": steps + 1,
            "seed": seed,
            "save_dir": folder,
            "save_name": f"{name}.pt",
            "mode": "train",
        }
        pairs = [part for key, value in given.items() for part in (f"--{key}", str(value))]
        pairs += ["--bert_finetune", "--no_pretrain", "--no_char", "--cpu", "--no_second_optim"]
        return pairs if name == "parser" else [*pairs, "--fix_eval_interval"]

    def batches(self, file, folder, seed, files):
        """How many the parser makes of the sentences."""
        args = parser.parse_args(self.options(files, folder, seed, "parser", 1, PARSED))
        document = CoNLL.conll2doc(input_file=file)
        return len(DataLoader(document, PARSED, args, None, evaluation=False))

    def load(self, tasks, folder):
        """What was trained, as a pipeline."""
        resources = Path(folder) / "resources.json"
        resources.write_text(json.dumps({"en": {"lang_name": "English"}}), encoding="utf-8")
        given = {"pos_model_path": f"{folder}/tagger.pt"}
        processors = "tokenize,pos"
        if "dep" in tasks:
            processors += ",lemma,depparse"
            given |= {"depparse_model_path": f"{folder}/parser.pt", "lemma_use_identity": True}
        self.pipeline = stanza.Pipeline(
            "en",
            dir=str(folder),
            processors=processors,
            tokenize_pretokenized=True,
            download_method=None,
            use_gpu=False,
            verbose=False,
            **given,
        )

    def annotate(self, tasks, predictions):
        """Seconds from words to a document."""
        clock = Stopwatch()
        with clock.running():
            document = self.pipeline(self.words)
        answer = {"seconds": clock.seconds}
        if predictions:
            read = {
                "upos": lambda words: [word.upos for word in words],
                "xpos": lambda words: [word.xpos for word in words],
                "dep": lambda words: [[w.head for w in words], [w.deprel for w in words]],
            }
            found = [sentence.words for sentence in document.sentences]
            answer["predictions"] = {task: [read[task](words) for words in found] for task in tasks}
        return answer


def timed(update):
    """A step with the clock running."""

    def step(self, *args, **kwargs):
        with CLOCK.running():
            return update(self, *args, **kwargs)

    return step


if __name__ == "__main__":
    serve(Stanza)
