"""Runs that are killed at moments drawn by seed, and gone on with: `kills.py RECIPE DIR SEED ...`.

Each run is a fork of one process that has imported everything and computed nothing. Prints a line
for each seed: where it was killed, and whether the run that went on ended with the same files.
"""

import json
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from hiermtl.annotation import Annotator
from hiermtl.commands import train
from hiermtl.training import checkpoint, log
from hiermtl.training.step import Stepper

OPTIONS = {
    "training.checkpoint_every": 3,
    "training.tokens_per_batch": 40,
    "training.epochs": 3,
    "corpora.sample.dev": 10,
}
FILES = ("model.safetensors", "scores.json", "config.json", "README.md", "words.json")


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise SystemExit


def in_a_step(draw: random.Random) -> str:
    """Between the gradient and the end of the optimizer's step."""
    number, right, calls = draw.randint(1, 60), Stepper._descend, []

    def descend(self: Stepper, *given: Any, **options: Any) -> Any:
        calls.append(1)
        losses = right(self, *given, **options)
        if len(calls) == number:
            if draw.random() < 0.5:
                self.optimizer.step()
            die()
        return losses

    Stepper._descend = descend
    return f"step {number}"


def in_an_evaluation(draw: random.Random) -> str:
    """After some sentences of dev."""
    number, right, calls = draw.randint(1, 25), Annotator.predict_layers, []

    def predict(self: Annotator, *given: Any, **options: Any) -> Iterator[Any]:
        for layers in right(self, *given, **options):
            calls.append(1)
            if len(calls) == number:
                die()
            yield layers

    Annotator.predict_layers = predict
    return f"sentence {number} of evaluations"


def in_a_checkpoint(draw: random.Random) -> str:
    """After a part of a file, or between two files."""
    number, share, right, calls = draw.randint(1, 30), draw.random(), checkpoint.save_file, []

    def save(tensors: Any, file: Path) -> None:
        calls.append(1)
        right(tensors, file)
        if len(calls) == number:
            content = Path(file).read_bytes()
            Path(file).write_bytes(content[: int(share * len(content))])
            die()

    checkpoint.save_file = save
    return f"{share:.0%} of file {number} of checkpoints"


def in_a_rename(draw: random.Random) -> str:
    """When a checkpoint is complete, but not in its place."""
    number, right, calls = draw.randint(1, 15), checkpoint._replace, []

    def replace(partial: Path, folder: Path) -> None:
        calls.append(1)
        if len(calls) == number:
            die()
        right(partial, folder)

    checkpoint._replace = replace
    return f"renaming checkpoint {number}"


def in_the_log(draw: random.Random) -> str:
    """In the middle of a line."""
    number, right, calls = draw.randint(1, 20), log.Log.write, []

    def write(self: log.Log, **values: Any) -> None:
        calls.append(1)
        right(self, **values)
        if len(calls) == number:
            content = self._path.read_bytes()
            self._path.write_bytes(content[: len(content) - draw.randint(1, 20)])
            die()

    log.Log.write = write
    return f"line {number} of the log"


MOMENTS: tuple[Callable[[random.Random], str], ...] = (
    in_a_step,
    in_an_evaluation,
    in_a_checkpoint,
    in_a_rename,
    in_the_log,
)


def start(action: Callable[[], object]) -> int:
    """Begins an action in a process of its own; returns the process."""
    child = os.fork()
    if not child:
        code = 1
        try:
            action()
            code = 0
        except Exception:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return child


def end(child: int) -> int:
    """Waits for a process; returns its exit code."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def told(run: Path) -> list[dict[str, Any]]:
    """The log of a run without what depends on the clock."""
    entries = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    timed = {"words_per_second", "checkpoint_seconds"}
    bare = [{k: v for k, v in entry.items() if k not in timed} for entry in entries]
    return [entry for entry in bare if entry.keys() != {"step"}]


def survives(recipe: Path, place: Path, seed: int, *, seconds: float) -> bool:
    """Whether a run that is killed at the seed's moment and resumed ends as the whole one."""
    cut, moments = place / f"cut-{seed}", (*MOMENTS, None)
    draw, moment = random.Random(seed), moments[seed % len(moments)]

    def broken_off() -> None:
        where = moment(draw) if moment else "at any time"
        sys.stdout.write(f"seed {seed}: {where}")
        sys.stdout.flush()
        train(recipe, output=cut, quiet=True, overrides=OPTIONS)

    child = start(broken_off)
    if moment is None:
        time.sleep(seconds * draw.uniform(0.1, 0.9))
        os.kill(child, signal.SIGKILL)
    killed = end(child) == -signal.SIGKILL
    resume = partial(train, recipe, output=cut, resume=True, quiet=True, overrides=OPTIONS)
    code = end(start(resume))
    whole = place / "whole"
    same = all((whole / name).read_bytes() == (cut / name).read_bytes() for name in FILES)
    same = same and told(whole) == told(cut)
    left = [path.name for path in (cut / "checkpoints").iterdir() if path.name[0] == "."]
    good = killed and not code and same and not left
    found = f"killed {killed}, exit code {code}, same files {same}, left over {left}"
    sys.stdout.write(f": {'killed, and the same' if good else found}\n")
    sys.stdout.flush()
    return good


def main(recipe: Path, place: Path, seeds: list[int]) -> int:
    """The number of runs that did not end as the whole one."""
    began = time.monotonic()
    whole = partial(train, recipe, output=place / "whole", quiet=True, overrides=OPTIONS)
    assert end(start(whole)) == 0
    seconds = time.monotonic() - began
    return sum(not survives(recipe, place, seed, seconds=seconds) for seed in seeds)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), [int(seed) for seed in sys.argv[3:]]))
