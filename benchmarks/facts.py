"""What a measurement depends on: processor, threads, versions, commit."""

import os
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

_LIBRARIES = ("torch", "transformers", "tokenizers", "accelerate", "numpy")


def machine(device: torch.device) -> dict[str, Any]:
    """The machine and the libraries, as plain data."""
    known = torch.cpu.get_capabilities()
    facts: dict[str, Any] = {
        "processor": _processor(known),
        "cores": _cores(),
        "threads": torch.get_num_threads(),
        "bf16": any(known.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16")),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _LIBRARIES},
    }
    if device.type == "cuda":
        facts["device"] = torch.cuda.get_device_name(device)
    return facts


def load() -> float | None:
    """Processes that ran or waited in the last minute, on average; `None` where that is unknown."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def commit() -> dict[str, Any] | None:
    """The commit of the package, and whether files of it were changed; `None` outside git."""
    root = Path(__file__).parents[1]
    try:
        name, changed = (
            subprocess.run(
                ["git", "-C", str(root), *command], capture_output=True, text=True, check=True
            ).stdout.strip()
            for command in (["rev-parse", "HEAD"], ["status", "--porcelain", "--", "hiermtl"])
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return {"name": name, "changed": bool(changed)}


def circumstances(result: Mapping[str, Any]) -> str:
    """Of a result, what its figures depend on: processor, threads, libraries, commit, load."""
    machine = result["machine"]
    place = machine.get("device", machine["processor"])
    libraries = [("torch", "torch"), ("spaCy", "spacy")]
    versions = ", ".join(
        f"{said} {machine['versions'][name]}"
        for said, name in libraries
        if name in machine["versions"]
    )
    made = result["commit"]
    commit = "outside git" if made is None else f"commit {made['name'][:10]}"
    if made is not None and made["changed"]:
        commit += " with changes"
    loads = " to ".join("unknown" if load is None else f"{load:.1f}" for load in result["load"])
    return (
        f"{place}, {machine['threads']} threads on {machine['cores']} cores, {versions}, "
        f"{commit}, load {loads}"
    )


def _processor(known: dict[str, Any]) -> str:
    """Its name; of processors that do not say it, at least the architecture."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return str(known.get("cpu_name") or platform.processor() or platform.machine())


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
