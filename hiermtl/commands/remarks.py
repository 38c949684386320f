"""What a person is told of training data: what is in it, and what of it is not learnt, counted."""

import json
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from hiermtl.commands.corpora import MOST_WORDS, used_examples
from hiermtl.commands.tasks import layers_of
from hiermtl.corpus.build import Corpus
from hiermtl.corpus.names import PLACES, Kind, place_column
from hiermtl.heads import HEADS
from hiermtl.recipe import Recipe
from hiermtl.recipe.heads import CoreferenceHead, SpanHead


def as_remarks(lines: Sequence[str]) -> str:
    """The file of a run folder that keeps what was said."""
    return json.dumps(lines, indent=2, ensure_ascii=False) + "\n"


def document_lines(recipe: Recipe, corpus: Corpus) -> list[str]:
    """How many documents there are to train on, and how many sentences name none."""
    used = used_examples(recipe, corpus.name)
    if used["document"] is None:
        return []
    chosen = corpus.chosen("train", **used)
    assert chosen.parts is not None
    names = corpus.split("train").data.column("doc_id").to_pylist()
    own = [names[row] for row in chosen.rows.tolist()]
    documents = sum(not at or name != own[at - 1] for at, name in enumerate(own))
    parts = len(np.unique(chosen.parts))
    cut = f", cut into {parts} of at most {MOST_WORDS:,} words" if parts > documents else ""
    lines = [f"{corpus.name} train: {documents} documents{cut}"]
    unnamed = own.count(None)
    if unnamed:
        lines.append(
            f"{corpus.name} train: {unnamed} sentences name no document (`# newdoc`); those that "
            "follow each other in a file are one"
        )
    return lines


def unknown_labels(
    recipe: Recipe, corpora: Mapping[str, Corpus], labels: Mapping[str, Sequence[str]]
) -> list[str]:
    """A line for each task of items of which train has labels that the model has not."""
    lines = []
    for name, tasks in layers_of(recipe).items():
        for task, layer in tasks.items():
            if HEADS[recipe.tasks[task].head.name].layer not in PLACES:
                continue
            known = set(labels[task])
            counts = zip(corpora[name].names[layer], corpora[name].counts[layer], strict=True)
            lost = {label: count for label, count in counts if count and label not in known}
            if lost:
                shown = ", ".join(sorted(lost, key=lambda label: (-lost[label], label))[:5])
                lines.append(
                    f"{task}: {sum(lost.values())} items of {name} train have {len(lost)} labels "
                    f"that the model does not have, which are not learnt ({shown}"
                    f"{', ...' if len(lost) > 5 else ''})"
                )
    return lines


def unlearnt_spans(
    recipe: Recipe, corpora: Mapping[str, Corpus], labels: Mapping[str, Sequence[str]]
) -> list[str]:
    """Lines about the spans of train that a span head does not look at.

    Those of more words than its `reach`, and those whose words another span with a label has too:
    of each place it learns one label.
    """
    lines = []
    for name, tasks in layers_of(recipe).items():
        for task, layer in tasks.items():
            head = recipe.tasks[task].head
            if not isinstance(head, SpanHead):
                continue
            known = np.isin(corpora[name].names[layer], labels[task])
            far = same = every = 0
            for rows, first, behind, label in _spans(corpora[name], layer):
                there = (label >= 0) & known[label] if len(known) else label < 0
                near = behind - first <= head.reach
                every += len(rows)
                far += int((there & ~near).sum())
                places = np.stack([rows, first, behind])[:, there & near]
                same += places.shape[1] - np.unique(places, axis=1).shape[1]
            if far:
                lines.append(
                    f"{task}: {far} of {every} spans of {name} train have more than {head.reach} "
                    "words, so that they are neither learnt nor found; raise "
                    f"tasks.{task}.head.reach to look at longer ones"
                )
            if same:
                lines.append(
                    f"{task}: {same} of {every} spans of {name} train have the words of another "
                    "one, and are not learnt: a place has one label"
                )
    return lines


