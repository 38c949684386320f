"""From a recipe to a tokenizer, an encoder, a model and examples to train on."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hiermtl.commands.corpora import used_examples
from hiermtl.commands.remarks import (
    document_lines,
    far_mentions,
    nothing_to_learn,
    unknown_labels,
    unlearnt_spans,
)
from hiermtl.commands.tasks import (
    auxiliary_tasks,
    base_of,
    document_tasks,
    judging_tasks,
    layers_of,
    main_tasks,
)
from hiermtl.config import HierarchicalConfig
from hiermtl.corpus.build import Corpus
from hiermtl.corpus.examples import (
    DocumentExamples,
    Examples,
    PassageExamples,
    SomeExamples,
    Wanted,
)
from hiermtl.corpus.items import SENSE
from hiermtl.corpus.names import OF_PASSAGES
from hiermtl.corpus.plain import TextCorpus
from hiermtl.encoders import Encoder
from hiermtl.encoders.bilstm import BiLstmEncoder
from hiermtl.errors import DataError, RecipeError
from hiermtl.heads import HEADS
from hiermtl.model import HierarchicalModel
from hiermtl.pretrained import encoder_source
from hiermtl.recipe import Recipe, frozen_problems, resolve_depths
from hiermtl.recipe.adapters import LoraAdapter
from hiermtl.recipe.base import Options
from hiermtl.recipe.encoder import BilstmEncoder, PretrainedEncoder
from hiermtl.recipe.heads import EditsHead, RolesHead
from hiermtl.recipe.sampling import (
    AnnealedSampling,
    BottomUpSampling,
    CooldownSampling,
    RoundRobinSampling,
    TemperatureSampling,
)
from hiermtl.recipe.tasks import TaskOptions
from hiermtl.text.edits import inserted
from hiermtl.text.segment import SEGMENT, is_plain
from hiermtl.text.sentence import Frames
from hiermtl.tokens import Tokenizer, WordTokenizer
from hiermtl.training import MIXED, Sampling, Settings
from hiermtl.training.examples import ChainedExamples
from hiermtl.training.shards import check_copies

LEAST_TAGS = 2
"""On how many training atoms a tag of `segment` must stand that speaks of their characters."""

MOST_STEPS = 100
"""How far apart the lowest and the highest number of a task may be."""


@dataclass(frozen=True, slots=True)
class Built:
    """A model ready to train, with its tokenizer and examples.

    `words` counts the training words; `lines` are things a person should know.
    """

    model: HierarchicalModel
    tokenizer: Tokenizer
    examples: ChainedExamples
    words: int
    lines: tuple[str, ...]


def build(
    recipe: Recipe,
    corpora: Mapping[str, Corpus],
    *,
    start: tuple[Encoder, Tokenizer] | None = None,
) -> Built:
    """The model of a recipe, with weights as they stand before the first step.

    `start` is what `make_encoder` gave, where that is made already.

    Raises:
        RecipeError: Depths and encoder or sharing do not fit each other.
        ModelError: The encoder cannot be loaded.
        DataError: A task has no labelled word to train on.
    """
    encoder, tokenizer = start or make_encoder(recipe, corpora)
    depths = resolve_depths(recipe, encoder.blocks)
    check_frozen(recipe, encoder.blocks)
    tasks = task_configs(recipe, corpora, depths)
    judging = check_dev(recipe, corpora)
    labels = {task: given["labels"] for task, given in tasks.items()}
    examples, lines = make_examples(recipe, corpora, tokenizer, labels=labels)
    config = HierarchicalConfig(
        encoder.config(),
        tasks,
        recipe.sharing.model_dump(),
        pooling=getattr(recipe.encoder, "pooling", "first"),
        language=recipe.language,
    )
    model = HierarchicalModel(config, encoder, seed=recipe.training.seed)
    if recipe.training.shard and recipe.sharing.name != "single":
        check_copies(model)  # of models that share nothing each is trained, and parted, by itself
    heads = {name: model.head(name) for name in model.hierarchy.names}
    units = {name: head.unit if head.probable else None for name, head in heads.items()}
    model.sharing.check_examples(examples.items, units=units)
    told = (*lines, *judging, *auxiliary_lines(recipe))
    return Built(model, tokenizer, examples, _word_count(examples), told)


def _word_count(examples: ChainedExamples) -> int:
    """The training words; atoms of text only where there is nothing else."""
    words, tags = examples.words, examples.items.get(SEGMENT)
    every = int(words.sum())
    atoms = 0 if tags is None else int(words[tags > 0].sum())
    return every - atoms or every


def task_configs(
    recipe: Recipe, corpora: Mapping[str, Corpus], depths: Mapping[str, int]
) -> dict[str, dict[str, Any]]:
    """What a model's config says of each task, with labels as the training data has them."""
    found = {}
    every = inventories(recipe, corpora)
    for task, options in recipe.tasks.items():
        labels = every[task]
        found[task] = {
            "depth": depths[task],
            "weight": options.weight,
            "frozen": options.freeze,
            "auxiliary": options.auxiliary,
            "head": options.head.name,
            "column": options.column,
            "labels": list(labels),
            "options": _head_options(recipe, corpora, task, labels=every),
        }
    return found


