"""Which metric scores a task, and how gold and predicted layers are laid before it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from hiermtl.errors import DataError, ModelError, RunError, listing
from hiermtl.evaluation.aligned import AlignedF1, ProjectedSpanF1
from hiermtl.evaluation.predictor import INFORMED, HeadInfo
from hiermtl.evaluation.structures import frames_in, relations_in, spans_in
from hiermtl.metrics.accuracy import Accuracy
from hiermtl.metrics.attachment import Attachment, universal
from hiermtl.metrics.base import Metric
from hiermtl.metrics.coreference import Coreference, CoreferenceBoth
from hiermtl.metrics.correlation import Correlation
from hiermtl.metrics.labelled_spans import LabelledSpanF1
from hiermtl.metrics.relations import RelationF1
from hiermtl.metrics.roles import RoleF1
from hiermtl.metrics.spans import SpanF1
from hiermtl.text.bio import is_iob2
from hiermtl.text.edits import edit_script
from hiermtl.text.sentence import (
    Frames,
    Layer,
    Relations,
    Sentence,
    Spans,
    Tags,
    Tree,
    kind_of,
    labels_of,
    misfit,
)

_FAMILIES: dict[str, type[Metric]] = {
    kind.name: kind
    for kind in (
        Accuracy,
        Attachment,
        Coreference,
        CoreferenceBoth,
        Correlation,
        LabelledSpanF1,
        ProjectedSpanF1,
        SpanF1,
    )
}

_BY_COLUMNS: dict[str, type[AlignedF1 | RelationF1 | RoleF1]] = {
    kind.name: kind for kind in (AlignedF1, RelationF1, RoleF1)
}
"""Metrics that are made for what they count."""


def metric_of(task: str, head: HeadInfo) -> Metric:
    """The metric of a task.

    Trees: `Attachment`. Spans: `LabelledSpanF1`. Relations: `RelationF1`. Frames: `RoleF1`.
    Mentions: `CoreferenceBoth`. Numbers: `Correlation`. Labels of passages: `Accuracy`. Tags:
    `SpanF1` where all labels are IOB2, or where the head decodes IOB2 and has a label that begins a
    span; otherwise `Accuracy`.

    Raises:
        ModelError: The head predicts a kind of layer that nothing here scores.
    """
    match head.layer:
        case "tree":
            return Attachment()
        case "spans":
            return LabelledSpanF1()
        case "relations":
            return RelationF1(head.labels, given=head.informed)
        case "frames":
            return RoleF1(given=head.informed, senses=True)
        case "mentions":
            return CoreferenceBoth()
    if head.layer in ("edits", "label"):
        return Accuracy()
    if head.layer == "number":
        return Correlation()
    if head.layer != "tags":
        raise ModelError(
            f"task {task!r} predicts a layer of kind {head.layer!r}; scored are tags, edits, "
            "tree, spans, relations, frames, mentions, label and number"
        )
    kept = [is_iob2(label) for label in head.labels]
    begins = any(label.startswith("B-") for label in head.labels)
    return SpanF1() if kept and (all(kept) or (head.bio and begins)) else Accuracy()


def predicted_for(tasks: Iterable[str], heads: Mapping[str, HeadInfo]) -> set[str]:
    """What has to be predicted to score tasks: they, and the spans whose labels relations have.

    Strict scores of relations compare these, whether or not they are scored themselves.
    """
    chosen = set(tasks)
    between = (task for task in chosen if heads[task].layer == "relations")
    return chosen.union(*(heads[task].reads for task in between))


class Counted(Protocol):
    """Whatever holds counts of a metric."""

    @property
    def metric(self) -> str:
        """Its family."""
        ...

    @property
    def columns(self) -> tuple[str, ...]:
        """What is counted."""
        ...


def counted_by(counts: Counted) -> Metric:
    """The metric that made counts, and that turns sums of their rows into scores.

    Raises:
        DataError: No metric of that name counts anything.
    """
    if counts.metric in _BY_COLUMNS:
        return _BY_COLUMNS[counts.metric].from_columns(counts.columns)
    if counts.metric not in _FAMILIES:
        known = (*_FAMILIES, *_BY_COLUMNS)
        raise DataError(f"counts are of {counts.metric!r}; known are counts of {listing(known)}")
    return _FAMILIES[counts.metric]()


def gold_layer(sentence: Sentence, task: str, *, head: HeadInfo) -> Layer | None:
    """The task's gold in a sentence, or `None` if it is not annotated with any.

    Raises:
        DataError: The layer is of another kind than the head's.
    """
    layer = sentence.layers.get(head.column or task)
    if layer is None or not head.of_sentences:
        return None
    if kind_of(layer) != ("tags" if head.layer == "edits" else head.layer):
        found = "a tree" if isinstance(layer, Tree) else kind_of(layer)
        path, line = place_of(sentence)
        raise DataError(
            f"layer {head.column or task!r} holds {found}, but task {task!r} predicts "
            f"{head.layer}; score it on data that has them",
            path,
            line=line,
        )
    if isinstance(layer, Tree):
        annotated = any(
            parent is not None and relation is not None
            for parent, relation in zip(layer.heads, layer.relations, strict=True)
        )
        return layer if annotated else None
    if not isinstance(layer, tuple):
        return layer
    return layer if any(tag is not None for tag in layer) else None


def known_words(gold: Layer) -> list[int]:
    """The places of the words that have gold; of an arc both head and relation are needed.

    None of a structure, which is not one value per word.
    """
    if isinstance(gold, Tree):
        arcs = zip(gold.heads, gold.relations, strict=True)
        return [at for at, arc in enumerate(arcs) if None not in arc]
    tags = gold if isinstance(gold, tuple) else ()
    return [at for at, tag in enumerate(tags) if tag is not None]


def has_all(gold: Layer) -> bool:
    """Whether no value of a layer of words is missing: quicker told than which are."""
    if isinstance(gold, Tree):
        return None not in gold.heads and None not in gold.relations
    return isinstance(gold, tuple) and None not in gold


def seen_labels(head: HeadInfo) -> frozenset[str]:
    """The head's labels as they are compared: relations without subtypes."""
    return frozenset(map(universal, head.labels) if head.layer == "tree" else head.labels)