def far_mentions(recipe: Recipe, corpora: Mapping[str, Corpus]) -> list[str]:
    """Lines about mentions of train whose entity is not within a coreference head's `window`.

    Counted are gold mentions among gold spans of the task that is read, where the corpus has them.
    """
    lines = []
    for name, tasks in layers_of(recipe).items():
        for task, layer in tasks.items():
            head = recipe.tasks[task].head
            if not isinstance(head, CoreferenceHead):
                continue
            spans = next((tasks[other] for other in head.reads if other in tasks), None)
            back = _mentions_back(recipe, corpora[name], layer, spans=spans)
            far = int((back > head.window).sum())
            if far:
                lines.append(
                    f"{task}: {far} of {len(back)} mentions of {name} train that are not their "
                    f"entity's first are more than {head.window} mentions behind the one before, "
                    "so that they are learnt as new; raise "
                    f"tasks.{task}.head.window to look further back"
                )
    return lines


def _mentions_back(recipe: Recipe, corpus: Corpus, layer: str, *, spans: str | None) -> np.ndarray:
    """(mentions,) how many mentions before each the last one of its entity is, if there is one.

    Mentions are in the order of the text, and among them are spans of the layer that is read.
    """
    chosen = corpus.chosen("train", **used_examples(recipe, corpus.name))
    assert chosen.parts is not None
    rank = np.full(len(corpus.split("train")), -1)
    rank[chosen.rows] = np.arange(len(chosen.rows))
    row, places = _every(corpus, layer, "mentions")
    mentions = np.column_stack([rank[row], places[:, 0], -places[:, 1], places[:, 2]])
    mentions = mentions[mentions[:, 0] >= 0]
    candidates = mentions[:, :3]
    if spans is not None:
        row, places = _every(corpus, spans, "spans")
        candidates = np.column_stack([rank[row], places[:, 0], -places[:, 1]])
        candidates = candidates[candidates[:, 0] >= 0]
    order = np.unique(candidates, axis=0)
    at = {tuple(place): number for number, place in enumerate(order.tolist())}
    found = {at[key]: entity for *own, entity in mentions.tolist() if (key := tuple(own)) in at}
    last: dict[tuple[int, int], int] = {}
    back = []
    for number in sorted(found):
        entity = int(chosen.parts[order[number, 0]]), found[number]
        if entity in last:
            back.append(number - last[entity])
        last[entity] = number
    return np.array(back, dtype=np.int64)


def _every(corpus: Corpus, layer: str, kind: Kind) -> tuple[np.ndarray, np.ndarray]:
    """Of the items of train: (items,) sentence, (items, places)."""
    rows, places, begin = [], [], 0
    for count, own in _items(corpus, layer, kind):
        rows.append(begin + np.repeat(np.arange(len(count)), count))
        places.append(own)
        begin += len(count)
    return np.concatenate(rows), np.concatenate(places)


def _items(corpus: Corpus, layer: str, kind: Kind) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Of the items of train, part by part: (sentences,) how many, (items, places)."""
    data = corpus.split("train").data
    column = place_column(layer, kind)
    assert column is not None
    for places, own in zip(data.column(column).chunks, data.column(layer).chunks, strict=True):
        counts = own.value_lengths().fill_null(0).to_numpy()
        yield counts, places.flatten().to_numpy().reshape(-1, PLACES[kind])


def _spans(corpus: Corpus, layer: str) -> Iterator[tuple[np.ndarray, ...]]:
    """Of the spans of train, part by part: (spans,) sentence, first word, word behind, label."""
    labels = corpus.split("train").data.column(layer).chunks
    for (counts, places), own in zip(_items(corpus, layer, "spans"), labels, strict=True):
        rows = np.repeat(np.arange(len(own)), counts)
        yield rows, *places.T, own.flatten().to_numpy()


def nothing_to_learn(recipe: Recipe, labels: Mapping[str, Sequence[str]]) -> list[str]:
    """A line for each task whose labels are all one; a tree with one relation is a tree still."""
    return [
        f"{task}: {own[0]!r} is its only label in train, so that it learns nothing"
        for task, own in labels.items()
        if len(own) == 1 and HEADS[recipe.tasks[task].head.name].layer in ("tags", "label")
    ]
