"""The shared task's scores on gold words: of several layers at once, or of layers compared loosely.

On gold words F1 and accuracy are one number. `feats` are compared by their universal features, as
UFeats; a lemma that gold leaves open is right, as in Lemmas; `alltags`, `mlas` and `blex` need the
layers of several tasks.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hiermtl.evaluation.aligned import AlignedF1
from hiermtl.evaluation.measures import has_all, known_words
from hiermtl.evaluation.predictor import HeadInfo
from hiermtl.metrics.conll18 import Columns, count_gold_words
from hiermtl.metrics.raw import NO_HEAD
from hiermtl.text.sentence import Layer, Sentence, Tree

TAGS = {"upos": "UPOS", "xpos": "XPOS", "feats": "UFeats", "lemma": "Lemmas"}
"""Tasks of words that the shared task scores, under its names."""

TREE = {"las": "LAS", "uas": "UAS", "clas": "CLAS"}
SHARED = ("feats", "lemma", "dep")
"""Tasks whose scores are counted together."""


def is_official(task: str, head: HeadInfo) -> bool:
    """Whether the task is that of a column of CoNLL-U by its own name."""
    own = head.column in (None, task)
    return own and (task == "dep" if head.layer == "tree" else task in TAGS)


def is_whole(sentence: Sentence, task: str, *, layer: Layer | None) -> bool:
    """Whether every word has gold.

    A word with a part of speech and no lemma is known to have none (the later parts of a broken
    word in English treebanks); whatever lemma the system gives it is right for the shared task.
    """
    if layer is not None and has_all(layer):
        return True
    known = set() if layer is None else set(known_words(layer))
    if task == "lemma":
        upos = sentence.layers.get("upos")
        known.update(() if upos is None else known_words(upos))
    return len(known) == len(sentence.words)


def scores_of(task: str, tasks: Sequence[str], *, main: str = "f1") -> dict[str, str]:
    """The rows of a task, name to score, where these official tasks are scored together."""
    if task == "dep":
        found = dict(TREE)
        if {"upos", "feats"} <= set(tasks):
            found["mlas"] = "MLAS"
        if "lemma" in tasks:
            found["blex"] = "BLEX"
        return found
    found = {main: TAGS[task]}
    if task == "feats" and {"upos", "xpos"} <= set(tasks):
        found["alltags"] = "AllTags"
    return found


class GoldWords:
    """Counts the shared task's scores of sentences whose words are given.

    It counts only where `feats` or `lemma` is among the tasks: the others have counts of their own
    that say the same. A sentence without whole gold for all predicted tasks ends it.
    """

    def __init__(self, heads: Mapping[str, HeadInfo]) -> None:
        """Takes the heads of the tasks that are scored."""
        self.tasks = [task for task, head in heads.items() if is_official(task, head)]
        self.counting = bool({"feats", "lemma"} & set(self.tasks))
        self.sentences: list[int] = []
        self.documents: list[str] = []
        self.note: str | None = None
        self._gold, self._system = Columns(), Columns()

    def add(
        self,
        place: int,
        sentence: Sentence,
        *,
        gold: Mapping[str, Layer],
        predicted: Mapping[str, Layer],
    ) -> None:
        """Takes a sentence with its gold and predicted layers by task."""
        if not self.counting or not gold.keys() & set(self.tasks):
            return
        if not self.sentences:
            self.tasks = [task for task in self.tasks if task in predicted]
        for task in self.tasks:
            if not is_whole(sentence, task, layer=gold.get(task)):
                self.counting = False
                self.note = (
                    f"{', '.join(t for t in self.tasks if t in SHARED)}: scored word by word, not "
                    f"as in CoNLL-18, since {' '.join(sentence.words[:5])!r} lacks gold for {task}"
                )
                return
        # Gold is written in the columns of its tasks, and so is what was predicted.
        self._write(self._gold, sentence, gold)
        self._write(self._system, sentence, predicted)
        self.sentences.append(place)
        self.documents.append(sentence.doc_id or "")

    def _write(self, columns: Columns, sentence: Sentence, layers: Mapping[str, Layer]) -> None:
        """Adds a sentence to the columns; those of no task are empty."""
        count = len(sentence.words)
        columns.lengths.append(count)
        for name in TAGS:
            layer = layers[name] if name in self.tasks else ()
            assert isinstance(layer, tuple)
            tags = [tag or "_" for tag in layer] or ["_"] * count
            getattr(columns, name).extend(tags)
        tree = layers["dep"] if "dep" in self.tasks else None
        if isinstance(tree, Tree):
            columns.head.extend(NO_HEAD if head is None else head for head in tree.heads)
            columns.relation.extend(relation or "_" for relation in tree.relations)
        else:
            columns.head.extend([NO_HEAD] * count)
            columns.relation.extend(["_"] * count)

    def rows(self) -> dict[str, tuple[AlignedF1, NDArray[np.float64]]]:
        """For each task that is scored so, its metric and counts; empty where it cannot be."""
        if not self.counting or not self.sentences:
            return {}
        every = count_gold_words(self._gold, self._system)
        found = {}
        for task in self.tasks:
            if task in SHARED:
                metric = AlignedF1(scores_of(task, self.tasks, main="accuracy"))
                found[task] = metric, metric.picked(every)
        return found
