"""Where something is computed: versions of the libraries, and the machine."""

import os
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from hiermtl._version import __version__

LIBRARIES = ("torch", "transformers", "tokenizers", "accelerate", "datasets", "spacy", "numpy")


def environment() -> dict[str, Any]:
    """The package, Python, libraries, system, processor, graphics processor, cores and threads."""
    import torch

    found: dict[str, Any] = {
        "hiermtl": __version__,
        "python": platform.python_version(),
        "libraries": dict(_versions(LIBRARIES)),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": _processor(),
    }
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(at) for at in range(torch.cuda.device_count())]
        found["graphics processors"] = ", ".join(names)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {**found, "cores": cores, "threads": torch.get_num_threads()}


def _versions(names: Iterable[str]) -> Iterable[tuple[str, str]]:
    for name in names:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue


def _processor() -> str:
    """Its name; of processors that do not say it, at least the architecture."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