def inventories(recipe: Recipe, corpora: Mapping[str, Corpus]) -> dict[str, tuple[str, ...]]:
    """The labels of each task, as the training data has them."""
    return {task: _labels(recipe, corpora, task) for task in recipe.tasks}


def check_frozen(recipe: Recipe, blocks: int) -> None:
    """Raises RecipeError when nothing would train, or depths are frozen that do not exist."""
    for problem in frozen_problems(recipe, blocks):
        raise RecipeError(f"{'.'.join(map(str, problem.path))} {problem.message}")


def check_dev(recipe: Recipe, corpora: Mapping[str, Corpus]) -> list[str]:
    """A line if no task that chooses the best checkpoint has dev data.

    Raises:
        RecipeError: Some have, but not all.
    """
    if recipe.sharing.name == "single":
        return []  # each task chooses by itself, and one without dev data by none
    judging = judging_tasks(recipe, corpora)
    blind = [task for task in main_tasks(recipe) if task not in judging]
    if judging and blind:
        raise RecipeError(
            f"tasks.{blind[0]} has nothing to score in dev data, so it cannot say which checkpoint "
            "is best; give its corpus a dev split with gold for it, or leave the choice to others: "
            f"evaluation.main=[{', '.join(judging)}]"
        )
    if not blind:
        return []
    return ["no dev data that can be scored: the last weights are kept, in fp32"]


def auxiliary_lines(recipe: Recipe) -> list[str]:
    """A line for each task that the model is saved without."""
    return [
        f"{task}: auxiliary, so that it has no say in which checkpoint is best, nothing reads its "
        "labels, and the model is saved without it"
        for task in auxiliary_tasks(recipe)
    ]


