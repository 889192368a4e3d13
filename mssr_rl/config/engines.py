"""Test that the settings of an engine fit together. `crosscheck` calls this last.

A setting without effect is an error, and so is a combination that cannot run. On a cluster an early
error costs seconds, but a failed start costs minutes.
"""

from dataclasses import fields
from typing import Any

from mssr_rl.config.schema import (
    ClusterConfig,
    Config,
    EngineConfig,
    FaultConfig,
    RolloutConfig,
)
from mssr_rl.errors import UserError
from mssr_rl.typed import show


def check_engine(config: Config) -> None:
    """Raise UserError if a setting has no effect with this engine, or two do not fit together."""
    _check_correction(config)
    if config.engine.name == "openrlhf":
        _check_cluster(config)
        return
    _check_lora(config.engine)
    _check_gpu_only(config.engine)
    changed = _changed("cluster", config.cluster, ClusterConfig())
    if config.fault.retries != FaultConfig.retries:
        changed.append(f"fault.retries={config.fault.retries}")
    if config.rollout.correction != RolloutConfig.correction:
        changed.append(f"rollout.correction={config.rollout.correction}")
    if config.rollout.sampler != RolloutConfig.sampler:
        changed.append(f"rollout.sampler={config.rollout.sampler}")
    if changed:
        raise UserError(
            f"{changed[0]} has no effect with engine={config.engine.name}; add engine=openrlhf, or "
            "leave it out"
        )


def _check_lora(engine: EngineConfig) -> None:
    """Raise UserError if an option of LoRA has no effect."""
    changed = _changed("engine", engine, EngineConfig())
    idle = [
        word for word in changed if word.startswith(("engine.lora_alpha", "engine.lora_targets"))
    ]
    if idle and not engine.lora_rank:
        raise UserError(f"{idle[0]} has no effect without engine.lora_rank; set it, e.g. to 16")
    if engine.reference_offload and engine.lora_rank:
        raise UserError(
            "engine.reference_offload=true has no effect with engine.lora_rank: the reference is "
            "the policy without its LoRA matrices; leave it out"
        )


def _check_gpu_only(engine: EngineConfig) -> None:
    """Raise UserError if an option needs a GPU and engine.device is the CPU."""
    options = ("optimiser_offload", "reference_offload", "deterministic")
    for name in options:
        if engine.device == "cpu" and getattr(engine, name):
            raise UserError(
                f"engine.{name}=true has no effect on engine.device=cpu; add engine.device=cuda, "
                "or leave it out"
            )


def _check_correction(config: Config) -> None:
    """Raise UserError if an importance correction has no effect, or is combined with top_p < 1."""
    rollout, older = config.rollout, config.cluster.importance_cap
    if older is not None and rollout.correction != "none":
        raise UserError(
            f"cluster.importance_cap={show(older)} is the older spelling of rollout.correction="
            f"token_truncate rollout.correction_cap={show(older)}; set only one of the two"
        )
    if rollout.correction_cap is not None and rollout.correction == "none":
        raise UserError(
            f"rollout.correction_cap={show(rollout.correction_cap)} has no effect with "
            "rollout.correction=none; choose a correction, or leave it out"
        )
    corrected = older is not None or rollout.correction != "none"
    if corrected and rollout.sampler == "transformers" and config.engine.name == "openrlhf":
        raise UserError(
            "rollout.correction has no effect with rollout.sampler=transformers: the weights that "
            "are trained also sample; leave it out"
        )
    if corrected and rollout.top_p < 1:
        raise UserError(
            f"rollout.top_p={show(rollout.top_p)} with rollout.correction: the sampler then draws "
            "from a part of the distribution, and every weight would hold the probability mass of "
            "that part; set rollout.top_p=1, or leave the correction out"
        )


def _changed(name: str, section: Any, default: Any) -> list[str]:
    """Return the settings of a section that differ from the default, as `key=value` texts."""
    now = [(field.name, getattr(section, field.name)) for field in fields(section)]
    return [f"{name}.{key}={show(value)}" for key, value in now if value != getattr(default, key)]


def _check_cluster(config: Config) -> None:
    _check_local_only(config)
    cluster, ranks = config.cluster, config.cluster.nodes * config.cluster.gpus_per_node
    sampling = cluster.rollout_engines * cluster.tensor_parallel
    if config.rollout.sampler == "transformers":
        _check_own_sampler(cluster)
    elif cluster.colocate and sampling != ranks:
        raise UserError(
            f"cluster.colocate=true puts vLLM on the {ranks} GPUs that train, but "
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
            "cluster.lora_rank needs whole weights on each rank, but cluster.zero_stage=3 splits "
            "them; use cluster.zero_stage=2"
        )
    if cluster.sleep and not cluster.colocate:
        raise UserError(
            "cluster.sleep=true frees memory on shared GPUs, so it needs cluster.colocate=true"
        )


# What engine=openrlhf calls the options of the local engine; None: it has no such option.
ON_A_CLUSTER = {
    "checkpointing": "cluster.gradient_checkpointing",
    "lora_rank": "cluster.lora_rank",
    "lora_alpha": "cluster.lora_alpha",
    "lora_targets": None,
    "freeze_vision": "cluster.freeze_vision",
    "optimiser_offload": "cluster.optimiser_offload",
    "reference_offload": None,
    "deterministic": None,
    "logit_tokens": None,
}


def _check_local_only(config: Config) -> None:
    changed = _changed("engine", config.engine, EngineConfig())
    if config.train.micro_tokens is not None:
        changed.append(f"train.micro_tokens={config.train.micro_tokens}")
    for word in changed:
        name = word.partition("=")[0].rpartition(".")[2]
        if name in ON_A_CLUSTER or name == "micro_tokens":
            other = ON_A_CLUSTER.get(name)
            way = f"use {other}" if other else "add engine=local, or leave it out"
            raise UserError(f"{word} has no effect with engine=openrlhf; {way}")


def _check_own_sampler(cluster: ClusterConfig) -> None:
    """Raise UserError if settings do not fit rollout.sampler=transformers.

    Settings of vLLM have no effect there, and cluster.zero_stage=3 splits the weights.
    """
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
            "rollout.sampler=transformers needs whole weights on each rank, but "
            "cluster.zero_stage=3 splits them; use cluster.zero_stage=2"
        )


def _check_without_gpu(cluster: ClusterConfig) -> None:
    needs = {
        "sleep": cluster.sleep,
        "attention=flash_attention_2": cluster.attention == "flash_attention_2",
        "optimiser_offload": cluster.optimiser_offload,
        "tensor_parallel": cluster.tensor_parallel > 1,
    }
    unmet = [name for name, on in needs.items() if on]
    if unmet:
        raise UserError(f"cluster.{unmet[0]} needs GPUs: add engine.device=cuda, or leave it out")
