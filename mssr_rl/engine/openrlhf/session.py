"""Join or start Ray for a run, and set the environment of all its processes."""

import os
import socket
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
CACHE_GB = "1"  # for keys and values in each vLLM engine on CPU
OBJECT_STORE = 512 * 2**20  # shared memory of a Ray without GPUs [bytes]
OPEN = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"  # Ray's own variable; it works on Linux too
ANSWER = 10.0  # for a cluster to answer at its address [s]
HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))  # RFC 9113, 3.4
SETTINGS = b"\x04"  # the type of the frame that a server must send first
PATIENCE = 60.0  # wait for bundles that are still in use [s]


def environment(config: Config) -> dict[str, str]:
    """Return the environment variables for all processes of a run."""
    on_cpu = config.engine.device == "cpu"
    path = [str(HERE / "startup")] if on_cpu else []
    path += [str(PACKAGE), str(Path.cwd()), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    variables = {
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(filter(None, path))),
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": str(config.engine.threads),
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_LOGGING_LEVEL": "WARNING",
    }
    if on_cpu:
        variables |= {
            "DS_ACCELERATOR": "cpu",
            "VLLM_CPU_KVCACHE_SPACE": CACHE_GB,
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "TORCHDYNAMO_DISABLE": "1",  # compiling vLLM's small helpers needs g++ and seconds
        }
    return variables


def connect(config: Config) -> None:
    """Connect to the Ray cluster that the config names, or start Ray on this machine.

    If this process is already connected, nothing is done. Raises UserError if no cluster answers.
    """
    if ray.is_initialized():
        return
    if config.cluster.address is None:
        on_cpu = config.engine.device == "cpu"
        start_here(placement(config).bundles if on_cpu else None, common(config))
        return
    _refuse_silence(config.cluster.address)
    try:
        ray.init(address=config.cluster.address, **common(config))
    except (ConnectionError, ValueError) as error:
        raise _no_cluster(config.cluster.address, error) from error


def _refuse_silence(address: str) -> None:
    """Raise `UserError` if no gRPC server answers at HOST:PORT; Ray would try for minutes.

    Addresses in another form, such as `auto`, and clusters with TLS are not checked.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal() or os.environ.get("RAY_USE_TLS", "0") != "0":
        return
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER) as connection:
            connection.sendall(HTTP2)
            if connection.recv(4)[3:] != SETTINGS:
                raise ConnectionError("what listens there is not a gRPC server")
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, error) from error


def _no_cluster(address: str, error: Exception) -> UserError:
    return UserError(
        f"cluster.address={address}: no Ray cluster answers there ({_first_line(error)}); start "
        "one with `ray start --head`, or leave the address out to have one started here"
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def common(config: Config) -> dict[str, Any]:
    """Return the arguments of `ray.init` that are the same for a new and a running cluster."""
    return {
        "runtime_env": {"env_vars": environment(config)},
        "log_to_driver": False,
        "configure_logging": False,
    }


def start_here(bundles: int | None, common_arguments: dict[str, Any]) -> None:
    """Start Ray on this machine, or connect to the cluster in the variable RAY_ADDRESS.

    On a machine without GPUs, Ray gets `bundles` logical GPUs; None: it uses the real ones.
    """
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
    if "RAY_ADDRESS" not in os.environ:  # a job submitted to a cluster finds it by that variable
        here["address"] = "local"
        _stay_on_loopback()
    ray.init(include_dashboard=False, **here, **common_arguments)


def _stay_on_loopback() -> None:
    """Make Ray listen on this machine only, unless the environment variable in `OPEN` is 1.

    Ray has no password: anyone who can connect to its ports can run code. Ray reads the variable
    when it is imported, and its other processes inherit it.
    """
    if os.environ.setdefault(OPEN, "0") == "0":
        ray_constants.ENABLE_RAY_CLUSTER = False


def reserve(placed: Placement) -> PlacementGroup:
    """Reserve the training bundles, and return their placement group.

    Rollout engines use the same bundles if they share GPUs with training. Raises UserError if there
    are not enough free GPUs.
    """
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
