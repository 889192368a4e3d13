"""Describe the processes of `engine=openrlhf` and estimate their GPU memory, for `plan`.

The numbers are only computed: neither Ray nor a loaded model is needed.
"""

from typing import TYPE_CHECKING, NamedTuple

from mssr_rl.config import Config
from mssr_rl.engine.openrlhf import package_versions
from mssr_rl.engine.openrlhf.placement import micro_batch, placement
from mssr_rl.errors import UserError
from mssr_rl.models.chunked_scores import MemoryUse
from mssr_rl.planning import memory
from mssr_rl.planning.dry_run import DryOptions, PassShape, StepMemory, measure
from mssr_rl.planning.memory import GPU_CONTEXT, GPU_PIECES, gb
from mssr_rl.planning.prompt_sizes import PromptSizes

if TYPE_CHECKING:
    from mssr_rl.models.lora import LoraOptions

BYTES = {"float32": 4, "bfloat16": 2}
# Bytes per trained parameter: AdamW's two moments and, for bfloat16, a float32 copy.
OPTIMISER = {"float32": 8, "bfloat16": 12}


class PerGpu(NamedTuple):
    """The predicted memory on one training GPU, by its use [bytes]."""

    weights: float
    gradients: float
    optimiser: float  # float32 copies and AdamW's two moments
    reference: float
    update: float  # one micro-batch, forward and backward
    gathered: float  # weights of one layer or of the embedding, collected under ZeRO-3

    @property
    def total(self) -> float:
        """The sum of all parts."""
        return sum(self)


def words(config: Config, prompts: PromptSizes | None) -> dict[str, str]:
    """Return the plan's lines for a cluster as {subject: text}.

    Raises UserError if vLLM cannot run the model, or a GPU has too little memory.
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
        **_memory(config, prompts),
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


def per_gpu(config: Config, step: StepMemory) -> PerGpu:
    """Return the memory for training on each GPU [bytes], from the memory of one step.

    ZeRO splits over the ranks: AdamW's state from stage 1, gradients from stage 2, and weights in
    stage 3.
    """
    cluster = config.cluster
    stage, ranks = cluster.zero_stage, placement(config).training_ranks
    width = BYTES[config.engine.dtype]
    optimiser = 0 if cluster.optimiser_offload else OPTIMISER[config.engine.dtype] * step.trained
    weights = step.weights / (ranks if stage == 3 else 1)
    return PerGpu(
        weights=weights,
        gradients=width * step.trained / (ranks if stage >= 2 else 1),
        optimiser=optimiser / (ranks if stage >= 1 else 1),
        reference=weights,
        update=step.update,
        gathered=_largest(config, width) if stage == 3 else 0,
    )


def _largest(config: Config, width: int) -> float:
    """Return the bytes of the largest weight, which a rank collects as a whole: the embedding."""
    text = memory.config_of(config.model.path)
    text = text.get("text_config", text)
    return float(width * text["vocab_size"] * text["hidden_size"])


def measured(config: Config, prompts: PromptSizes | None) -> StepMemory:
    """Return the memory of one step on one training rank.

    OpenRLHF's actor holds all logits at once, and every rollout has a prompt of its own.
    """
    cluster, (tokens, picture, _) = config.cluster, memory.prompt(config, prompts)
    options = DryOptions(
        dtype=config.engine.dtype,
        compiled=False,
        memory=MemoryUse(1 << 40, cluster.gradient_checkpointing),
        lora=_lora(config),
        freeze_vision=cluster.freeze_vision,
        keep_gradients=False,
    )
    passed = PassShape(micro_batch(config), 1, tokens, picture, config.rollout.max_response_tokens)
    return measure(memory.as_text(config), options, passed, None)


def _lora(config: Config) -> "LoraOptions | None":
    cluster = config.cluster
    if not cluster.lora_rank:
        return None
    from mssr_rl.models.lora import LoraOptions

    return LoraOptions(cluster.lora_rank, cluster.lora_alpha, language_only=cluster.freeze_vision)


def _memory(config: Config, prompts: PromptSizes | None) -> dict[str, str]:
    try:
        step = measured(config, prompts)
    except FileNotFoundError:
        return {"memory": "unknown: the model's config.json is not on this machine"}
    parts, gpus = per_gpu(config, step), config.engine.device != "cpu"
    total = parts.total * (1 + GPU_PIECES) + GPU_CONTEXT if gpus else parts.total
    _refuse(config, total)
    away = ", which leaves while training works" if config.cluster.sleep else ""
    margin = f"{gb(GPU_CONTEXT)} for CUDA and {GPU_PIECES:.0%} for pieces, " if gpus else ""
    return {
        "memory": (
            f"about {gb(total)} a training GPU: weights {gb(parts.weights)}, gradients "
            f"{gb(parts.gradients)}, optimiser {gb(parts.optimiser)}, reference "
            f"{gb(parts.reference)}, a micro-batch of {micro_batch(config)} {gb(parts.update)}, "
            f"{margin}collected weights {gb(parts.gathered)}; {_sampler(config, step)}{away}"
        ),
        "assumed": (
            f"{memory.prompt(config, prompts)[2]}; answers of "
            f"{config.rollout.max_response_tokens:,} tokens; buffers of NCCL and DeepSpeed are "
            "not counted"
        ),
    }


def _refuse(config: Config, total: float) -> None:
    """Raise UserError if a training GPU has too little memory, with what would help."""
    room = memory.device_bytes(config)
    if room is None or total <= room:
        return
    cluster = config.cluster
    ways = {
        "cluster.gradient_checkpointing=true": not cluster.gradient_checkpointing,
        f"cluster.zero_stage={2 if cluster.lora_rank else 3}": cluster.zero_stage < 2,
        "train.micro_batch=1": config.train.micro_batch > 1,
        "cluster.optimiser_offload=true": not cluster.optimiser_offload,
        "cluster.lora_rank=16 cluster.zero_stage=2": not cluster.lora_rank,
    }
    way = next((way for way, helps in ways.items() if helps), "more GPUs or a smaller model")
    raise UserError(
        f"this run needs about {gb(total)} on each training GPU, which has {gb(room)}; less is "
        f"needed with {way}"
    )


def _sampler(config: Config, step: StepMemory) -> str:
    if config.rollout.sampler == "transformers":
        return "rollouts are sampled in the same processes"
    weights = step.weights / config.cluster.tensor_parallel
    return f"vLLM {config.cluster.gpu_memory_share:.0%} of the GPU, of which {gb(weights)} weights"
