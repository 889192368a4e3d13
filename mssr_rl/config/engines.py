"""What an engine's settings must satisfy among themselves; `crosscheck` asks last.

Nothing that has no effect may be set, and nothing that cannot run may be tried: on a cluster a
refusal costs seconds, a failed start minutes.
"""

from dataclasses import fields
from typing import Any

from mssr_rl.config.schema import ClusterConfig, Config, FaultConfig, RolloutConfig
from mssr_rl.errors import UserError
from mssr_rl.typed import show


def check(config: Config) -> None:
    """Raise a `UserError` if something has no effect here, or does not fit."""
    if config.engine.name == "openrlhf":
        _check_cluster(config)
        return
    changed = _changed("cluster", config.cluster, ClusterConfig())
    if config.fault.retries != FaultConfig.retries:
        changed.append(f"fault.retries={config.fault.retries}")
    if config.rollout.sampler != RolloutConfig.sampler:
        changed.append(f"rollout.sampler={config.rollout.sampler}")
    if changed:
        raise UserError(
            f"{changed[0]} has no effect with engine={config.engine.name}; add engine=openrlhf, or "
            "leave it out"
        )


def refuse_lost_updates(config: Config) -> None:
    """Raise a `UserError` where training would round its own updates away.

    The local engine's optimiser changes the weights themselves. A bfloat16 has 8 significant bits,
    so a change below a 512th of a weight leaves it as it was: after 4 updates of the tiny model at
    lr 1e-6 99.6 % of the weights had not moved, at 1e-4 73 % (tests/engine/test_local.py).
    To answer and score in half precision is sound, so `eval` does not ask this.
    """
    if config.engine.name == "local" and config.engine.dtype != "float32":
        raise UserError(
            f"engine.dtype={config.engine.dtype} cannot train on engine=local: its optimiser "
            f"changes {config.engine.dtype} weights in place, and most changes at train.lr="
            f"{show(config.train.lr)} are too small for that precision and would be lost; take "
            "engine.dtype=float32, or engine=openrlhf, whose optimiser keeps a float32 copy"
        )


def _changed(name: str, section: Any, default: Any) -> list[str]:
    """The entries of a section that were set, as words."""
    now = [(field.name, getattr(section, field.name)) for field in fields(section)]
    return [f"{name}.{key}={show(value)}" for key, value in now if value != getattr(default, key)]


def _check_cluster(config: Config) -> None:
    cluster, ranks = config.cluster, config.cluster.nodes * config.cluster.gpus_per_node
    sampling = cluster.rollout_engines * cluster.tensor_parallel
    if config.rollout.sampler == "transformers":
        _check_own_sampler(cluster)
    elif cluster.colocate and sampling != ranks:
        raise UserError(
            f"cluster.colocate=true puts rollouts on the {ranks} GPUs that train, but "
            f"cluster.rollout_engines={cluster.rollout_engines} × cluster.tensor_parallel="
            f"{cluster.tensor_parallel} take {sampling}; make them equal, or colocate=false"
        )
    if config.train.samples_per_update % ranks:
        raise UserError(
            f"train.samples_per_update={config.train.samples_per_update} cannot be split over "
            f"{ranks} training ranks (cluster.nodes × cluster.gpus_per_node); make it a multiple"
        )
    if config.engine.device == "cpu":
        _check_without_gpu(cluster)
    if cluster.lora_rank and cluster.zero_stage == 3:
        raise UserError(
            "cluster.lora_rank adds matrices to whole weights, which zero_stage=3 has split; "
            "take cluster.zero_stage=2"
        )
    if cluster.sleep and not cluster.colocate:
        raise UserError("cluster.sleep=true makes room on shared GPUs: it needs cluster.colocate")


def _check_own_sampler(cluster: ClusterConfig) -> None:
    """Training ranks that sample take nothing that is vLLM's, and hold whole weights."""
    of_vllm = ("rollout_engines", "tensor_parallel", "sleep", "prefix_caching", "gpu_memory_share")
    changed = _changed("cluster", cluster, ClusterConfig())
    idle = [word for word in changed if word.split(".")[1].split("=")[0] in of_vllm]
    if idle:
        raise UserError(
            f"{idle[0]} has no effect with rollout.sampler=transformers, which starts no vLLM; "
            "leave it out"
        )
    if cluster.zero_stage == 3:
        raise UserError(
            "rollout.sampler=transformers samples with whole weights, which cluster.zero_stage=3 "
            "has split over the ranks; take cluster.zero_stage=2"
        )


def _check_without_gpu(cluster: ClusterConfig) -> None:
    needs = {
        "sleep": cluster.sleep,
        "attention=flash_attention_2": cluster.attention == "flash_attention_2",
        "optimiser_offload": cluster.optimiser_offload,
        "tensor_parallel": cluster.tensor_parallel > 1,
    }
    asked = [name for name, on in needs.items() if on]
    if asked:
        raise UserError(f"cluster.{asked[0]} needs GPUs: add engine.device=cuda, or leave it out")
