"""`python -m mssr_rl doctor`: shows what this machine can run, and what is missing.

It starts nothing. It works without the cluster's packages, and says that they are missing.
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psutil

from mssr_rl.config.words import parse_words
from mssr_rl.engine.openrlhf import package_versions
from mssr_rl.run.provenance import machine

NEEDED_GB = {"local": 2, "openrlhf": 8}  # memory for the shipped model


class Diagnosis(NamedTuple):
    """The result of one check."""

    subject: str
    fine: bool
    says: str

    def __str__(self) -> str:
        return f"{'ok' if self.fine else 'NO':<3} {self.subject:<22} {self.says}"


def findings() -> list[Diagnosis]:
    """Return the results of all checks."""
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    here = machine()
    device = "cuda" if gpus else "cpu"
    return [
        Diagnosis("machine", True, f"{here['cores']} cores, {here['memory_gib']} GB, {gpus} GPUs"),
        _memory("local"),
        Diagnosis("engine=local", True, f"device {device}"),
        _gpu(gpus),
        _lora(),
        _versions(device),
        _memory("openrlhf"),
        _shared_memory(),
        Diagnosis(
            "Ray cluster", True, os.environ.get("RAY_ADDRESS") or "none named: one is started"
        ),
    ]


@dataclass(frozen=True)
class DoctorWords:
    """The arguments of `doctor`: it has none."""


def diagnose(arguments: Sequence[str]) -> str:
    """Return the results, one line per check."""
    parse_words(DoctorWords, arguments)
    return "\n".join(map(str, findings()))


def _gpu(gpus: int) -> Diagnosis:
    """Say which GPU engine.device=cuda would use, or that there is none."""
    import torch

    if gpus:
        return Diagnosis("engine.device=cuda", True, torch.cuda.get_device_name(0))
    built = f"torch {torch.__version__}"
    why = "is built without CUDA" if torch.version.cuda is None else "finds no GPU"
    return Diagnosis("engine.device=cuda", False, f"{built} {why}; engine.device=cpu needs none")


def _lora() -> Diagnosis:
    """Say whether engine.lora_rank can be used."""
    version = package_versions.found("peft")
    missing = 'peft is missing; `pip install -e ".[lora]"` installs it'
    return Diagnosis(
        "engine.lora_rank", version is not None, f"peft {version}" if version else missing
    )


def _versions(device: str) -> Diagnosis:
    wrong = package_versions.misfits(device)
    says = ", ".join(map(str, wrong)) + f"; {package_versions.install(device)}" if wrong else device
    return Diagnosis("engine=openrlhf", not wrong, says)


def _memory(engine: str) -> Diagnosis:
    free, needed = psutil.virtual_memory().available / 2**30, NEEDED_GB[engine]
    says = f"{free:.1f} GB free, the shipped model takes about {needed}"
    return Diagnosis(f"memory for {engine}", free >= needed, says)


def _shared_memory() -> Diagnosis:
    """Check /dev/shm, which Ray and vLLM use; containers often have only 64 MB of it."""
    place = Path("/dev/shm")  # noqa: S108  only its size is read
    free = shutil.disk_usage(place).free / 2**30 if place.is_dir() else 0.0
    advice = "" if free >= 1 else "; give the container more, e.g. docker run --shm-size=8g"
    return Diagnosis("shared memory", free >= 1, f"{free:.1f} GB in {place}{advice}")
