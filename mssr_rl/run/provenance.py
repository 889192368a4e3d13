"""Where a run's numbers come from: versions, revision, machine, and hashes of order and model.

For run.json: enough to tell whether two runs could have differed in anything but what their configs
say.
"""

import hashlib
import os
import platform
import resource
import subprocess
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from mssr_rl import untrusted
from mssr_rl.models import model_folder, native

LONGEST = 2**42  # bytes of one file of a model

PACKAGES = (
    "mssr_rl",
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "numpy",
    "scipy",
    "pillow",
    "gymnasium",
    "hydra-core",
    "omegaconf",
    "math-verify",
    "sympy",
)


SOURCE = {".py", ".yaml", ".c", ".cpp", ".h"}


def versions() -> dict[str, str | None]:
    """Python and the packages that can change a number; None where one is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found


def git_revision() -> dict[str, Any] | None:
    """Commit and whether files were changed since; None where the source is no git checkout."""
    revision = _git("rev-parse", "HEAD")
    if revision is None:
        return None
    return {
        "revision": revision,
        "changed": bool(_git("status", "--porcelain", "--untracked-files=no")),
    }


def program_hash() -> str:
    """Hash of this program's own source: two with one version and one revision may differ in it."""
    root = Path(__file__).parents[1]
    # Not rglob, which leaves out folders that are links: algos, envs and configs are.
    found = (Path(at) / name for at, _, names in os.walk(root, followlinks=True) for name in names)
    own = sorted(path for path in found if path.suffix in SOURCE)
    return _digest(
        part
        for path in own
        for part in (path.relative_to(root).as_posix().encode(), path.read_bytes())
    )


def _git(*arguments: str) -> str | None:
    source = Path(__file__).resolve().parent
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=source, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def machine() -> dict[str, Any]:
    """What the run ran on."""
    return {
        "platform": platform.platform(),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "kernels": native.kernels().why,
    }


def peak_memory_mib() -> int:
    """The most memory this process has held so far [MiB]."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024  # Linux counts in KiB


def order_fingerprint(keys: Iterable[str]) -> str:
    """Hash of the problems' keys in the order they are posed: equal for paired arms."""
    return _digest(repr(key).encode() for key in keys)


def model_hash(path: str) -> str | None:
    """Hash of the weights that training starts from; None where `path` is no folder of ours."""
    folder = Path(model_folder(path))
    return folder_hash(folder) if folder.is_dir() else None


def folder_hash(folder: Path) -> str:
    """Hash of a model folder's weights and settings, by name and content."""
    files = sorted(p for p in folder.iterdir() if p.suffix in {".safetensors", ".json", ".jinja"})
    digest = hashlib.blake2b(digest_size=16)
    for path in files:
        _add(digest, path.name.encode())
        with untrusted.opened(path, LONGEST) as file:
            digest.update(os.fstat(file.fileno()).st_size.to_bytes(8, "little"))
            while part := file.read(untrusted.CHUNK):
                digest.update(part)
    return digest.hexdigest()


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        _add(digest, part)
    return digest.hexdigest()


def _add(digest: "hashlib.blake2b", part: bytes) -> None:
    # Each part goes in with its length, so ("ab", "c") and ("a", "bc") differ.
    digest.update(len(part).to_bytes(8, "little"))
    digest.update(part)
