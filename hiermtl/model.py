"""The model: blocks stepped upwards, heads read on the way; where sharing meets heads.

A forward pass asks some tasks of some sentences. From the scheme's routes it is known, before any
computation, which block copies which sentences need; nothing else runs. A sentence leaves at the
deepest block one of its tasks depends on, or before, where exits are used (`hiermtl.exit_heads`).
"""

import copy
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from transformers import AutoModel, PreTrainedModel

from hiermtl.config import FORMAT_VERSION, HierarchicalConfig, check_reads, row_of
from hiermtl.encoders import Encoder, encoder_from_config
from hiermtl.encoders.base import Part
from hiermtl.encoders.lora import merge
from hiermtl.errors import ModelError, listing, nearest
from hiermtl.exit_heads import (
    AtExit,
    ExitHeads,
    Learning,
    Leaving,
    Left,
    exit_states,
    thresholds_of,
)
from hiermtl.heads import HEADS, Head
from hiermtl.heads.base import gold_of, split_by_sentence
from hiermtl.hierarchy import Hierarchy, Task
from hiermtl.precision import full_precision
from hiermtl.records import MISSING, Batch, HeadOutput, Layout, Stream, Tap, placed
from hiermtl.seeding import seeded
from hiermtl.sharing import SHARING, Routes, Sharing, Stack, describe
from hiermtl.text.segment import SEGMENT


