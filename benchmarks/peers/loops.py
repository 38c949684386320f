"""The loops a user would write with the transformers library: one model per task.

Tags by the library's own model for them, trees by a biaffine layer over its encoder (Dozat and
Manning 2017), as scripts have it: the best head of each word, and no tree is searched for.
"""

import random
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoModel, AutoModelForTokenClassification, AutoTokenizer

from benchmarks.peers.corpus import TASKS, Layers
from benchmarks.peers.subjects import LOOP, About, Subject
from hiermtl.pretrained.quiet import quiet

BATCH = 32
IGNORED = -100
RATE, HEAD_RATE = 4e-4, 2e-3
ARC, LABEL = 400, 100


class Parser(nn.Module):
    """An encoder, and biaffine scores of heads and of relations."""

    def __init__(self, encoder: str, relations: int) -> None:
        """Takes the folder of the encoder."""
        super().__init__()
        self.encoder = AutoModel.from_pretrained(encoder, add_pooling_layer=False)
        width = self.encoder.config.hidden_size
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(width, size), nn.GELU(), nn.Dropout(0.33))
            for size in (ARC, ARC, LABEL, LABEL)
        )
        self.arc = nn.Parameter(torch.zeros(ARC + 1, ARC))
        self.label = nn.Parameter(torch.zeros(relations, LABEL + 1, LABEL + 1))

    def forward(self, ids: Tensor, mask: Tensor, first: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Scores of heads (rows, words, 1 + words), and what relations are scored from."""
        states = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        places = torch.cat([torch.zeros_like(first[:, :1]), first.clamp(min=0)], dim=1)
        states = states.gather(1, places[..., None].expand(-1, -1, states.shape[-1]))
        dependents, heads, labels, label_heads = (layer(states) for layer in self.layers)
        arcs = _one(dependents[:, 1:]) @ self.arc @ heads.transpose(1, 2)
        known = torch.cat([torch.ones_like(first[:, :1]), first], dim=1) >= 0
        arcs = arcs.float().masked_fill(~known[:, None], -1e4)
        return arcs, _one(labels[:, 1:]), _one(label_heads)

    def relations(self, labels: Tensor, label_heads: Tensor, heads: Tensor) -> Tensor:
        """Scores of relations (rows, words, relations) of arcs to these heads."""
        chosen = label_heads.gather(1, heads[..., None].expand(-1, -1, label_heads.shape[-1]))
        return torch.einsum("bwi,rij,bwj->bwr", labels, self.label, chosen).float()


def _one(values: Tensor) -> Tensor:
    return torch.cat([values, torch.ones_like(values[..., :1])], dim=-1)


class Loop(Subject):
    """Batches of 32: in file order in fp32, or sorted by length in the best format."""

    def __init__(
        self,
        *,
        ordered: bool,
        precision: str,
        encoder: Path,
        train: Sequence[dict[str, Any]],
        dev: Sequence[dict[str, Any]],
    ) -> None:
        """Takes sentences as drivers read them; `ordered` says whether they stay in file order."""
        order = "file order" if ordered else "sorted by length"
        training = "bf16 autocast" if precision == "bf16" else precision
        super().__init__(
            About(
                name=f"loop by hand, {order}, {precision}",
                kind=LOOP,
                tasks=TASKS,
                precision=precision + (f"; training {training}" if precision == "bf16" else ""),
                batching=f"{BATCH} sentences, {order}",
                encoder="once per task",
                decoder="argmax, best head of each word",
            )
        )
        self.versions = {"transformers": version("transformers")}
        self.ordered, self.precision, self.encoder = ordered, precision, str(encoder)
        self.gold, self.words = train, [sentence["words"] for sentence in dev]
        self.tokenizer: Any = None
        self.models: dict[str, Any] = {}
        self.labels: dict[str, list[str]] = {}

    def start(self) -> None:
        """Loads the tokenizer."""
        self.tokenizer = AutoTokenizer.from_pretrained(self.encoder)

    def briefly(self, tasks: Sequence[str], count: int) -> None:
        """One epoch; it is not kept."""
        self.train(tasks, count=count, epochs=1, seed=0)

    def train(self, tasks: Sequence[str], *, count: int, epochs: int, seed: int) -> float:
        """One task after the other; models are made before the clock runs."""
        torch.manual_seed(seed)
        sentences = self.gold[:count]
        self.models, seconds = {}, 0.0
        for task in tasks:
            names = {name for s in sentences for name in (s[task][1] if task == "dep" else s[task])}
            self.labels[task] = sorted(names)
            model = self.models[task] = self._model(task)
            began = time.perf_counter()
            self._train(task, model, sentences, epochs, random.Random(seed))
            seconds += time.perf_counter() - began
            model.eval().to(torch.bfloat16 if self.precision == "bf16" else torch.float32)
        return seconds

    def annotate(self, tasks: Sequence[str], *, predictions: bool) -> tuple[float, Layers | None]:
        """One task after the other, each from words to lists of labels."""
        began = time.perf_counter()
        with torch.inference_mode():
            found = {task: self._annotate(task) for task in tasks}
        return time.perf_counter() - began, found if predictions else None

    def close(self) -> None:
        """There is nothing that has to be."""

    def _model(self, task: str) -> Any:
        number = len(self.labels[task])
        with quiet():
            if task == "dep":
                return Parser(self.encoder, number)
            return AutoModelForTokenClassification.from_pretrained(self.encoder, num_labels=number)

    def _batches(
        self, words: Sequence[Sequence[str]], draw: random.Random | None
    ) -> Iterator[tuple[list[int], Tensor, Tensor, Tensor]]:
        """Numbers of sentences, pieces, mask, and the first piece of each word (-100: none)."""
        encoded = self.tokenizer(words, is_split_into_words=True, truncation=True, max_length=512)
        ids = encoded["input_ids"]
        order = list(range(len(words)))
        if draw is not None:
            draw.shuffle(order)
        if not self.ordered:
            order.sort(key=lambda i: len(ids[i]))
        batches = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
        if draw is not None:
            draw.shuffle(batches)
        for batch in batches:
            pieces = max(len(ids[i]) for i in batch)
            length = max(len(words[i]) for i in batch)
            rows = torch.zeros(len(batch), pieces, dtype=torch.long)
            mask = torch.zeros_like(rows)
            first = torch.full((len(batch), length), IGNORED)
            for row, i in enumerate(batch):
                rows[row, : len(ids[i])] = torch.tensor(ids[i])
                mask[row, : len(ids[i])] = 1
                last = None
                for place, word in enumerate(encoded.word_ids(i)):
                    if word is not None and word != last:
                        first[row, word] = place
                    last = word
            yield batch, rows, mask, first

    def _train(
        self,
        task: str,
        model: Any,
        sentences: Sequence[dict[str, Any]],
        epochs: int,
        draw: random.Random,
    ) -> None:
        numbers = {label: i for i, label in enumerate(self.labels[task])}
        body = model.encoder if task == "dep" else model.base_model
        encoder = {id(p) for p in body.parameters()}
        groups = [
            {"params": [p for p in model.parameters() if id(p) in encoder], "lr": RATE},
            {"params": [p for p in model.parameters() if id(p) not in encoder], "lr": HEAD_RATE},
        ]
        optimizer = torch.optim.AdamW(groups, fused=not self.ordered)
        steps = epochs * -(-len(sentences) // BATCH)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min((step + 1) / (0.1 * steps + 1), 1 - step / steps)
        )
        model.train()
        words = [sentence["words"] for sentence in sentences]
        for _ in range(epochs):
            for batch, ids, mask, first in self._batches(words, draw):
                optimizer.zero_grad(set_to_none=True)
                gold = self._gold(task, [sentences[i] for i in batch], first, numbers)
                with torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bf16"):
                    loss = self._loss(task, model, (ids, mask, first), gold)
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 5.0)
                optimizer.step()
                schedule.step()

    def _gold(
        self, task: str, batch: Sequence[dict[str, Any]], first: Tensor, numbers: dict[str, int]
    ) -> list[Tensor]:
        """Labels, and of trees heads before them, (rows, words) each; -100 where there is none."""
        layers = [s[task] if task == "dep" else [s[task]] for s in batch]
        tables = []
        for layer in zip(*layers, strict=True):
            table = torch.full_like(first, IGNORED)
            for row, values in enumerate(layer):
                known = [v if isinstance(v, int) else numbers[v] for v in values]
                table[row, : len(known)] = torch.tensor(known)
            tables.append(table.masked_fill(first == IGNORED, IGNORED))
        return tables

    def _loss(
        self, task: str, model: Any, given: tuple[Tensor, Tensor, Tensor], gold: list[Tensor]
    ) -> Tensor:
        if task != "dep":
            scores = self._tag_scores(model, *given)
            return _cross_entropy(scores, gold[0])
        arcs, labels, label_heads = model(*given)
        heads, relations = gold
        scores = model.relations(labels, label_heads, heads.clamp(min=0))
        return _cross_entropy(arcs, heads) + _cross_entropy(scores, relations)

    def _tag_scores(self, model: Any, ids: Tensor, mask: Tensor, first: Tensor) -> Tensor:
        scores = model(input_ids=ids, attention_mask=mask).logits
        places = first.clamp(min=0)[..., None].expand(-1, -1, scores.shape[-1])
        return scores.gather(1, places).float()

    def _annotate(self, task: str) -> list[Any]:
        model, names = self.models[task], self.labels[task]
        found: list[Any] = [None] * len(self.words)
        for batch, ids, mask, first in self._batches(self.words, None):
            if task == "dep":
                arcs, labels, label_heads = model(ids, mask, first)
                heads = arcs.argmax(-1)
                best = model.relations(labels, label_heads, heads).argmax(-1).tolist()
                heads = heads.tolist()
            else:
                heads = None
                best = self._tag_scores(model, ids, mask, first).argmax(-1).tolist()
            for row, i in enumerate(batch):
                length = len(self.words[i])
                tags = [names[label] for label in best[row][:length]]
                found[i] = tags if heads is None else [heads[row][:length], tags]
        return found


def _cross_entropy(scores: Tensor, gold: Tensor) -> Tensor:
    return F.cross_entropy(scores.flatten(0, 1), gold.flatten(), ignore_index=IGNORED)
