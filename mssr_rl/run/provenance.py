"""The provenance of a run: versions, revision, machine, and hashes of problem order and model.

run.json keeps it. It shows whether two runs could differ in anything besides their configs.
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
from mssr_rl.models import native
from mssr_rl.models.vetting import cached_folder

LONGEST = 2**42  # limit for one file of a model [bytes]

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
    """Return the versions of Python and of packages that can change results; None if missing."""
    installed: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            installed[package] = None
    return installed


def git_revision() -> dict[str, Any] | None:
    """Return the git commit, and whether files differ from it; None without a git checkout."""
    revision = _git("rev-parse", "HEAD")
    if revision is None:
        return None
    return {
        "revision": revision,
        "changed": bool(_git("status", "--porcelain", "--untracked-files=no")),
    }


def program_hash() -> str:
    """Return the hash of this program's source, which can differ within one git revision."""
    root = Path(__file__).parents[1]
    # rglob does not follow links to folders, and algos, envs and configs are such links.
    paths = (Path(at) / name for at, _, names in os.walk(root, followlinks=True) for name in names)
    own = sorted(path for path in paths if path.suffix in SOURCE)
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
    """Return a description of this machine."""
    return {
        "platform": platform.platform(),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "kernels": native.kernels().why,
    }


def peak_memory_mib() -> int:
    """Return the peak memory of this process so far [MiB]."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024  # Linux counts in KiB


def order_fingerprint(keys: Iterable[str]) -> str:
    """Return the hash of the problem keys in training order; paired arms have the same one."""
    return _digest(repr(key).encode() for key in keys)


def model_hash(path: str) -> str | None:
    """Return the hash of the initial weights; None if they are not on this machine."""
    folder = cached_folder(path)
    return None if folder is None else folder_hash(folder)


def folder_hash(folder: Path) -> str:
    """Return the hash of a model folder's weights and settings, by file name and content."""
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
    # The length of each part is hashed too, so that ("ab", "c") and ("a", "bc") differ.
    digest.update(len(part).to_bytes(8, "little"))
    digest.update(part)