class HierarchicalModel(PreTrainedModel):
    """One encoder, many tasks, each read at its depth.

    Saved and loaded as transformers models are. `recompute_blocks` makes training keep of each
    block its input alone and run it once more backwards (Chen et al. 2016, Training Deep Nets with
    Sublinear Memory Cost): less memory, about a third more time, the same gradients.
    """

    config_class = HierarchicalConfig
    base_model_prefix = ""
    main_input_name = "batch"
    recompute_blocks: bool = False

    def __init__(
        self, config: HierarchicalConfig, encoder: Encoder | None = None, *, seed: int = 0
    ) -> None:
        """Builds from a config; `encoder` may bring pretrained weights.

        Raises ModelError for an unknown scheme, head or family, and for a newer format; RecipeError
        when the scheme cannot serve the hierarchy.
        """
        super().__init__(config)
        if config.format_version > FORMAT_VERSION:
            raise ModelError(
                f"the model has format version {config.format_version}; this version of hiermtl "
                f"reads up to {FORMAT_VERSION}: install a newer hiermtl"
            )
        self.hierarchy = config.hierarchy()
        used = {*dir(torch.nn.ModuleDict()), *dir(torch.nn.ParameterDict())}
        for name in self.hierarchy.names:
            if not name or "." in name or name in used:
                raise ModelError(
                    f"a task cannot be named {name!r}; allowed are names without dots that "
                    "PyTorch's modules do not use themselves: choose another one"
                )
        encoder = encoder or encoder_from_config(config.encoder)
        for task in self.hierarchy:
            if task.depth > encoder.blocks:
                raise ModelError(
                    f"tasks.{task.name}.depth is {task.depth}, but the encoder has depths 0 to "
                    f"{encoder.blocks}; a task is read at 1 or above: lower it or choose a deeper "
                    "encoder"
                )
        check_reads(config.tasks)
        self._share(encoder, seed)
        self.heads = torch.nn.ModuleDict()
        self.taps = torch.nn.ModuleDict()
        for task in self.hierarchy:
            norm = encoder.tap_norm()
            if norm is not None:
                self.taps[task.name] = norm
            given = config.tasks[task.name]
            kind = row_of(HEADS, given["head"], "head")
            with seeded(seed, "heads", task.name):
                width = self.sharing.head_width(task.name)
                head = kind(width, given["labels"], **given.get("options", {}))
            if self.sharing.even_start:
                head.start_even()
            self.heads[task.name] = head
        self.exits = self._exit_heads(config.exits)
        self.post_init()

    def _share(self, encoder: Encoder, seed: int) -> None:
        """Makes the scheme of the config, the blocks it asks for, and the routes through them."""
        config = self.config
        options = {key: value for key, value in config.sharing.items() if key != "name"}
        scheme = row_of(SHARING, config.sharing["name"], "sharing")
        known = scheme.option_names()
        for name in options:
            if name not in known:
                raise ModelError(
                    f"{name!r} is no option of sharing {scheme.name!r}; it has "
                    f"{listing(known) if known else 'none'}{nearest(name, known)}"
                )
        labels = {
            name: len(task["labels"])
            for name, task in config.tasks.items()
            # The model is to be saved without an auxiliary task, so that nothing may read it; and
            # what is said of atoms of text says nothing of words.
            if row_of(HEADS, task["head"], "head").layer == "tags"
            and not task.get("auxiliary")
            and name != SEGMENT
        }
        absent = [Task(name, depth) for name, depth in config.absent.items()]
        with seeded(seed, "sharing"):
            self.sharing: Sharing = scheme(
                Hierarchy([*self.hierarchy, *absent]),
                encoder.widths,
                labels=labels,
                directions=encoder.directions,
                lower=self.lower,
                **options,
            )
        names = self.hierarchy.names
        self.stack = Stack(encoder, self.sharing, seed=seed, tasks=names)
        self.routes = Routes(self.sharing, self.lower, tasks=names)
        self._heard: tuple[Collection[tuple[int, str, str]], Routes] | None = None
        if absent:
            _forget(self.sharing, kept={n for task in names for n in self.sharing.owned(task)})

    @property
    def lower(self) -> dict[str, tuple[str, ...]]:
        """The tasks whose predictions each task's head reads."""
        tasks = self.config.tasks.items()
        return {name: tuple(given.get("options", {}).get("reads", ())) for name, given in tasks}

    def _init_weights(self, module: torch.nn.Module) -> None:
        """Nothing: each module draws its own start when it is made."""

    def head(self, task: str) -> Head:
        """The head of a task."""
        found = self.heads[task]
        assert isinstance(found, Head)
        return found

    def exit_states(self, task: str) -> dict[int, tuple[int, str]]:
        """The depths at which sentences could leave for a task, each with the state read there.

        Raises:
            NoExitsError: They could at none, for a reason that is told.
        """
        return exit_states(
            self.hierarchy[task],
            self.head(task),
            self.routes[task],
            reads=self.lower[task],
            sharing=self.sharing.name,
        )

    def _exit_heads(self, exits: Mapping[str, Mapping[str, Any]]) -> ExitHeads:
        """The heads that these ask, as `config.exits` has them."""
        return ExitHeads(exits, self.config.tasks, self.sharing.widths, self.exit_states)

    def set_exits(self, exits: Mapping[str, Mapping[str, Any]]) -> None:
        """Takes on other exits, as `config.exits` has them.

        Heads that are there stay; new ones start as the task's own, where states are as wide.

        Raises:
            ModelError: Sentences cannot leave there; nothing has changed then.
        """
        new = self._exit_heads(exits)
        new.to(self.device, self.dtype).train(self.training)
        new.start(self.exits.state_dict(), self.head)
        self.exits = new
        self.config.exits = {task: dict(given) for task, given in exits.items()}

    def depends_on(self, task: str, *, by_loss: bool = False) -> frozenset[str]:
        """The names of the parameters that a task depends on, by structure.

        Heads of the tasks it needs are named whole, with what only their own decoding reads. With
        `by_loss` what can have a gradient of its loss: spans that it reads of others bring none.
        """
        route = self.routes[task]
        if by_loss:
            told = {n: r for n, r in self.lower.items() if self.head(n).reads_layer is None}
            route = Routes(self.sharing, told, tasks=[task])[task]
        prefixes = [f"{part}.{name}." for name in route.tasks for part in ("heads", "taps")]
        for depth, branch in route.raw:
            place = f"blocks.{depth}.{branch}" if depth else f"embeddings.{branch}"
            prefixes.append(f"stack.{place}.")
        found = {n for n, _ in self.named_parameters() if n.startswith(tuple(prefixes))}
        own = {f"sharing.{name}" for lower in route.tasks for name in self.sharing.owned(lower)}
        return frozenset(found | own)

    def restructured(self) -> None:
        """Follows a change of the scheme's structure; to be called after each `Edit`."""
        self.routes = Routes(self.sharing, self.lower, tasks=self.hierarchy.names)
        self._heard = None
        self.config.sharing = {"name": self.sharing.name, **self.sharing.structure()}

    def heard(self) -> Routes:
        """The routes of a pass in evaluation that needs no gradient.

        As `routes`, without streams of which a mix has nothing, as its weights stand.
        """
        silent = self.sharing.silent()
        if not silent:
            return self.routes
        if self._heard is None or self._heard[0] != silent:
            names = self.hierarchy.names
            self._heard = silent, Routes(self.sharing, self.lower, tasks=names, silent=silent)
        return self._heard[1]

    def rebuild(self, sharing: Mapping[str, Any]) -> None:
        """Takes on another structure of its scheme, as it stands in a saved `config.sharing`.

        Blocks and scheme are new ones, with weights that wait to be loaded; heads stay.
        """
        old = next(self.stack.parameters())
        self.config.sharing = dict(sharing)
        self._share(encoder_from_config(self.config.encoder), seed=0)
        for part in (self.sharing, self.stack):
            part.to(old.device, old.dtype)

    def simplified(self) -> "HierarchicalModel":
        """The same function as a model of low supervision, where the scheme has become one.

        Blocks above the deepest task are left out. Otherwise the model itself.
        """
        depths = self.sharing.depths()
        if depths is None:
            return self
        config = copy.deepcopy(self.config)
        assert isinstance(config, HierarchicalConfig)
        for task, given in config.tasks.items():
            given["depth"] = depths[task]
        config.sharing, config.absent = {"name": "low_supervision"}, {}
        config.learnt = describe(self.sharing)
        return self._with_these_weights(config)

    def without(self, tasks: Iterable[str]) -> "HierarchicalModel":
        """A model of the other tasks, the same function of them, without what only these need.

        What others stand on stays, such as streams that are mixed into theirs. Where there are none
        to leave out, the model itself.

        Raises:
            ModelError: There is no such task, or one of the others reads its predictions.
        """
        gone = self.hierarchy.select(tasks)
        return self._with_these_weights(self.config_without(gone)) if gone else self

    def config_without(self, tasks: Iterable[str]) -> HierarchicalConfig:
        """The config of such a model.

        Raises:
            ModelError: As `without`.
        """
        gone = self.hierarchy.select(tasks)
        for task in self.hierarchy.names:
            read = sorted(self.routes[task].tasks & set(gone))
            if task not in gone and read:
                raise ModelError(
                    f"task {task!r} reads what {listing(read)} predict{'' if read[1:] else 's'}, "
                    "so that the model cannot be without; leave the reader out too"
                )
        config = copy.deepcopy(self.config)
        assert isinstance(config, HierarchicalConfig)
        config.learnt = self.described()
        for task in gone:
            del config.tasks[task]
            config.exits.pop(task, None)
            if not self.sharing.separable:
                config.absent[task] = self.hierarchy[task].depth
        return config

    def _with_these_weights(self, config: HierarchicalConfig) -> "HierarchicalModel":
        """A model whose weights are some of this one's, under the same names."""
        other = type(self)(config)
        other = other.to(device=self.device, dtype=self.dtype)  # pyright: ignore[reportCallIssue]
        known = self.every_name()
        other.load_state_dict({name: known[name] for name in other.state_dict()})
        return other.train(self.training)

    def described(self) -> dict[str, Any]:
        """What tasks share and what was learnt of it, as `describe` tells it.

        Of a model that has become one of low supervision, or has lost tasks, it is the scheme as it
        was trained.
        """
        return dict(self.config.learnt) or describe(self.sharing)

    def merged(self) -> "HierarchicalModel":
        """The same function without an adapter, each delta added to the weights beside it.

        The model itself where it has none, or where copies of a block have weights in common: each
        would need weights of its own.
        """
        if "adapter" not in self.config.encoder or self.stack.repeated():
            return self
        plain = copy.deepcopy(self)
        for part in list(plain.stack.modules()):
            if isinstance(part, Part):
                merge(part)
        encoder = self.config.encoder.items()
        plain.config.encoder = {key: value for key, value in encoder if key != "adapter"}
        return plain

    def every_name(self) -> dict[str, Tensor]:
        """The state, with weights that copies have in common under each of their names."""
        return {**self.state_dict(), **dict(self.named_parameters(remove_duplicate=False))}

    def forward(
        self, batch: Batch, tasks: Iterable[str] | Mapping[str, np.ndarray] | None = None
    ) -> dict[str, HeadOutput]:
        """Scores of the tasks asked for, and of those they depend on.

        With `tasks`, each is asked of all sentences, or of those of its mask, (sentences,) bool;
        without, each of the sentences that carry its gold, or belong to a group that does.
        """
        return self._step(batch, self._asked(batch, tasks))

    @torch.no_grad()
    def leave(
        self, batch: Batch, tasks: Iterable[str] | Mapping[str, np.ndarray]
    ) -> tuple[dict[str, HeadOutput], dict[str, list[Left]]]:
        """As the model itself, but a sentence leaves for a task at the first exit that is sure.

        That is, where the mean over its words of how probable the exit head finds its own answers
        is not below the exit's threshold; blocks above run for it only if another task needs them.
        So answers are not those of the whole model. Nothing leaves for a task whose predictions
        another one reads that is asked too. Groups of the batch have no sentence in common.

        Returns:
            What the tasks' own heads say of the sentences that stayed, and the others, exit by
            exit.
        """
        leaving = Leaving(self.exits, self.config.exits, batch)
        return self._step(batch, self._asked(batch, tasks), at_exit=leaving), leaving.left

    def exit_losses(self, batch: Batch) -> dict[tuple[str, int], Tensor]:
        """The loss of each exit head, by task and depth, as `losses`; nothing else gets a gradient.

        Blocks above the deepest exit are not run.
        """
        learning = Learning(self.exits, batch)
        asked = {t: batch.annotated[t] for t in self.exits if t in batch.annotated}
        with torch.no_grad():
            self._step(batch, asked, at_exit=learning)
        return learning.losses

    def _step(
        self, batch: Batch, asked: dict[str, np.ndarray], *, at_exit: AtExit | None = None
    ) -> dict[str, HeadOutput]:
        """Blocks upwards, and heads on the way, of sentences that are asked and have not left."""
        wanted = self._wanted(asked)
        raw, mixed = self._demand(wanted)
        exits = {} if at_exit is None else self._exits_by_depth(asked, every=at_exit.learning)
        top = max((depth for depth, _ in raw), default=-1)
        if at_exit is not None and at_exit.learning:
            top = max(exits, default=-1)
        last = {task: max(depth for depth, _ in self.sharing.reads(task)) for task in wanted}
        kept: dict[tuple[int, str], Stream] = {}
        words: dict[tuple[int, str], Tensor] = {}
        outputs: dict[str, HeadOutput] = {}
        reading = {state for task in wanted for state in self.sharing.reads(task)}
        for depth in range(1, top + 1):
            reading.update(self.sharing.sees(depth))
        below: Mapping[str, Stream] = {}
        for depth in range(top + 1):
            streams: dict[str, Stream] = {}
            branches = self.sharing.branches(depth)
            for branch, parent in branches.items():
                sentences = raw.get((depth, branch))
                if sentences is None:
                    continue
                if parent is None:
                    streams[branch] = self._embedded(branch, batch).narrow(sentences)
                else:
                    stream = below[parent].narrow(sentences)
                    streams[branch] = self._after_block(depth, branch, stream, kept, outputs)
            # In an order that does not change from process to process, as that of a set does.
            receivers = {b: mixed[depth, b] for b in branches if (depth, b) in mixed}
            below = self.sharing.mix(depth, streams, receivers=receivers)
            kept.update(
                {
                    (depth, name): stream
                    for name, stream in below.items()
                    if (depth, name) in reading
                }
            )
            for task, sentences in wanted.items():
                if last[task] == depth:
                    outputs[task] = self._read(
                        task, kept, words, batch, sentences=sentences, outputs=outputs
                    )
            if at_exit is not None and depth in exits:
                for task, state in exits[depth].items():
                    who = np.flatnonzero(asked[task])
                    if not len(who):
                        continue
                    read, layout = self._words(task, state, below[state[1]], words, who)
                    with torch.set_grad_enabled(at_exit.learning):
                        head = self.exits.head(task, depth)
                        output = self._scored(task, head, read, layout, batch, who, outputs)
                        gone = at_exit(task, depth, output)
                    if len(gone):
                        asked[task] = asked[task].copy()
                        asked[task][gone] = False
                wanted = self._wanted(asked)
                raw, mixed = self._demand(wanted)
        return outputs

    def _embedded(self, branch: str, batch: Batch) -> Stream:
        """All sentences of a batch at depth 0."""
        values = self.stack.embedding(branch)(batch.inputs, batch.layout)
        return Stream(values, batch.layout, np.arange(batch.layout.sentences))

    def _after_block(
        self,
        depth: int,
        branch: str,
        stream: Stream,
        kept: Mapping[tuple[int, str], Stream],
        outputs: Mapping[str, HeadOutput],
    ) -> Stream:
        """A branch's states at a depth from those below, and what the scheme feeds its block."""
        fed = {
            task: self._feed(outputs[task], task, stream=stream)
            for task in self.sharing.feeds(depth)
        }
        seen = [kept[state].narrow(stream.sentences).values for state in self.sharing.sees(depth)]
        extra = self.sharing.extra(depth, stream, fed=fed, seen=seen)
        block = self.stack.block(depth, branch)
        given = (stream.values, stream.layout, extra)
        if self.recompute_blocks and self.training and torch.is_grad_enabled():
            values = checkpoint(block, *given, use_reentrant=False)
            assert isinstance(values, Tensor)
        else:
            values = block(*given)
        return stream.replace(values)

    def losses(
        self, batch: Batch, outputs: Mapping[str, HeadOutput], *, predicted: Collection[str] = ()
    ) -> dict[str, Tensor]:
        """Each task's loss, for tasks with gold: summed over items, in nats, fp32.

        Heads that read what other tasks find read their gold, where a batch has any; those of the
        tasks in `predicted` what is predicted.
        """
        losses: dict[str, Tensor] = {}
        decoded: dict[str, list[Any]] = {}
        for task, output in outputs.items():
            head = self.head(task)
            of_groups = output.groups is not None and head.unit != "document"
            if not of_groups and task in batch.items and task in batch.annotated:
                if head.unit == "word":
                    output = output.narrow(_among(output.sentences, batch.annotated[task]))
                known = None if task in predicted else batch
                output = self._with_items(task, output, outputs, decoded=decoded, gold=known)
                gold = {"items": items_of(batch.items[task], output)}
                if head.unit == "document":
                    told = batch.itemised[task][output.sentences]
                    gold["annotated"] = placed(told, batch.layout.device)
            else:
                gold = gold_of(task, head, output, batch)
                if gold is None:
                    continue
            losses[task] = head.loss(output, gold)
        return losses

    @torch.no_grad()
    def margins(
        self, batch: Batch, outputs: Mapping[str, HeadOutput]
    ) -> dict[str, tuple[np.ndarray, Tensor]]:
        """How far each task is from the gold: 1 - p(gold), the mean over what a sentence has of it.

        That is over its labelled words, or over the labelled texts or pairs it belongs to. Task to
        the sentences of the batch that have any, ascending, and a number for each; tasks without
        probabilities are left out.
        """
        found = {}
        for task, given in outputs.items():
            head = self.head(task)
            if not head.probable:
                continue
            output = _widened(given)
            gold = gold_of(task, head, output, batch)
            if gold is None:
                continue
            if output.groups is not None:
                labels = gold["labels"]
                told: list[Any] = labels.clamp(min=0).tolist()
            else:
                names = ("heads", "relations") if head.layer == "tree" else ("labels",)
                counts = output.layout.word_counts
                split = [
                    split_by_sentence(gold[name].clamp(min=0).cpu().numpy(), counts)
                    for name in names
                ]
                told = list(zip(*split, strict=True)) if len(split) > 1 else split[0]
                labels = gold[names[0]]
            with torch.autocast(batch.layout.device.type, enabled=False):
                sure = head.confidence(output, told)
            if sure is not None:
                there = (labels != MISSING).cpu().numpy()
                found[task] = output.means(1 - sure, batch.groups, there=there)
        return found

    @torch.no_grad()
    def doubts(self, batch: Batch) -> dict[str, tuple[np.ndarray, Tensor]]:
        """How unsure each task is of what it says, of every sentence, whether or not it has gold.

        That is 1 - p of what is most probable, the mean over words (of a tree their heads), or over
        the texts or pairs a sentence belongs to. Shapes: as `margins`.
        """
        asked = {}
        for task in self.hierarchy.names:
            if not self.head(task).probable:
                continue
            mask = np.ones(batch.layout.sentences, dtype=bool)
            unit = self.head(task).unit
            if unit != "word":
                members = batch.groups.at(np.flatnonzero(batch.groups.units == unit))
                mask = np.isin(np.arange(len(mask)), members.members)
            if mask.any():
                asked[task] = mask
        outputs = self(batch, asked)
        found = {}
        for task in asked:
            output = _widened(outputs[task])
            with torch.autocast(batch.layout.device.type, enabled=False):
                doubt = 1 - self.head(task).surest(output)
            found[task] = output.means(doubt, batch.groups)
        return found

    def decode(
        self, outputs: Mapping[str, HeadOutput], tasks: Iterable[str]
    ) -> dict[str, list[Any]]:
        """For each task, one annotation per sentence or group the head ran on (`Head.decode`)."""
        decoded: dict[str, list[Any]] = {}
        for task in tasks:
            if task not in decoded:
                output = self._with_items(task, outputs[task], outputs, decoded=decoded, gold=None)
                decoded[task] = self.head(task).decode(output)
        return {task: decoded[task] for task in tasks}

    def decode_informed(
        self, batch: Batch, outputs: Mapping[str, HeadOutput], tasks: Iterable[str]
    ) -> dict[str, list[Any]]:
        """As `decode`, of informed heads, with the batch's items in place of what they read.

        A head that reads no other task is given its own.
        """
        found: dict[str, list[Any]] = {}
        for task in tasks:
            output = self._with_items(task, outputs[task], outputs, decoded={}, gold=batch)
            if task in batch.items:
                output = replace(output, given=items_of(batch.items[task], output))
            found[task] = self.head(task).decode(output)
        return found

    def _asked(
        self, batch: Batch, tasks: Iterable[str] | Mapping[str, np.ndarray] | None
    ) -> dict[str, np.ndarray]:
        """Task to the sentences it is asked of, (sentences,) bool."""
        if tasks is None:
            known = [task for task in self.hierarchy.names if task in batch.annotated]
            return {task: batch.annotated[task] for task in known}
        if isinstance(tasks, Mapping):
            return {task: tasks[task] for task in self.hierarchy.select(tasks)}
        every = np.ones(batch.layout.sentences, dtype=bool)
        return dict.fromkeys(self.hierarchy.select(tasks), every)

    def _wanted(self, asked: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Task to the sentences it must run on, with tasks others depend on, lowest first."""
        masks: dict[str, np.ndarray] = {}
        for task, mask in asked.items():
            for needed in self.routes[task].tasks:
                masks[needed] = masks[needed] | mask if needed in masks else mask
        names = sorted(self.hierarchy.names, key=lambda task: len(self.routes[task].tasks))
        chosen = {task: np.flatnonzero(masks[task]) for task in names if task in masks}
        return {task: who for task, who in chosen.items() if len(who)}

    def _exits_by_depth(
        self, asked: Iterable[str], *, every: bool
    ) -> dict[int, dict[str, tuple[int, str]]]:
        """Depth to the tasks that can be left there, each with the state its exit head reads.

        Tasks that others which are asked depend on are among them with `every` alone.
        """
        lower = {name for task in asked for name in self.routes[task].tasks - {task}}
        needed = set() if every else lower
        found: dict[int, dict[str, tuple[int, str]]] = {}
        for task in asked:
            if task in self.exits and task not in needed:
                states = self.exit_states(task)
                for depth in thresholds_of(task, self.config.exits[task]):
                    found.setdefault(depth, {})[task] = states[depth]
        return found

    def _demand(
        self, wanted: Mapping[str, np.ndarray]
    ) -> tuple[dict[tuple[int, str], np.ndarray], dict[tuple[int, str], np.ndarray]]:
        """The sentences each state is needed for, before and after mixing."""
        raw: dict[tuple[int, str], np.ndarray] = {}
        mixed: dict[tuple[int, str], np.ndarray] = {}
        routes = self.routes if self.training or torch.is_grad_enabled() else self.heard()
        for task, sentences in wanted.items():
            route = routes[task]
            for demand, states in ((raw, route.raw), (mixed, route.mixed)):
                for state in states:
                    known = demand.get(state)
                    demand[state] = sentences if known is None else _union(known, sentences)
        return raw, mixed

    def _feed(self, output: HeadOutput, task: str, *, stream: Stream) -> Tensor:
        """(words of the stream, labels): what the task's head finds probable."""
        chosen = output.layout.select(output.positions(stream.sentences))
        return chosen.take_words(self.head(task).probabilities(output))

    def _read(
        self,
        task: str,
        kept: Mapping[tuple[int, str], Stream],
        words: dict[tuple[int, str], Tensor],
        batch: Batch,
        *,
        sentences: np.ndarray,
        outputs: Mapping[str, HeadOutput],
    ) -> HeadOutput:
        """What a task's own head says of these sentences."""
        values, layout = [], None
        for state in self.sharing.reads(task):
            own, layout = self._words(task, state, kept[state], words, sentences)
            values.append(own)
        assert layout is not None, f"the scheme reads nothing for task {task!r}"
        read = self.sharing.read(task, values)
        return self._scored(task, self.head(task), read, layout, batch, sentences, outputs)

    def _words(
        self,
        task: str,
        state: tuple[int, str],
        stream: Stream,
        words: dict[tuple[int, str], Tensor],
        sentences: np.ndarray,
    ) -> tuple[Tensor, Layout]:
        """(words, width) of these sentences as the task reads them of a stream, and their layout.

        `words` keeps those of each state, once for all tasks that read it.
        """
        chosen = stream.layout.select(np.searchsorted(stream.sentences, sentences))
        if state not in words:
            words[state] = stream.layout.gather(stream.values, self.config.pooling)
        own = words[state]
        if task in self.taps:
            own = self.taps[task](own)
        return chosen.take_words(own), chosen.layout

    def _scored(
        self,
        task: str,
        head: Head,
        read: Tensor,
        layout: Layout,
        batch: Batch,
        sentences: np.ndarray,
        outputs: Mapping[str, HeadOutput],
    ) -> HeadOutput:
        """What a head of the task, its own or an exit's, says of words it reads."""
        if head.unit == "word":
            return HeadOutput(head(Tap(read, layout)), layout, sentences)
        places = batch.groups.inside(sentences, head.unit)
        lower = {}
        for name in self.lower[task] if head.reads_layer is None else ():
            probable = self.head(name).probabilities(outputs[name])
            kept_apart = probable.detach() if self.sharing.detach_labels else probable
            lower[name] = kept_apart[outputs[name].rows_of(places)]
        members = batch.groups.at(places).within(sentences)
        return HeadOutput(
            head(Tap(read, layout, members, lower)), layout, sentences, places, members
        )

    def _with_items(
        self,
        task: str,
        output: HeadOutput,
        outputs: Mapping[str, HeadOutput],
        *,
        decoded: dict[str, list[Any]],
        gold: Batch | None,
    ) -> HeadOutput:
        """The task's output with what its head reads of other tasks.

        In sentences of which `gold` tells them these are its items, in others what is `decoded`;
        what is not decoded yet is.
        """
        if self.head(task).reads_layer is None:
            return output
        read = {}
        for name in self.lower[task]:
            parts = []
            told = np.zeros(len(output.sentences), dtype=bool)
            if gold is not None and name in gold.items:
                told = gold.itemised[name][output.sentences]
                parts.append(items_of(gold.items[name], output))
            if not told.all():
                if name not in decoded:
                    with torch.no_grad():
                        decoded[name] = self.head(name).decode(outputs[name])
                found = [decoded[name][at] for at in outputs[name].positions(output.sentences)]
                owners = np.repeat(np.arange(len(found)), [len(items) for items in found])
                items = np.column_stack([owners, np.concatenate(found)])[~told[owners]]
                parts.append(placed(items, output.layout.device))
            read[name] = torch.cat(parts)
        return replace(output, read=read)


def _among(sentences: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Those of these sentences that are in a mask, (sentences of the batch,) bool."""
    return sentences[mask[sentences]]


def items_of(items: np.ndarray, output: HeadOutput) -> Tensor:
    """Those of a batch's items that lie in an output's sentences, counted among these."""
    sentences = output.sentences
    own = items[np.isin(items[:, 0], sentences)]
    own = np.column_stack([np.searchsorted(sentences, own[:, 0]), own[:, 1:]])
    return placed(own, output.layout.device)


def _widened(output: HeadOutput) -> HeadOutput:
    """With scores in which small differences of large probabilities are not rounded away."""
    scores = {name: full_precision(values) for name, values in output.scores.items()}
    return replace(output, scores=scores)


def _forget(sharing: Sharing, *, kept: Collection[str]) -> None:
    """Takes from a scheme all parameters but these."""
    for name, _ in list(sharing.named_parameters()):
        if name not in kept:
            place, _, own = name.rpartition(".")
            module = sharing.get_submodule(place)
            if isinstance(module, torch.nn.ParameterDict):
                del module[own]
            else:
                delattr(module, own)


def _union(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    if len(first) == len(second) and (first is second or np.array_equal(first, second)):
        return first
    return np.union1d(first, second)


AutoModel.register(HierarchicalConfig, HierarchicalModel)
