"""Ray for a run: joined or started, with what every process must find in its environment."""

import os
import sys
from pathlib import Path
from typing import Any

import ray
from ray._private import ray_constants
from ray.util.placement_group import PlacementGroup, placement_group

from mssr_rl.config.schema import Config
from mssr_rl.engine.openrlhf.placement import Placement, placement
from mssr_rl.errors import UserError

HERE = Path(__file__).parent
PACKAGE = HERE.parents[2]  # the folder that `mssr_rl` lies in
CACHE_GB = "1"  # of keys and values in each vLLM engine on CPU
OBJECT_STORE = 512 * 2**20  # shared memory of a Ray without GPUs [bytes]
OPEN = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"  # Ray's own word; on Linux it does the same
PATIENCE = 60.0  # for bundles that the cluster has, but not yet [s]


def environment(config: Config) -> dict[str, str]:
    """What the processes of a run find in their environment."""
    on_cpu = config.engine.device == "cpu"
    path = [str(HERE / "startup")] if on_cpu else []
    path += [str(PACKAGE), str(Path.cwd()), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    found = {
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(filter(None, path))),
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": str(config.engine.threads),
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_LOGGING_LEVEL": "WARNING",
    }
    if on_cpu:
        found |= {
            "DS_ACCELERATOR": "cpu",
            "VLLM_CPU_KVCACHE_SPACE": CACHE_GB,
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "TORCHDYNAMO_DISABLE": "1",  # small helpers of vLLM's: compiling wants g++, and seconds
        }
    return found


def connect(config: Config) -> None:
    """Join the cluster that the config names, or start one here; a running session is kept."""
    if ray.is_initialized():
        return
    if config.cluster.address is None:
        on_cpu = config.engine.device == "cpu"
        start_here(placement(config).bundles if on_cpu else None, common(config))
        return
    try:
        ray.init(address=config.cluster.address, **common(config))
    except (ConnectionError, ValueError) as error:
        raise UserError(
            f"cluster.address={config.cluster.address}: no Ray cluster answers there "
            f"({str(error).splitlines()[0]}); start one with `ray start --head`, or leave the "
            "address out to have one started here"
        ) from error


def common(config: Config) -> dict[str, Any]:
    """What `ray.init` is told in either case."""
    return {
        "runtime_env": {"env_vars": environment(config)},
        "log_to_driver": False,
        "configure_logging": False,
    }


def start_here(bundles: int | None, told: dict[str, Any]) -> None:
    """A Ray of this machine's own; where there is no GPU, with `bundles` logical ones."""
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    here: dict[str, Any] = (
        {}
        if bundles is None
        else {
            "num_cpus": bundles + 1,
            "num_gpus": bundles,
            "object_store_memory": OBJECT_STORE,
        }
    )
    if "RAY_ADDRESS" not in os.environ:  # a job that was submitted to a cluster finds it by that
        here["address"] = "local"
        _stay_on_loopback()
    ray.init(include_dashboard=False, **here, **told)


def _stay_on_loopback() -> None:
    """Ray asks for no password: whoever reaches its ports runs code. `OPEN`=1 is the way out.

    Ray reads the variable when it is imported; its other processes inherit it.
    """
    if os.environ.setdefault(OPEN, "0") == "0":
        ray_constants.ENABLE_RAY_CLUSTER = False


def reserve(placed: Placement) -> PlacementGroup:
    """The bundles that training takes, and rollouts too if they share them."""
    bundles = [{"GPU": 1, "CPU": 1} for _ in range(placed.training_ranks)]
    _refuse_what_is_not_there(placed)
    group = placement_group(bundles, strategy="PACK")
    if not group.wait(PATIENCE):
        ray.util.remove_placement_group(group)
        raise UserError(
            f"the cluster's GPUs are taken: {placed.bundles} are needed, "
            f"{ray.available_resources().get('GPU', 0):.0f} are free; wait, or ask for fewer"
        )
    return group


def _refuse_what_is_not_there(placed: Placement) -> None:
    there = ray.cluster_resources().get("GPU", 0)
    if placed.bundles > there:
        raise UserError(
            f"this run takes {placed.bundles} GPUs ({placed}), the Ray cluster has {there:.0f}; "
            "lower cluster.nodes, cluster.gpus_per_node or cluster.rollout_engines, or add "
            f"machines ({sys.executable} -m ray.scripts.scripts start --address=...)"
        )
