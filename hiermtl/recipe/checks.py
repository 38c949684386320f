"""What is wrong between sections of a recipe whose sections are each in order."""

import math
from collections.abc import Iterator

from hiermtl.errors import listing, nearest
from hiermtl.recipe.adapters import NoAdapter
from hiermtl.recipe.aggregators import AggregatedBalancing, PCDBalancing
from hiermtl.recipe.base import shown
from hiermtl.recipe.corpora import (
    SEGMENT,
    SPLITS,
    ConlluCorpus,
    CorpusOptions,
    PairsCorpus,
    SampleCorpus,
    SickCorpus,
    TableCorpus,
    layers,
)
from hiermtl.recipe.depths import depth_problems
from hiermtl.recipe.encoder import BilstmEncoder
from hiermtl.recipe.heads import (
    HEADS,
    CrfHead,
    HintHead,
    PairHead,
    ReadingHead,
    SpanHead,
    TaggingHead,
    TextClassificationHead,
    hint_layer,
)
from hiermtl.recipe.messages import Problem
from hiermtl.recipe.models import Recipe
from hiermtl.recipe.sampling import BottomUpSampling
from hiermtl.recipe.schemes import SHARING, AdaptiveSharing
from hiermtl.recipe.tasks import TaskOptions


def cross_checks(recipe: Recipe) -> list[Problem]:
    """All problems that need no file and no encoder, in the order of the recipe."""
    blocks = recipe.encoder.layers if isinstance(recipe.encoder, BilstmEncoder) else None
    return [
        *(() if blocks is None else frozen_problems(recipe, blocks)),
        *depth_problems(recipe, blocks),
        *_class_weights(recipe),
        *_too_strong(recipe),
        *_heads_that_read(recipe),
        *_hints(recipe),
        *_heads_of_passages(recipe),
        *_segmentation(recipe),
        *_corpora_of_tasks(recipe),
        *_noisy_layers(recipe),
        *_joined_splits(recipe),
        *_main_tasks(recipe),
        *_nothing_to_adapt(recipe),
        *_nothing_to_compile(recipe),
        *_nothing_observed(recipe),
        *_nothing_to_spread(recipe),
        *_gradients_of_tasks(recipe),
        *_parts_cut_alike(recipe),
    ]


def _nothing_to_spread(recipe: Recipe) -> Iterator[Problem]:
    if recipe.training.examples == "spread" and recipe.training.max_examples is None:
        yield Problem(
            ("training", "examples"),
            "is 'spread', but all examples are used; give training.max_examples, or leave it out",
        )


def _nothing_to_adapt(recipe: Recipe) -> Iterator[Problem]:
    path, name = ("adapter", "name"), recipe.adapter.name
    if isinstance(recipe.adapter, NoAdapter):
        return
    if isinstance(recipe.encoder, BilstmEncoder):
        yield Problem(
            path,
            f"is {name!r}, but encoder 'bilstm' is trained from scratch, so that it has no weights "
            "worth keeping; leave adapter out, or name a pretrained encoder (encoder.name)",
        )
    if recipe.sharing.unadapted is not None:
        able = [other for other, model in SHARING.items() if model.unadapted is None]
        yield Problem(
            path,
            f"is {name!r}, but sharing {recipe.sharing.name!r} {recipe.sharing.unadapted}; leave "
            f"adapter out, or share by one of {listing(able)}",
        )


def _nothing_to_compile(recipe: Recipe) -> Iterator[Problem]:
    if recipe.training.compile and isinstance(recipe.encoder, BilstmEncoder):
        yield Problem(
            ("training", "compile"),
            "is true, but the library's LSTMs that encoder 'bilstm' is made of cannot be compiled; "
            "leave it out",
        )


def _nothing_observed(recipe: Recipe) -> Iterator[Problem]:
    sharing = recipe.sharing
    compares = isinstance(sharing, AdaptiveSharing) and not sharing.affinity and not sharing.tree
    if compares and recipe.sampling.name != "proportional":
        yield Problem(
            ("sampling", "name"),
            f"is {recipe.sampling.name!r}, whose steps serve one task each, but sharing: adaptive "
            "compares tasks on the examples of a step; leave it out, or give sharing.affinity or "
            "sharing.tree",
        )