def unseen_labels(
    gold: Layer, seen: frozenset[str], *, head: HeadInfo, words: Sequence[str]
) -> list[str]:
    """The gold labels of a sentence that are not among `seen_labels`, one for each word or item.

    Of a head of edits they are the labels that no script it has seen makes of their words.
    """
    if isinstance(gold, Tree):
        relations = gold.relations
        if not has_all(gold):
            relations = [relations[at] for at in known_words(gold)]
        return [label for label in relations if label and universal(label) not in seen]
    if head.layer == "edits" and isinstance(gold, tuple):
        return [
            tag
            for word, tag in zip(words, gold, strict=True)
            if tag is not None and edit_script(word, tag) not in seen
        ]
    return [label for label in labels_of(gold) if label is not None and label not in seen]


def scored_pair(
    sentence: Sentence,
    task: str,
    *,
    heads: Mapping[str, HeadInfo],
    gold: Layer,
    predicted: Mapping[str, Layer],
    spans: bool,
) -> tuple[Any, Any]:
    """Gold and prediction of a sentence as the metric takes them, words without gold left out.

    Spans of tags are cut where words without gold begin: those words count as outside on both
    sides. `predicted` are the layers of all tasks.

    Raises:
        DataError: A gold tag of a task of spans is neither IOB2 nor known to the head.
        RunError: The prediction is missing or does not fit the sentence.
    """
    own = checked_prediction(sentence, task, gold=gold, predicted=predicted)
    match gold, own:
        case Tree(), Tree():
            if has_all(gold) and has_all(own):
                return (gold.heads, gold.relations), (own.heads, own.relations)
            known = known_words(gold)
            return (
                ([gold.heads[at] for at in known], [gold.relations[at] for at in known]),
                (
                    [_or(own.heads[at], -1) for at in known],
                    [_or(own.relations[at], "_") for at in known],
                ),
            )
        case tuple(), tuple():
            if not spans:
                return gold, own
            check_iob2(sentence, task, head=heads[task], gold=gold)
            return _cut(gold, gold), _cut(own, gold)
        case _:
            return _structures(sentence, task, heads=heads, gold=gold, predicted=predicted)


