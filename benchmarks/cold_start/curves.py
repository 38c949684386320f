"""The runs behind the curves.

The new task is chunking: its sentences are drawn by seed from the training file, and every arm gets
the same ones, the same steps, rates and dropout. No checkpoint is chosen: a run ends after its last
step and is scored once, on test, in fp32.
"""

import random
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import hiermtl
from hiermtl.pretrained import find_model, load_model
from hiermtl.recipe import load_recipe

TASK = "chunk"
FILE = "chunks_english_ewt/en_ewt-chunk-{}.tsv"
SETTINGS: dict[str, Any] = {"warmup": 0.1, "lr": 1e-3, "lr_heads": 2e-3, "precision": "fp32"}
ARMS = ("extended, encoder frozen", "extended, encoder trained", "from scratch")


def curves(
    model: str, data: Path, *, sizes: Sequence[int], seeds: int, steps: int, depth: int
) -> Iterator[dict[str, Any]]:
    """One row per arm, size and seed: the F1 on test.

    Raises SystemExit when the model knows the task already.
    """
    base, _ = load_model(find_model(model))
    if TASK in base.hierarchy:
        raise SystemExit(f"{model} has the task {TASK!r} already; name a model without it")
    own = load_recipe(base.config.recipe)
    train = (data / FILE.format("train")).read_text(encoding="utf-8").split("\n\n")
    sentences = [block for block in train if "\t" in block]
    dev = (data / FILE.format("dev")).read_text(encoding="utf-8").split("\n\n")
    with tempfile.TemporaryDirectory() as folder:
        few = Path(folder) / "dev.tsv"
        few.write_text("\n\n".join(dev[:50]) + "\n\n", encoding="utf-8")
        for size in sizes:
            for seed in range(seeds):
                drawn = random.Random(seed).sample(sentences, size)
                file = Path(folder) / f"{size}-{seed}.tsv"
                file.write_text("\n\n".join(drawn) + "\n\n", encoding="utf-8")
                recipe = _recipe(file, few, data, steps=steps, seed=seed, depth=depth)
                recipe["training"]["dropout"] = own.training.dropout
                for arm in ARMS:
                    target = Path(folder) / f"{size}-{seed}-{ARMS.index(arm)}"
                    run = _run(arm, model, own, recipe, target)
                    scores = hiermtl.evaluate(
                        run.folder, split="test", tasks=[TASK], precision="fp32", data_dir=data
                    )
                    shutil.rmtree(target)
                    score = scores.main(TASK).score
                    yield {"arm": arm, "sentences": size, "seed": seed, "f1": score}


def _recipe(
    train: Path, dev: Path, data: Path, *, steps: int, seed: int, depth: int
) -> dict[str, Any]:
    columns = {"format": "columns", "words": 1, "columns": {TASK: 3}}
    test = str(data / FILE.format("test"))
    return {
        "description": "chunks from few sentences",
        "tasks": {TASK: {"depth": depth}},
        "corpora": {"chunks": {**columns, "train": str(train), "dev": str(dev), "test": test}},
        "training": {
            "epochs": steps,
            "max_steps": steps,
            "evaluate_every": steps,
            "seed": seed,
            **SETTINGS,
        },
    }


def _run(arm: str, model: str, own: Any, recipe: Mapping[str, Any], folder: Path) -> Any:
    """Trains one arm."""
    if arm == "from scratch":
        encoder = own.encoder.model_dump(mode="json", exclude_unset=True)
        return hiermtl.train({**recipe, "encoder": encoder}, output=folder, quiet=True)
    if arm == "extended, encoder trained":
        recipe = {**recipe, "encoder": {"freeze_below": 0}}
    return hiermtl.extend(model, recipe, output=folder, quiet=True)
