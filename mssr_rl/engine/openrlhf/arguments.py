"""Translate a run's config into OpenRLHF's options, with the names in OpenRLHF's help.

OpenRLHF defines its options under `__main__`, where they cannot be imported, so their nested
namespace is built here. A test checks every name against the installed version. Some options are
for work that this package does itself (loss, advantage, data, logging). They are set to values that
have no effect.
"""

from types import SimpleNamespace
from typing import Any

from mssr_rl.config.schema import Config
from mssr_rl.engine.openrlhf.placement import micro_batch, placement
from mssr_rl.models import model_folder

PRECISION = {"float32": "fp32", "bfloat16": "bf16"}


def table(config: Config) -> dict[str, Any]:
    """Return OpenRLHF's options for a config as {option: value}."""
    return {**_model(config), **_training(config), **_rollout(config), **_places(config), **_IDLE}


def namespace(config: Config) -> SimpleNamespace:
    """Return the options as the nested namespace that OpenRLHF reads: `args.ds.zero_stage`."""
    tree: dict[str, Any] = {}
    for option, value in table(config).items():
        *path, last = option.split(".")
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        node[last] = value
    args: SimpleNamespace = _as_namespace(tree)
    return args


LANGUAGE = r".*language_model\..*_proj"  # linear layers without the vision tower's


def _model(config: Config) -> dict[str, Any]:
    cluster = config.cluster
    return {
        "actor.model_name_or_path": model_folder(config.model.source),
        "actor.freeze_visual_encoder": cluster.freeze_vision,
        "actor.gradient_checkpointing_enable": cluster.gradient_checkpointing,
        "actor.gradient_checkpointing_reentrant": False,
        "ds.lora.rank": cluster.lora_rank,
        "ds.lora.alpha": cluster.lora_alpha,
        "ds.lora.target_modules": LANGUAGE if cluster.freeze_vision else "all-linear",
        "ds.attn_implementation": cluster.attention,
        "ds.param_dtype": PRECISION[config.engine.dtype],
    }


def _training(config: Config) -> dict[str, Any]:
    train, cluster = config.train, config.cluster
    return {
        "train.batch_size": train.samples_per_update,
        "train.micro_batch_size": micro_batch(config),
        "train.max_epochs": 1,
        "train.seed": config.seed % 2**32,
        "actor.adam.lr": train.lr,
        "actor.adam.betas": [train.beta1, train.beta2],
        "actor.adam.eps": 1e-8,
        "actor.adam.weight_decay": train.weight_decay,
        "actor.max_norm": train.max_grad_norm,
        "actor.optim": "adam",
        "actor.lr_scheduler": "constant",
        "actor.lr_warmup_ratio": 0.0,
        "ds.zero_stage": cluster.zero_stage,
        "ds.adam_offload": cluster.optimiser_offload,
        "ds.enable_sleep": cluster.sleep,
        "rollout.temperature": config.rollout.temperature,
    }


def _rollout(config: Config) -> dict[str, Any]:
    cluster, rollout = config.cluster, config.rollout
    on_cpu = config.engine.device == "cpu"
    return {
        "vllm.num_engines": cluster.rollout_engines,
        "vllm.tensor_parallel_size": cluster.tensor_parallel,
        "vllm.sync_backend": "gloo" if on_cpu else "nccl",
        "vllm.enforce_eager": on_cpu,
        "vllm.enable_prefix_caching": cluster.prefix_caching,
        "vllm.enable_sleep": cluster.sleep,
        "vllm.gpu_memory_utilization": cluster.gpu_memory_share,
        "data.max_len": rollout.max_prompt_tokens + rollout.max_response_tokens,
    }


def _places(config: Config) -> dict[str, Any]:
    placed = placement(config)
    return {
        "actor.num_nodes": config.cluster.nodes,
        "actor.num_gpus_per_node": placed.ranks_per_node,
        "ref.num_nodes": config.cluster.nodes,
        "ref.num_gpus_per_node": placed.ranks_per_node,
        "train.colocate_all": placed.colocate,
        "train.colocate_actor_ref": True,
    }


# Options that OpenRLHF's classes read when they are made, and that we never use.
_IDLE: dict[str, Any] = {
    "local_rank": -1,
    "train.full_determinism_enable": False,
    "train.async_enable": False,
    "train.dynamic_batch_enable": False,
    "train.enable_ema": False,
    "train.ema_beta": 0.992,
    "actor.eps_clip": 0.2,
    "actor.eps_clip_low_high": [0.2, 0.2],
    "actor.dual_clip": None,
    "actor.loss_agg_mode": "token-mean",
    "actor.policy_loss_type": "ppo",
    "actor.entropy_coef": None,
    "actor.aux_loss_coef": 0.0,
    "actor.min_lr_ratio": 1.0,
    "actor.muon.lr": 0.0,
    "algo.advantage.is_correction_level": "off",
    "algo.advantage.is_correction_mode": "mask",
    "algo.advantage.is_correction_gating": "ratio",
    "algo.advantage.is_correction_threshold": [0.5, 5.0],
    "ckpt.path": "",
    "ckpt.save_hf": False,
    "ckpt.disable_ds": False,
    "ckpt.load_enable": False,
    "data.disable_fast_tokenizer": False,
    "ds.experts_implementation": None,
    "ds.lora.dropout": 0.0,
    "ds.load_in_4bit": False,
    "ds.packing_samples": False,
    "ds.use_liger_kernel": False,
    "ds.zpg": 1,
    "ds.grad_accum_dtype": None,
    "ds.overlap_comm": False,
    "ds.use_universal_ckpt": False,
    "ds.deepcompile": False,
    "ds.tensor_parallel_size": 1,
    "ds.ring_attn_size": 1,
    "ref.offload": False,
    "vllm.sync_with_ray": False,
}


def _as_namespace(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    return SimpleNamespace(**{name: _as_namespace(value) for name, value in node.items()})
