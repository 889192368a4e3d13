"""Check a model folder, which may come from an unknown author, before a library loads it.

With `trust_remote_code=True`, transformers runs Python code of the folder: classes that `auto_map`
names in a JSON file, and `custom_generate/generate.py`. This package never passes that argument.
OpenRLHF always does, so `without_code` is used around its calls.
"""

import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

from mssr_rl import nearby, untrusted
from mssr_rl.errors import UserError
from mssr_rl.models import bounds, model_folder

# Weights are read as safetensors, never unpickled, and Python files are never run.
DATA_ONLY = {"trust_remote_code": False}

FETCHED = ("*.json", "*.jinja", "*.txt", "*.model", "*.safetensors")  # data of the hub, no code
MOST = {".jinja": 2**20, ".json": 2**29, ".txt": 2**28, ".model": 2**28}  # bytes by suffix
LARGEST = 2**42
ADAPTER = "adapter_config.json"
OWN_GENERATE = Path("custom_generate/generate.py")

# No class is looked up in these files, and a vocabulary may contain the word "auto_map".
_WORDS = frozenset({"tokenizer.json", "vocab.json", "added_tokens.json"})


def local_folder(path: str) -> Path:
    """Return the folder that `model.path` names, after its files were checked.

    A model with a hub id is downloaded, and its folder is in the hub's cache.

    Raises:
        UserError: there is no such folder or reachable hub id, or a check failed.
    """
    return _vetted(_found(path))


def cached_folder(source: str) -> Path | None:
    """Return the folder of a model if it is already on this machine, else None."""
    folder = Path(model_folder(source))
    if folder.is_dir():
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    name, revision = _pinned(source)
    try:
        return Path(
            snapshot_download(
                name, revision=revision, allow_patterns=list(FETCHED), local_files_only=True
            )
        )
    except (OSError, ValueError, HFValidationError):
        return None


def _pinned(source: str) -> tuple[str, str | None]:
    """Return the hub id and the revision in `owner/name@revision`; the revision may be None."""
    name, _, revision = source.partition("@")
    return name, revision or None


def refuse_no_folder(path: str) -> None:
    """Raise UserError if `path` names a folder that does not exist, and cannot be a hub id.

    The hub is not asked about such a name: its client would try for minutes without a network.
    """
    if Path(model_folder(path)).is_dir() or not nearby.path_like(_pinned(path)[0]):
        return
    raise UserError(
        f"model.path={path}: there is no such folder here; {nearby.runs_listed(path)}. A model of "
        "the hub is written owner/name"
    )


def _found(path: str) -> Path:
    folder = Path(model_folder(path))
    if folder.is_dir():
        return folder
    refuse_no_folder(path)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    name, revision = _pinned(path)
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(FETCHED)))
    except (OSError, ValueError, HfHubHTTPError, HFValidationError) as error:
        raise UserError(
            f"model.path={path} could not be loaded: there is no folder of that name here, and the "
            f"hub's model of that name cannot be had ({_hub_reason(error)}); give a folder in the "
            "save_pretrained layout, a model id your machine can reach, or `tiny`"
        ) from error


@lru_cache(maxsize=32)
def _looked_at(folder: Path, _: tuple[tuple[str, int, int], ...]) -> None:
    if (folder / ADAPTER).exists():
        raise UserError(
            f"{folder} is refused: it holds an adapter ({ADAPTER}), whose base model lies "
            "elsewhere; merge the two and give the merged model"
        )
    bounds.check_bounds(folder)


def _vetted(folder: Path) -> Path:
    """Return the folder after its files were checked; they are checked again if they change.

    Raises UserError if a file is too large, is not a regular file, or has values out of bounds.
    """
    places = (folder, folder / "additional_chat_templates")
    marks = []
    for path in sorted(path for place in places if place.is_dir() for path in place.iterdir()):
        try:
            at = path.stat()
        except OSError:  # a broken link; the code that needs the file reports it
            continue
        if stat.S_ISDIR(at.st_mode):
            continue
        if not stat.S_ISREG(at.st_mode):
            raise UserError(
                f"{path} is refused: it is not a regular file, and reading it could block"
            )
        most = MOST.get(path.suffix, LARGEST)
        if at.st_size > most:
            raise UserError(f"{path} is refused: its {at.st_size:,} bytes are more than {most:,}")
        marks.append((path.name, at.st_size, at.st_mtime_ns))
    _looked_at(folder, tuple(marks))
    return folder


def refuse_code(folder: Path) -> None:
    """Raise UserError if a model folder has Python code that a library could run."""
    advice = (
        "which engine=openrlhf is not given; remove it if the model is one that transformers has "
        "itself, or take engine=local"
    )
    if (folder / OWN_GENERATE).exists():
        raise UserError(f"{folder} brings code of its own ({OWN_GENERATE}), {advice}")
    for path in sorted((*folder.glob("*.json"), *folder.glob("*/*.json"))):
        if path.name in _WORDS or path.name.endswith(".index.json"):
            continue
        if any(key == "auto_map" for key, _ in untrusted.pairs(untrusted.content(path), str(path))):
            raise UserError(f"{path} brings code of its own (auto_map), {advice}")


@contextmanager
def without_code() -> Iterator[None]:
    """Make transformers act as with `trust_remote_code=False` in a block, whatever it is passed.

    A class of transformers is then used instead of the folder's own class. If there is none, or if
    a module of the folder would be imported, loading raises an error.
    """
    from transformers import dynamic_module_utils

    resolve = dynamic_module_utils.resolve_trust_remote_code

    def never(_: Any, *rest: Any, **named: Any) -> Any:
        return resolve(False, *rest, **named)

    names = {"resolve_trust_remote_code": never, "get_class_in_module": _refuse_to_import}
    originals = {name: getattr(dynamic_module_utils, name) for name in names}
    for name, ours in names.items():
        _exchange(name, originals[name], ours)
    try:
        yield
    finally:
        for name, ours in names.items():
            # All modules are searched again: those imported meanwhile have ours.
            _exchange(name, ours, originals[name])


def _exchange(name: str, old: Any, new: Any) -> None:
    """Replace the object `old` by `new` in every loaded module that has it under this name.

    Most modules of transformers import these functions by name.
    """
    for module in list(sys.modules.values()):
        if getattr(module, "__dict__", {}).get(name) is old:
            setattr(module, name, new)


def _refuse_to_import(name: str, file: Any, **_: Any) -> NoReturn:
    raise UserError(f"a model folder's own code is never run, and {file} with its {name} is such")


def _hub_reason(error: Exception) -> str:
    """Return a phrase that says why a model could not be downloaded, and how to solve it."""
    from huggingface_hub.errors import (
        GatedRepoError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    # The order matters: a gated model is also one that is not found.
    if isinstance(error, GatedRepoError):
        return "it is gated: accept its terms on the hub, then set HF_TOKEN to your token"
    if isinstance(error, RepositoryNotFoundError):
        return "it has none, or a private one: set HF_TOKEN to a token that may read it"
    if isinstance(error, RevisionNotFoundError):
        return "it has the model, but not the revision of model.revision"
    return _first_line(error)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
