"""The command line: `python -m benchmarks.speed`."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.arguments import count
from benchmarks.speed.measure import Options, measure
from benchmarks.speed.report import text
from hiermtl.errors import HiermtlError
from hiermtl.precision import has_bf16
from hiermtl.pretrained.encoders import MINILM


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints the tables and, if asked for, writes the JSON."""
    given = _parser().parse_args(arguments)
    if not given.data:
        raise SystemExit("name the folder of the corpora: --data DIR, or HIERMTL_DATA")
    dtypes = given.dtypes
    if dtypes is None:
        dtypes = ["fp32", "bf16"] if has_bf16(torch.device(given.device)) else ["fp32"]
    options = Options(
        data=given.data,
        encoder=given.encoder,
        model=given.model,
        rounds=given.rounds,
        sentences=given.sentences,
        train_sentences=given.train_sentences,
        brief=given.brief,
        device=given.device,
        dtypes=tuple(dict.fromkeys(dtypes)),
    )
    try:
        result = measure(options, _note)
    except HiermtlError as error:
        raise SystemExit(str(error)) from None
    sys.stdout.write(text(result))
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _note(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed",
        description="Times annotation and training against the bare encoder.",
    )
    add = parser.add_argument
    add("--data", default=os.environ.get("HIERMTL_DATA"), help="folder of the corpora")
    add("--encoder", default=MINILM, help="a folder, package:NAME/FOLDER or a hub id")
    add("--model", help="folder of a trained model to annotate with; default: one trained briefly")
    add("--rounds", type=count, default=5)
    add("--sentences", type=count, help="of dev, to annotate; default: all")
    add("--train-sentences", type=count, default=1000, help="of train, one epoch")
    add("--brief", type=count, default=1000, help="of train, to train on without --model")
    add("--device", default="cpu")
    add("--dtypes", nargs="+", choices=("fp32", "bf16"), help="default: what the device computes")
    add("--json", type=Path, help="where to write the result")
    return parser


if __name__ == "__main__":
    main()