def make_encoder(recipe: Recipe, corpora: Mapping[str, Corpus]) -> tuple[Encoder, Tokenizer]:
    """The encoder a recipe names, and its tokenizer.

    A BiLSTM's vocabulary is counted in what is trained on.
    """
    options, dropout = recipe.encoder, recipe.training.dropout
    if isinstance(options, PretrainedEncoder):
        casing = None if options.casing == "auto" else options.casing
        # A rate that is off stays off: hiding words is no noise on numbers.
        hidden = options.word_dropout if dropout is None or not options.word_dropout else dropout
        return encoder_source(
            options.name,
            dropout=dropout,
            word_dropout=hidden,
            casing=casing,
            adapter=_adapter(recipe),
        )
    assert isinstance(options, BilstmEncoder)
    vocabulary: tuple[int, ...] = ()
    if options.word_width:
        # Atoms of text are words again, which are not counted twice.
        texts = [corpus for corpus in corpora.values() if isinstance(corpus, TextCorpus)]
        others = [corpus for corpus in corpora.values() if not isinstance(corpus, TextCorpus)]
        codes = (
            code
            for part in (others, texts)
            for code in WordTokenizer.count_words(_words(recipe, part), options.min_count)
        )
        vocabulary = tuple(dict.fromkeys(codes))
    tokenizer = WordTokenizer(vocabulary, options.ngram_buckets, sizes=options.ngram_sizes)
    given: dict[str, Any] = {
        "layers": options.layers,
        "hidden": options.hidden,
        "word_width": options.word_width,
        "ngram_width": options.ngram_width,
        "vocabulary": len(vocabulary),
        "buckets": options.ngram_buckets,
        "word_dropout": options.word_dropout if dropout is None else dropout,
    }
    if dropout is not None:
        given["dropout"] = dropout
    return BiLstmEncoder(**given), tokenizer


def _words(recipe: Recipe, corpora: Iterable[Corpus]) -> Iterator[Sequence[str]]:
    """The words of each sentence that is trained on."""
    for corpus in corpora:
        for sentence in corpus.sentences_of("train", **used_examples(recipe, corpus.name)):
            yield sentence.words


def _adapter(recipe: Recipe) -> dict[str, Any] | None:
    """What a recipe adapts its encoder with, if it does."""
    options, dropout = recipe.adapter, recipe.training.dropout
    if not isinstance(options, LoraAdapter):
        return None
    given = options.model_dump()
    if dropout is not None and options.dropout:  # a rate that is off stays off
        given["dropout"] = dropout
    return given


def make_examples(
    recipe: Recipe,
    corpora: Mapping[str, Corpus],
    tokenizer: Tokenizer,
    *,
    labels: Mapping[str, Sequence[str]],
) -> tuple[ChainedExamples, list[str]]:
    """The training examples of all corpora one after the other, and lines about them."""
    parts, lines = split_examples(recipe, corpora, tokenizer, labels=labels, split="train")
    names = [name for name in parts for _ in range(recipe.corpora[base_of(recipe, name)].repeat)]
    examples = ChainedExamples(
        [parts[name][0] for name in names],
        chosen=[parts[name][1] for name in names],
        names=names,
    )
    for task, options in recipe.tasks.items():
        if not examples.items[task].sum():
            raise DataError(
                f"nothing in training carries a label for task {task!r}; check "
                f"tasks.{task}.corpus, tasks.{task}.column and training.max_examples"
                + (f", or lower tasks.{task}.head.min_count" if _least(options) > 1 else "")
            )
    lines += unknown_labels(recipe, corpora, labels)
    lines += unlearnt_spans(recipe, corpora, labels)
    lines += far_mentions(recipe, corpora)
    return examples, lines + nothing_to_learn(recipe, labels)


def split_examples(
    recipe: Recipe,
    corpora: Mapping[str, Corpus],
    tokenizer: Tokenizer,
    *,
    labels: Mapping[str, Sequence[str]],
    split: str,
) -> tuple[dict[str, tuple[Any, np.ndarray | None]], list[str]]:
    """The examples of a split of each corpus that has it, by its name, and lines about them.

    With examples stand the places of those that are used, `None` for all; of splits that are not
    trained on all are.
    """
    parts: dict[str, tuple[Any, np.ndarray | None]] = {}
    lines: list[str] = []
    for name in layers_of(recipe):
        corpus = corpora[name]
        if split not in corpus.splits:
            continue
        encoded = corpus.encode(split, tokenizer)
        parts[name] = _part(recipe, corpus, encoded.dataset, labels=labels, split=split)
        lines += corpus.lines()
        if encoded.dropped:
            lines.append(
                f"{name} {split}: the tokenizer has no piece for {encoded.dropped} words; they are "
                "read as its unknown piece"
            )
        if split == "train":
            lines += document_lines(recipe, corpus)
    return parts, lines


