"""Describe the processes of `engine=openrlhf` and estimate their GPU memory, for `plan`.

The numbers are only computed: neither Ray nor a loaded model is needed.
"""

from typing import NamedTuple

from mssr_rl.config import Config
from mssr_rl.engine.openrlhf import package_versions
from mssr_rl.engine.openrlhf.placement import micro_batch, placement
from mssr_rl.planning.memory import BYTES, GIB, ModelShape, known_shape, update_bytes

MASTER = 12  # bytes per parameter: float32 copy and AdamW's two moments
BOUNDARY = 2  # numbers per layer, token and hidden unit that gradient checkpointing keeps


class PerGpu(NamedTuple):
    """The estimated memory on one training GPU, by its use [bytes]."""

    policy: float  # weights, gradients, optimiser
    reference: float
    update: float  # one micro-batch, forward and backward


def words(config: Config, prompt_tokens: int) -> dict[str, str]:
    """Return the plan's lines for a cluster as {subject: text}.

    Prompts have at most `prompt_tokens` tokens. Raises UserError if vLLM cannot run the model.
    """
    package_versions.require_sampler(config)
    placed, size = placement(config), micro_batch(config)
    ranks = placed.training_ranks
    passes = config.train.samples_per_update // ranks // size
    zero = f"ZeRO-{config.cluster.zero_stage}"
    return {
        "placement": f"{placed}",
        "an update": (
            f"{config.train.samples_per_update} rollouts over {ranks} ranks ({zero}), "
            f"{passes} passes of {size} on each"
        ),
        "precision": _precision(config),
        "memory": _memory(config, known_shape(config.model.path), prompt_tokens),
    }


def _precision(config: Config) -> str:
    """Return a phrase about the precision of DeepSpeed's updates, the same in all ZeRO stages."""
    dtype = config.engine.dtype
    if dtype == "float32":
        return "float32 throughout"
    return (
        f"weights in {dtype}, rounded after every update from the float32 copy that AdamW changes; "
        f"gradients of an update are added up in {dtype}"
    )


def per_gpu(config: Config, model: ModelShape, prompt_tokens: int) -> PerGpu:
    """Return the estimated memory for training on each GPU [bytes].

    ZeRO splits over the ranks: AdamW's moments from stage 1, gradients from stage 2, and weights in
    stage 3.
    """
    stage, ranks = config.cluster.zero_stage, placement(config).training_ranks
    width = BYTES[config.engine.dtype]
    weights = width / (ranks if stage == 3 else 1)
    gradients = width / (ranks if stage >= 2 else 1)
    master = 0 if config.cluster.optimiser_offload else MASTER / (ranks if stage >= 1 else 1)
    rows = micro_batch(config)
    return PerGpu(
        policy=model.parameters * (weights + gradients + master),
        reference=model.parameters * weights,
        update=_update(config, model, rows, prompt_tokens),
    )


def _update(config: Config, model: ModelShape, rows: int, prompt_tokens: int) -> float:
    if not config.cluster.gradient_checkpointing:
        return update_bytes(config, model, rows, rows * prompt_tokens)
    one_layer = update_bytes(config, model._replace(layers=1), rows, rows * prompt_tokens)
    tokens = rows * (prompt_tokens + config.rollout.max_response_tokens)
    kept = BOUNDARY * model.layers * model.hidden * tokens
    return one_layer + kept * BYTES[config.engine.dtype]


def _memory(config: Config, model: ModelShape | None, prompt_tokens: int) -> str:
    if model is None:
        return "unknown: the model is not on this machine"
    parts, cluster = per_gpu(config, model, prompt_tokens), config.cluster
    rollout = _sampler(config, model)
    away = ", which leaves while training works" if cluster.sleep else ""
    return (
        f"about {_gb(sum(parts))} a training GPU: policy {_gb(parts.policy)}, reference "
        f"{_gb(parts.reference)}, a micro-batch of {micro_batch(config)} {_gb(parts.update)}; "
        f"{rollout}{away}"
    )


def _sampler(config: Config, model: ModelShape) -> str:
    if config.rollout.sampler == "transformers":
        return "rollouts are sampled in the same processes"
    weights = model.parameters * BYTES[config.engine.dtype] / config.cluster.tensor_parallel
    return f"vLLM {config.cluster.gpu_memory_share:.0%} of the GPU, of which {_gb(weights)} weights"


def _gb(size: float) -> str:
    return f"{size / GIB:.2f} GB"