def _gradients_of_tasks(recipe: Recipe) -> Iterator[Problem]:
    """Where gradients are to be weighed that never meet, or that no process has whole."""
    balancing, tasks = recipe.balancing, recipe.tasks
    if not isinstance(balancing, AggregatedBalancing):
        return
    if recipe.sampling.name != "proportional" and len(tasks) > 1:
        yield Problem(
            ("sampling", "name"),
            f"is {recipe.sampling.name!r}, whose steps serve one task each, but balancing: "
            f"{balancing.name} weighs gradients of tasks in one step, and would do nothing; leave "
            "it out, or set balancing: static",
        )
    if recipe.training.shard:
        yield Problem(
            ("training", "shard"),
            f"is true, so that each process holds a part of the weights, but balancing: "
            f"{balancing.name} compares gradients of whole weights; leave it out, or set "
            "balancing: static",
        )
    if isinstance(balancing, PCDBalancing) and balancing.primary not in tasks:
        yield Problem(
            ("balancing", "primary"),
            f"is {balancing.primary!r}, which is not a task of this recipe"
            f"{nearest(balancing.primary, tasks)} (tasks: {', '.join(tasks)})",
        )
    elif isinstance(balancing, PCDBalancing) and tasks[balancing.primary].auxiliary:
        yield Problem(
            ("balancing", "primary"),
            f"is {balancing.primary!r}, which is auxiliary, so that the others come first; name "
            f"another task, or set tasks.{balancing.primary}.auxiliary=false",
        )


def _parts_cut_alike(recipe: Recipe) -> Iterator[Problem]:
    if recipe.training.shard and recipe.training.accumulation == "auto":
        yield Problem(
            ("training", "accumulation"),
            "is 'auto', by which each process cuts its batch by itself, but processes that hold "
            "parts of weights (training.shard) must cut alike; give a number",
        )


def corpora_of(recipe: Recipe, task: str) -> tuple[str, ...]:
    """Corpora of a task: those it names, else all that can have its column by their options."""
    options = recipe.tasks[task]
    if options.corpus is not None:
        return options.corpus
    return tuple(name for name, corpus in recipe.corpora.items() if _can_have(corpus, options))


def _can_have(corpus: CorpusOptions, options: TaskOptions) -> bool:
    """Whether a corpus can have a task's column; what is computed from words, all have."""
    if options.column == SEGMENT and not isinstance(corpus, ConlluCorpus | SampleCorpus):
        return False
    return isinstance(options.head, HintHead) or options.column in layers(corpus)


def frozen_problems(recipe: Recipe, blocks: int) -> Iterator[Problem]:
    """Depths that are frozen but do not exist, and nothing left to train."""
    below, first = recipe.encoder.freeze_below, recipe.encoder.freeze_from
    path = ("encoder", "freeze_below")
    if below > blocks + 1:
        yield Problem(
            path,
            f"is {below}, but encoder {recipe.encoder.name!r} has depths 0 to {blocks}; "
            f"{blocks + 1} freezes all of them",
        )
    if first and first >= below:
        yield Problem(
            ("encoder", "freeze_from"),
            f"is {first}, but encoder.freeze_below is {below}; depths freeze_from to "
            "freeze_below - 1 are frozen: raise freeze_below, or leave freeze_from out",
        )
    if not first and below > blocks and all(task.freeze for task in recipe.tasks.values()):
        yield Problem(
            path,
            f"is {below} and every task has freeze: true, so nothing is left to train; free a task "
            "or a depth",
        )


def _class_weights(recipe: Recipe) -> Iterator[Problem]:
    for task, options in recipe.tasks.items():
        if options.class_weights != "none" and not options.head.weighs_classes:
            able = [name for name, model in HEADS.items() if model.weighs_classes]
            yield Problem(
                ("tasks", task, "class_weights"),
                f"is {shown(options.class_weights)}, but head {options.head.name!r} does not "
                f"weigh classes; leave it out or use head: {listing(able)}",
            )


def _too_strong(recipe: Recipe) -> Iterator[Problem]:
    """Successive regularisation that would let weights go nowhere."""
    sampling, training = recipe.sampling, recipe.training
    if not isinstance(sampling, BottomUpSampling) or not sampling.decoupled:
        return
    for key, rate in (("successive", "lr"), ("successive_heads", "lr_heads")):
        strength, peak = getattr(sampling, key), getattr(training, rate)
        if 2 * peak * strength > 1:
            yield Problem(
                ("sampling", key),
                f"is {strength!r}, so that every step at training.{rate} {peak!r} would put "
                "weights back where their phase began; allowed is at most "
                f"{math.floor(500 / peak) / 1000!r} at this rate: lower one of the two, or set "
                "sampling.decoupled: false",
            )


