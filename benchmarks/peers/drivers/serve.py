"""What drivers share: a loop over requests, one JSON object per line; the standard library alone.

A driver runs in the environment of its peer, without hiermtl. What the peer prints goes to standard
error, so that nothing but answers is on standard output. An answer is an object with what was asked
for, or with `error`.
"""

import json
import os
import sys
import time
import traceback
from contextlib import contextmanager


class Stopwatch:
    """Seconds of the work alone: only what runs `with` it counts."""

    def __init__(self):
        self.seconds = 0.0

    @contextmanager
    def running(self):
        """Counts the time inside."""
        began = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - began


def sentences(file, count=None):
    """The sentences of a file, at most so many."""
    with open(file, encoding="utf-8") as lines:
        found = [json.loads(line) for line in lines]
    return found[:count]


def conllu(sentence, tasks):
    """A sentence as ten columns; what is not among the tasks is empty."""
    heads, relations = sentence["dep"]
    rows = []
    for i, word in enumerate(sentence["words"]):
        columns = [str(i + 1), word, *"_" * 8]
        if "upos" in tasks:
            columns[3] = sentence["upos"][i]
        if "xpos" in tasks:
            columns[4] = sentence["xpos"][i]
        if "dep" in tasks:
            columns[6:8] = str(heads[i]), relations[i]
        rows.append("\t".join(columns))
    return "\n".join(rows) + "\n\n"


def peak_memory():
    """Bytes that the process held at most."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def serve(make):
    """Answers requests until there are no more.

    `make` takes the first request, `start`, and gives an object with the methods `train`, `load`
    and `annotate`, and with `versions`, names of the packages whose versions are told.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    driver = None
    for line in sys.stdin:
        request = json.loads(line)
        name = request.pop("do")
        try:
            if name == "start":
                import torch

                torch.set_num_threads(request["threads"])
                driver = make(**request)
                from importlib.metadata import version

                packages = ("torch", "transformers", *driver.versions)
                answer = {"versions": {package: version(package) for package in packages}}
            else:
                answer = getattr(driver, name)(**request) or {}
            answer["memory"] = peak_memory()
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
