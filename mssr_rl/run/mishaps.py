"""Explains failures of a training step that have a known cause: memory, environments, disks.

`trainer` calls `in_words` when a phase failed. An unknown failure is a bug, and keeps its own name
and traceback.
"""

from errno import EACCES, EDQUOT, EFBIG, EIO, ENOSPC, EPERM, EROFS
from traceback import extract_tb

import torch

from mssr_rl.config import Config
from mssr_rl.errors import RunFailed

NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "Cannot allocate")
DISK = {EACCES, EDQUOT, EFBIG, EIO, ENOSPC, EPERM, EROFS}
SMALLER = {
    "rollout": ("train.micro_batch", "rollout.max_response_tokens", "rollout.max_prompt_tokens"),
    "evaluate": ("train.micro_batch", "rollout.max_response_tokens", "rollout.max_prompt_tokens"),
    "logprob": ("train.micro_batch", "rollout.max_response_tokens"),
    "update": ("train.micro_batch", "rollout.max_response_tokens"),
}


class EnvironmentFailed(RunFailed):
    """Raised when the environment raises, or returns something that is not a verdict."""


def in_words(error: Exception, phase: str, config: Config) -> RunFailed | None:
    """Return the error that explains a failure in this phase; None if its cause is not known."""
    if _is_lack_of_memory(error):
        keys = SMALLER.get(phase, SMALLER["update"])
        advice = ", ".join(f"{key} (now {_value(config, key)})" for key in keys)
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        return RunFailed(
            f"out of memory in the phase {phase}: {first[:200]}; a smaller {advice} needs less"
        )
    if isinstance(error, OSError) and error.errno in DISK:
        return RunFailed(
            f"writing failed in the phase {phase}: {error}; checkpoints are intact: free space or "
            "put it right, then resume=true"
        )
    return None


def place(error: BaseException) -> str:
    """Return the file and line where an exception was raised."""
    frames = extract_tb(error.__traceback__)
    return f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else "an unknown place"


def _is_lack_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in NO_MEMORY)


def _value(config: Config, key: str) -> object:
    section, _, name = key.partition(".")
    return getattr(getattr(config, section), name)