def _heads_that_read(recipe: Recipe) -> Iterator[Problem]:
    """What heads read must be other tasks of their kind, in a recipe that trains them together.

    Depths, rings and labels are for the model to check, which knows them.
    """
    reads = {task: getattr(o.head, "reads", ()) for task, o in recipe.tasks.items()}
    for task, lower in reads.items():
        spans = isinstance(recipe.tasks[task].head, ReadingHead)
        kind, what = (SpanHead, "tasks that find spans") if spans else (PairHead, "tasks of pairs")
        others = [
            name
            for name, options in recipe.tasks.items()
            if name != task and isinstance(options.head, kind)
        ]
        for name in lower:
            path = ("tasks", task, "head", "reads")
            if recipe.sharing.name == "single":
                yield Problem(
                    path,
                    f"is {name!r}, but sharing 'single' trains each task by itself, so that there "
                    "is nothing to read; "
                    + (
                        f"train {task} and {name} alone with low_supervision instead"
                        if spans
                        else "leave it out"
                    ),
                )
            elif name not in others:
                yield Problem(
                    path,
                    f"is {name!r}; allowed are the other {what}, which are "
                    f"{listing(others) if others else 'none in this recipe'}"
                    f"{nearest(name, others)}",
                )
            elif recipe.tasks[name].auxiliary and not recipe.tasks[task].auxiliary:
                yield Problem(
                    path,
                    f"is {name!r}, which is auxiliary, so that the model is saved without it; take "
                    f"it out, or set tasks.{name}.auxiliary=false (that it has no say in which "
                    "checkpoint is best is for evaluation.main to tell)",
                )


def _hints(recipe: Recipe) -> Iterator[Problem]:
    """Hints are computed, so that no model needs to predict them, and no corpus holds them."""
    for task, options in recipe.tasks.items():
        head = options.head
        if not isinstance(head, HintHead):
            continue
        if not options.auxiliary:
            yield Problem(
                ("tasks", task, "auxiliary"),
                "is false, but head 'hint' predicts what is computed from the words, so that a "
                "model is of no use for it; set it to true",
            )
        layer = hint_layer(head.feature, head.size)
        if options.column != layer:
            yield Problem(
                ("tasks", task, "column"),
                f"is {options.column!r}, but head 'hint' has its labels from the words (as "
                f"{layer!r}); leave it out, or read the column with head: tagging",
            )


def _heads_of_passages(recipe: Recipe) -> Iterator[Problem]:
    """Heads of pairs need corpora of pairs, heads of texts corpora of texts."""
    formats = {
        PairHead: ("pairs", PairsCorpus | SickCorpus | SampleCorpus, ("pairs", "sick", "sample")),
        TextClassificationHead: ("texts", TableCorpus, ("table",)),
    }
    for task, options in recipe.tasks.items():
        for kind, (judged, fitting, names) in formats.items():
            if not isinstance(options.head, kind):
                continue
            for name in corpora_of(recipe, task):
                corpus = recipe.corpora.get(name)
                if corpus is not None and not isinstance(corpus, fitting):
                    yield Problem(
                        ("tasks", task, "head"),
                        f"is {options.head.name!r}, which judges {judged}, but corpus {name!r} has "
                        f"the format {corpus.format!r}; {judged} come from {listing(names)}: "
                        "choose another head, or name another corpus",
                    )


