"""Which metric scores a task, and how gold and predicted layers are laid before it."""

from collections.abc import Sequence
from typing import Any, Protocol

from hiermtl.errors import DataError, ModelError, RunError, listing
from hiermtl.evaluation.aligned import AlignedF1, ProjectedSpanF1
from hiermtl.evaluation.predictor import HeadInfo
from hiermtl.metrics.accuracy import Accuracy
from hiermtl.metrics.attachment import Attachment, universal
from hiermtl.metrics.base import Metric
from hiermtl.metrics.correlation import Correlation
from hiermtl.metrics.spans import SpanF1
from hiermtl.text.bio import is_iob2
from hiermtl.text.edits import edit_script
from hiermtl.text.sentence import Layer, Sentence, Tags, Tree

_FAMILIES: dict[str, type[Metric]] = {
    kind.name: kind for kind in (Accuracy, Attachment, Correlation, ProjectedSpanF1, SpanF1)
}


def metric_of(task: str, head: HeadInfo) -> Metric:
    """The metric of a task.

    Trees: `Attachment`. Numbers: `Correlation`. Labels of passages: `Accuracy`. Tags: `SpanF1`
    where all labels are IOB2, or where the head decodes IOB2 and has a label that begins a span;
    otherwise `Accuracy`.

    Raises:
        ModelError: The head predicts a kind of layer that nothing here scores.
    """
    if head.layer == "tree":
        return Attachment()
    if head.layer in ("edits", "label"):
        return Accuracy()
    if head.layer == "number":
        return Correlation()
    if head.layer != "tags":
        raise ModelError(
            f"task {task!r} predicts a layer of kind {head.layer!r}; scored are tags, edits, "
            "tree, label and number"
        )
    kept = [is_iob2(label) for label in head.labels]
    begins = any(label.startswith("B-") for label in head.labels)
    return SpanF1() if kept and (all(kept) or (head.bio and begins)) else Accuracy()


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
    if counts.metric == AlignedF1.name:
        return AlignedF1.from_columns(counts.columns)
    if counts.metric not in _FAMILIES:
        known = (*_FAMILIES, AlignedF1.name)
        raise DataError(f"counts are of {counts.metric!r}; known are counts of {listing(known)}")
    return _FAMILIES[counts.metric]()


def gold_layer(sentence: Sentence, task: str, *, head: HeadInfo) -> Layer | None:
    """The task's gold in a sentence, or `None` if no word has any.

    Raises:
        DataError: The layer is a tree where tags are needed, or the other way round.
    """
    layer = sentence.layers.get(head.column or task)
    if layer is None or head.unit != "word":
        return None
    if isinstance(layer, Tree) != (head.layer == "tree"):
        found = "a tree" if isinstance(layer, Tree) else "tags"
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
    return layer if any(tag is not None for tag in layer) else None


def known_words(gold: Layer) -> list[int]:
    """The places of the words that have gold; of an arc both head and relation are needed."""
    if isinstance(gold, Tree):
        arcs = zip(gold.heads, gold.relations, strict=True)
        return [at for at, arc in enumerate(arcs) if None not in arc]
    return [at for at, tag in enumerate(gold) if tag is not None]


def seen_labels(head: HeadInfo) -> frozenset[str]:
    """The head's labels as they are compared: relations without subtypes."""
    return frozenset(map(universal, head.labels) if head.layer == "tree" else head.labels)


def unseen_labels(
    gold: Layer, seen: frozenset[str], *, head: HeadInfo, words: Sequence[str]
) -> list[str]:
    """The gold labels of a sentence that are not among `seen_labels`, one for each word.

    Of a head of edits they are the labels that no script it has seen makes of their words.
    """
    if isinstance(gold, Tree):
        relations = [gold.relations[at] for at in known_words(gold)]
        return [label for label in relations if label and universal(label) not in seen]
    if head.layer == "edits":
        return [
            tag
            for word, tag in zip(words, gold, strict=True)
            if tag is not None and edit_script(word, tag) not in seen
        ]
    return [tag for tag in gold if tag is not None and tag not in seen]


def scored_pair(
    sentence: Sentence, task: str, *, head: HeadInfo, gold: Layer, predicted: Layer, spans: bool
) -> tuple[Any, Any]:
    """Gold and prediction of a sentence as the metric takes them, words without gold left out.

    Spans are cut where words without gold begin: those words count as outside on both sides.

    Raises:
        DataError: A gold tag of a task of spans is neither IOB2 nor known to the head.
        RunError: The prediction does not fit the sentence.
    """
    _check_prediction(sentence, task, gold=gold, predicted=predicted)
    if isinstance(gold, Tree):
        assert isinstance(predicted, Tree)
        known = known_words(gold)
        return (
            ([gold.heads[at] for at in known], [gold.relations[at] for at in known]),
            (
                [_or(predicted.heads[at], -1) for at in known],
                [_or(predicted.relations[at], "_") for at in known],
            ),
        )
    assert not isinstance(predicted, Tree)
    if not spans:
        return gold, predicted
    check_iob2(sentence, task, head=head, gold=gold)
    return _cut(gold, gold), _cut(predicted, gold)


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


def _check_prediction(sentence: Sentence, task: str, *, gold: Layer, predicted: Layer) -> None:
    path, line = place_of(sentence)
    where = f" for the sentence at {path}:{line}" if path else f" for {' '.join(sentence.words)!r}"
    if isinstance(predicted, Tree) != isinstance(gold, Tree):
        kinds = ("tags", "a tree")
        raise RunError(
            f"task {task!r} predicted {kinds[isinstance(predicted, Tree)]} instead of "
            f"{kinds[isinstance(gold, Tree)]}{where}"
        )
    count = len(predicted.heads) if isinstance(predicted, Tree) else len(predicted)
    if count != len(sentence.words):
        raise RunError(
            f"task {task!r} predicted {count} values for {len(sentence.words)} words{where}"
        )


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
