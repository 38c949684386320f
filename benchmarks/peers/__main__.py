"""The command line: `python -m benchmarks.peers`."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.arguments import amount, count
from benchmarks.peers.catalogue import PEERS
from benchmarks.peers.corpus import TASKS
from benchmarks.peers.measure import EPOCH_TASKS, WORKS, Options, measure
from benchmarks.peers.report import text
from hiermtl.errors import HiermtlError

ENVIRONMENTS = "runs/peers"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints the tables and, if asked for, writes the JSON after each work."""
    given = _parser().parse_args(arguments)
    if not given.data:
        raise SystemExit("name the folder of the corpora: --data DIR, or HIERMTL_DATA")
    options = Options(
        data=given.data,
        environments=given.environments,
        encoder=given.encoder,
        works=tuple(dict.fromkeys(given.works)),
        peers=tuple(dict.fromkeys(given.peers)),
        rounds=given.rounds,
        sentences=given.sentences,
        train_sentences=given.train_sentences,
        accuracy_sentences=given.accuracy_sentences,
        brief=given.brief,
        seeds=given.seeds,
        epoch_tasks=tuple(task for task in TASKS if task in given.epoch_tasks),
        budget=given.budget,
        threads=given.threads,
        limit=given.limit,
        memory=int(given.memory * 1e9),
    )

    def keep(result: dict[str, Any]) -> None:
        if given.json:
            given.json.parent.mkdir(parents=True, exist_ok=True)
            given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")

    try:
        result = measure(options, _note, keep)
    except HiermtlError as error:
        raise SystemExit(str(error)) from None
    sys.stdout.write(text(result))


def _note(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _parser() -> argparse.ArgumentParser:
    from hiermtl.pretrained.encoders import MINILM

    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers",
        description="Times hiermtl, loops written by hand and peers in turn.",
    )
    add = parser.add_argument
    add("--data", default=os.environ.get("HIERMTL_DATA"), help="folder of the corpora")
    add("--environments", default=ENVIRONMENTS, help="where peers are installed, once")
    add("--encoder", default=MINILM, help="a folder, package:NAME/FOLDER or a hub id")
    add("--works", nargs="+", choices=WORKS, default=list(WORKS))
    add("--peers", nargs="*", choices=tuple(PEERS), default=list(PEERS))
    add("--rounds", type=count, default=3, help="of annotating and of epochs")
    add("--sentences", type=count, help="of dev, to annotate; default: all")
    add("--train-sentences", type=count, help="of train, for an epoch; default: all")
    add("--accuracy-sentences", type=count, default=2000, help="for scores in the same time")
    add("--brief", type=count, default=1000, help="of train, before annotating")
    add("--seeds", type=count, default=3, help="of scores in the same time")
    add("--epoch-tasks", nargs="+", choices=TASKS, default=list(EPOCH_TASKS))
    add("--budget", type=amount, help="seconds for scores, where HanLP gives none")
    add("--threads", type=count, default=torch.get_num_threads())
    add("--limit", type=amount, default=7200, help="seconds that a peer may take to answer")
    add("--memory", type=amount, default=16, help="GB of addresses that a peer may have")
    add("--json", type=Path, help="where to write the result")
    return parser


if __name__ == "__main__":
    main()