def _segmentation(recipe: Recipe) -> Iterator[Problem]:
    """The task that finds words in plain text: one of its own name, and from corpora with text."""
    for task, options in recipe.tasks.items():
        if (task == SEGMENT) != (options.column == SEGMENT):
            yield Problem(
                ("tasks", task, "column"),
                f"is {options.column!r}, but the task {SEGMENT!r} finds words and sentences in "
                "plain text and learns from the layer of that name, as no other task does; "
                + ("leave column out" if task == SEGMENT else f"call the task {SEGMENT!r}")
                + ", or choose another name",
            )
    options = recipe.tasks.get(SEGMENT)
    if options is None or options.column != SEGMENT:
        return
    head = options.head
    if isinstance(head, CrfHead) and head.bio:
        yield Problem(
            ("tasks", SEGMENT, "head", "bio"),
            f"is true, but the tags of {SEGMENT!r} are not IOB2; leave it out, or set it to false",
        )
    elif not isinstance(head, TaggingHead | CrfHead):
        able = [name for name, model in HEADS.items() if model in (TaggingHead, CrfHead)]
        yield Problem(
            ("tasks", SEGMENT, "head"),
            f"is {head.name!r}, but {SEGMENT!r} is learnt as tags; leave it out or use head: "
            f"{listing(able)}",
        )
    named = [name for name in options.corpus or recipe.corpora if name in recipe.corpora]
    formats = {name: recipe.corpora[name].format for name in named}
    lacking = [name for name in named if not _can_have(recipe.corpora[name], options)]
    if lacking and (options.corpus is not None or len(lacking) == len(named)):
        told = listing(f"{name} ({formats[name]})" for name in lacking)
        yield Problem(
            ("tasks", SEGMENT, "corpus"),
            f"{'names' if options.corpus else 'may be any of'} {told}, which do not say how words "
            "are written in text; corpora of format conllu and sample do: name one of them, or "
            f"leave the task {SEGMENT!r} out",
        )


def _corpora_of_tasks(recipe: Recipe) -> Iterator[Problem]:
    for task, options in recipe.tasks.items():
        unknown = [name for name in options.corpus or () if name not in recipe.corpora]
        for name in unknown:
            yield Problem(
                ("tasks", task, "corpus"),
                f"is {name!r}, which is not a corpus of this recipe{nearest(name, recipe.corpora)}"
                f" (corpora: {', '.join(recipe.corpora)})",
            )
        named = [name for name in options.corpus or recipe.corpora if name in recipe.corpora]
        lacking = [name for name in named if not _can_have(recipe.corpora[name], options)]
        if named and len(lacking) == len(named) and options.column != SEGMENT:
            offered = sorted(set().union(*(layers(recipe.corpora[name]) for name in named)))
            yield Problem(
                ("tasks", task, "column"),
                f"is {options.column!r}, but {_corpora(named)} {listing(offered)}"
                f"{nearest(options.column, offered)}",
            )


def _noisy_layers(recipe: Recipe) -> Iterator[Problem]:
    for name, corpus in recipe.corpora.items():
        able = layers(corpus)
        for layer in corpus.noise or ():
            if layer not in able:
                yield Problem(
                    ("corpora", name, "noise", layer),
                    f"is no layer of this corpus, which has {listing(sorted(able))}"
                    f"{nearest(layer, able)}",
                )


def _corpora(names: list[str]) -> str:
    many = len(names) > 1
    return f"corp{'ora' if many else 'us'} {listing(names)} {'have' if many else 'has'} the columns"


def _joined_splits(recipe: Recipe) -> Iterator[Problem]:
    for name, corpus in recipe.corpora.items():
        if not isinstance(corpus, ConlluCorpus):
            continue
        for index, join in enumerate(corpus.join):
            given = [split for split in SPLITS if getattr(join, split) is not None]
            path = ("corpora", name, "join", str(index))
            if not given:
                yield Problem(path, f"names no file; give at least one of {listing(SPLITS)}")
            for split in given:
                if getattr(corpus, split) is None:
                    yield Problem(
                        (*path, split),
                        f"has no sentences to join: corpora.{name}.{split} is not given",
                    )


def _main_tasks(recipe: Recipe) -> Iterator[Problem]:
    for name in recipe.evaluation.main or ():
        if name not in recipe.tasks:
            yield Problem(
                ("evaluation", "main"),
                f"is {name!r}, which is not a task of this recipe{nearest(name, recipe.tasks)}"
                f" (tasks: {', '.join(recipe.tasks)})",
            )
        elif recipe.tasks[name].auxiliary:
            yield Problem(
                ("evaluation", "main"),
                f"is {name!r}, which is auxiliary, so that it has no say and the model is saved "
                f"without it; take it out, or set tasks.{name}.auxiliary=false",
            )
    if all(task.auxiliary for task in recipe.tasks.values()):
        yield Problem(
            ("tasks",),
            f"are all auxiliary ({listing(recipe.tasks)}), so that none says which checkpoint is "
            "best and the model would have no task; leave at least one that is not",
        )