def _part(
    recipe: Recipe,
    corpus: Corpus,
    encoded: Any,
    *,
    labels: Mapping[str, Sequence[str]],
    split: str,
) -> tuple[Any, np.ndarray | None]:
    """The examples of a split, and the places of those that are used, `None` for all."""
    tasks = layers_of(recipe)[corpus.name]
    wanted = {
        task: Wanted(layer, corpus.layers[layer], tuple(labels[task]))
        for task, layer in tasks.items()
    }
    of_words = {task: gold for task, gold in wanted.items() if gold.kind not in OF_PASSAGES}
    others = {task: gold for task, gold in wanted.items() if task not in of_words}
    sentences = Examples(corpus.split(split), encoded, tasks=of_words)
    used, passages = used_examples(recipe, corpus.name), corpus.passages.get(split)
    if split != "train":
        used = {**used, "limit": None, "spread": False}
    if used["limit"] is None and used["document"] is None and passages is None:
        return sentences, None
    chosen = corpus.chosen(split, **used)
    rest: SomeExamples | DocumentExamples = SomeExamples(sentences, chosen.rows)
    if chosen.parts is not None:
        whole = document_tasks(recipe, corpus.name)
        rest = DocumentExamples(rest, chosen.parts, tasks=whole)
    if passages is None:
        return rest, None
    part = PassageExamples(sentences, passages, tasks=others, rest=rest)
    if used["limit"] is None:
        return part, None
    return part, np.concatenate([chosen.passages, len(passages) + np.arange(len(rest))])


def make_settings(recipe: Recipe, precision: str) -> Settings:
    """The loop's settings, with precision resolved."""
    training = recipe.training
    same = Settings.__dataclass_fields__.keys() & type(training).model_fields.keys()
    values = {name: getattr(training, name) for name in same - {"precision"}}
    frozen = recipe.encoder
    return Settings(
        precision=precision,
        freeze_from=frozen.freeze_from,
        freeze_below=frozen.freeze_below,
        sampling=_sampling(recipe.sampling),
        balancing=recipe.balancing.name,
        balancing_options=recipe.balancing.model_dump(exclude={"name"}),
        **values,
    )


def _sampling(options: Options) -> Sampling:
    match options:
        case TemperatureSampling(exponent=exponent):
            return Sampling("drawn", exponent, exponent)
        case AnnealedSampling(last=last):
            return Sampling("drawn", 1.0, last)
        case CooldownSampling(first=first):
            return Sampling("drawn", first, 1.0)
        case RoundRobinSampling():
            return Sampling("turns")
        case BottomUpSampling():
            return Sampling(
                "phases",
                successive=options.successive,
                successive_heads=options.successive_heads,
                decoupled=options.decoupled,
                rate_decay=options.rate_decay,
                clip_by_level=options.clip_by_level,
            )
    return MIXED


def _labels(recipe: Recipe, corpora: Mapping[str, Corpus], task: str) -> tuple[str, ...]:
    """The labels a task has in the training data of its corpora, sorted."""
    column = recipe.tasks[task].column
    found: Counter[str] = Counter()
    kinds = set()
    for name, tasks in layers_of(recipe).items():
        if task in tasks:
            corpus = corpora[name]
            found.update(dict(zip(corpus.inventory(column), corpus.counts[column], strict=False)))
            kinds.add(corpora[name].layers[column])
    head = HEADS[recipe.tasks[task].head.name]
    if kinds != {head.layer}:
        raise RecipeError(
            f"tasks.{task}.head is {head.kind!r}, which learns from {head.layer}, but layer "
            f"{column!r} holds {' and '.join(sorted(kinds))}; choose another head or column"
        )
    if head.layer == "number":
        return _scale(recipe, corpora, task)
    least = _least(recipe.tasks[task])
    known = {label for label, count in found.items() if count >= least}
    if column == SEGMENT:
        known = {tag for tag, count in found.items() if count >= LEAST_TAGS or is_plain(tag)}
    options = recipe.tasks[task].head
    if isinstance(options, EditsHead):
        known = {script for script in known if inserted(script) <= options.most_inserted}
    if isinstance(options, RolesHead):
        # What is counted are senses; a role says what it is by itself.
        senses = {label for label in known if label.startswith(SENSE)}
        kept = {s for s in senses if inserted(s.removeprefix(SENSE)) <= options.most_inserted}
        known = kept | {label for label in found if not label.startswith(SENSE)}
    return tuple(sorted(known))


