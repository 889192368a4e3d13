"""Refuses a config that this machine cannot run: its model's folder or its device is missing.

Only commands that start or plan a run check this. A run that was made elsewhere can still be read.
"""

from mssr_rl.config import Config
from mssr_rl.errors import UserError
from mssr_rl.models import vetting
from mssr_rl.run import loggers


def refuse_what_is_missing(config: Config, *, planned: bool = False) -> None:
    """Raise `UserError` if the model's folder does not exist, or there is no such device.

    With `planned` and engine.memory_gb, the plan is for another machine, and no device is needed.
    """
    loggers.refuse_missing_packages(config.log)
    vetting.refuse_no_folder(config.model.path)
    # The processes of a Ray cluster have devices of their own.
    elsewhere = planned and config.engine.memory_gb is not None
    if config.engine.name == "local" and not elsewhere:
        _refuse_no_device(config.engine.device)


def _refuse_no_device(name: str) -> None:
    import torch

    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdecimal()):
        raise UserError(f"engine.device={name} is no device: write cpu, cuda or cuda:1")
    if kind == "cpu":
        return
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(index or 0) >= count:
        found = f"finds {count} GPUs" if count else "finds no GPU that CUDA can use"
        raise UserError(
            f"engine.device={name}, but torch {found} on this machine; `mssr_rl doctor` says what "
            "it can run, and engine.device=cpu needs no GPU"
        )