def _structures(
    sentence: Sentence,
    task: str,
    *,
    heads: Mapping[str, HeadInfo],
    gold: Layer,
    predicted: Mapping[str, Layer],
) -> tuple[Any, Any]:
    """The same of layers of which a second prediction is scored, which was told gold."""
    reads, entities = heads[task].reads, gold_between(sentence, task, heads=heads)
    # Where gold does not tell them there is nothing to compare.
    found = predicted.get(reads[0]) if entities is not None else None
    right = scored_items(gold, entities)
    free = scored_items(predicted[task], found)
    if not heads[task].informed:
        return right, free
    # There is none where gold is silent, or there is no word: then nothing was told.
    told = predicted.get(task + INFORMED)
    return right, (free, free if told is None else scored_items(told, entities))


def gold_between(sentence: Sentence, task: str, *, heads: Mapping[str, HeadInfo]) -> Layer | None:
    """What gold says of the spans that a task reads; `None` if that is nothing."""
    reads = heads[task].reads
    return sentence.layers.get(heads[reads[0]].column or reads[0]) if reads else None


def scored_items(layer: Layer, entities: Layer | None) -> Any:
    """A structure of a sentence as its metric takes it; of relations with the spans between."""
    match layer:
        case Spans():
            return spans_in(layer)
        case Frames():
            return frames_in(layer)
        case Relations():
            return relations_in(layer), spans_in(entities)
    raise AssertionError(f"{type(layer).__name__} are not scored by sentence")


def check_iob2(sentence: Sentence, task: str, *, head: HeadInfo, gold: Tags) -> None:
    """Checks the gold of a task of spans.

    Raises:
        DataError: A tag is neither IOB2 nor known to the head.
    """
    for at, tag in enumerate(gold):
        if tag is not None and not is_iob2(tag) and tag not in head.labels:
            path, line = place_of(sentence)
            raise DataError(
                f"layer {head.column or task!r} tags word {at + 1}, {sentence.words[at]!r}, with "
                f"{tag!r}, which is not IOB2; write O, or B- and I- with a type",
                path,
                line=line,
            )


def only_iob2(tags: Tags) -> list[str]:
    """The tags with all that is not IOB2 outside."""
    return [tag if tag is not None and is_iob2(tag) else "O" for tag in tags]


def place_of(sentence: Sentence) -> tuple[str | None, int | None]:
    """File and line of a sentence, as far as they are known."""
    return (sentence.origin.path, sentence.origin.line) if sentence.origin else (None, None)


def checked_prediction(
    sentence: Sentence, task: str, *, gold: Layer, predicted: Mapping[str, Layer]
) -> Layer:
    """What is predicted of a task, of all layers of a sentence.

    Raises:
        RunError: It is missing, of another kind than gold, or does not fit the sentence.
    """
    path, line = place_of(sentence)
    where = f"{path}:{line}" if path else repr(" ".join(sentence.words))
    own = predicted.get(task)
    if own is None:
        raise RunError(f"there is no prediction of {task!r} for the sentence at {where}")
    where = f" for the sentence at {where}" if path else f" for {where}"
    found, wanted = kind_of(own), kind_of(gold)
    if found != wanted:
        kinds = ["a tree" if kind == "tree" else kind for kind in (found, wanted)]
        raise RunError(f"task {task!r} predicted {kinds[0]} instead of {kinds[1]}{where}")
    problem = misfit(own, len(sentence.words))
    if problem:
        raise RunError(f"task {task!r} predicted {problem.partition(';')[0]}{where}")
    return own


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value


def _cut(tags: Tags, gold: Tags) -> Sequence[str]:
    """IOB2 tags with words without gold outside, and spans that go on after them begun there."""
    found = only_iob2(tags)
    for at, tag in enumerate(found):
        if gold[at] is None:
            found[at] = "O"
        elif at and gold[at - 1] is None and tag[0] == "I" and _goes_on(tags[at - 1], tag):
            found[at] = f"B{tag[1:]}"
    return found


def _goes_on(before: str | None, tag: str) -> bool:
    """Whether an `I-` tag continues the tag before it; of a word without gold that is unknown."""
    return before is None or (before[:1] in ("B", "I") and before[1:] == tag[1:])