def _scale(recipe: Recipe, corpora: Mapping[str, Corpus], task: str) -> tuple[str, ...]:
    """The whole numbers from the lowest to the highest in the training data of a task.

    Raises:
        DataError: There are more than `MOST_STEPS` of them, or all numbers are one.
    """
    column = recipe.tasks[task].column
    values = [
        float(value)
        for name, tasks in layers_of(recipe).items()
        if task in tasks
        for value in corpora[name].gold("train", column)
        if isinstance(value, float)
    ]
    low, high = math.floor(min(values, default=0)), math.ceil(max(values, default=0))
    if not low < high <= low + MOST_STEPS:
        raise DataError(
            f"the numbers of {column!r} lie between {low} and {high}; tasks.{task} needs a scale "
            f"that spans 1 to {MOST_STEPS}: rescale them"
        )
    return tuple(str(number) for number in range(low, high + 1))


def _least(options: TaskOptions) -> int:
    """On how many training words a label must stand to be learnt."""
    return getattr(options.head, "min_count", 1)


def _head_options(
    recipe: Recipe,
    corpora: Mapping[str, Corpus],
    task: str,
    *,
    labels: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """`labels` are those of all tasks."""
    own = labels[task]
    head = recipe.tasks[task].head
    options = head.model_dump(exclude={"name", *head.of_labels})
    if "reads" in options:
        options["reads"] = {lower: len(labels[lower]) for lower in options["reads"]}
    if isinstance(head, RolesHead):
        options["senses"] = _senses(recipe, corpora, task)
    if recipe.training.dropout is not None:
        options["dropout"] = recipe.training.dropout
    weights = recipe.tasks[task].class_weights
    if weights == "balanced":
        options["class_weights"] = _balanced(recipe, corpora, task, labels=own)
    elif weights != "none":
        assert isinstance(weights, Mapping)
        unknown = sorted(set(weights) - set(own))
        if unknown:
            raise RecipeError(
                f"tasks.{task}.class_weights names {unknown[0]!r}, which is no label of the task; "
                f"its labels are {', '.join(own)}"
            )
        options["class_weights"] = [float(weights.get(label, 1.0)) for label in own]
    return options


def _senses(recipe: Recipe, corpora: Mapping[str, Corpus], task: str) -> list[str]:
    """The senses that predicates have in the training data of a task, sorted."""
    column = recipe.tasks[task].column
    return sorted(
        {
            frame.sense
            for name, tasks in layers_of(recipe).items()
            if task in tasks
            for layer in corpora[name].gold("train", column)
            if isinstance(layer, Frames)
            for frame in layer.frames
            if frame.sense is not None
        }
    )


def _balanced(
    recipe: Recipe, corpora: Mapping[str, Corpus], task: str, *, labels: Sequence[str]
) -> list[float]:
    """Weights inverse to the labels' frequencies, 1 on average over the training words."""
    column = recipe.tasks[task].column
    counts = dict.fromkeys(labels, 0)
    for name, tasks in layers_of(recipe).items():
        if task in tasks:
            corpus = corpora[name]
            for label, count in zip(corpus.names[column], corpus.counts[column], strict=True):
                if label in counts:
                    counts[label] += count
    seen = np.array([counts[label] for label in labels], dtype=np.float64)
    return (seen.sum() / (len(labels) * seen.clip(min=1))).tolist()
