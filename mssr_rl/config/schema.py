"""The typed config of a run. It is frozen, and complete before anything starts.

`compose` builds it from configs/ and the command line. `crosscheck` tests that its numbers fit
together. `plan` prints it as text. A field without a default must be set by the recipe.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from mssr_rl.stability.limits import Limits
from mssr_rl.typed import (
    COUNT,
    COUNT_OR_NONE_AT_ALL,
    DECAY,
    POSITIVE,
    SEED,
    SHARE,
    option,
)


@dataclass(frozen=True, kw_only=True)
class Selection:
    """A registered name and all of its options, defaults included."""

    name: str
    options: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The policy to start from."""

    path: str = option("`tiny`, a folder in the `save_pretrained` layout, or a hub id")
    revision: str | None = option("commit, tag or branch of a hub id; null: newest", None)
    min_pixels: int | None = option(
        "enlarge pictures with fewer pixels; null: as the model's processor does", None, COUNT
    )
    max_pixels: int | None = option(
        "shrink pictures with more pixels; null: as the model's processor does", None, COUNT
    )

    @property
    def source(self) -> str:
        """Where the model comes from: a folder, `tiny`, `owner/name` or `owner/name@revision`."""
        return self.path if self.revision is None else f"{self.path}@{self.revision}"


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """Where the model runs, and in which precision."""

    name: Literal["local", "openrlhf"] = option("local: one process; openrlhf: a cluster", "local")
    device: str = option("the torch device: cpu, cuda or cuda:1", "cpu")
    threads: int = option(
        "CPU threads; engine=local runs as many blocks at once, and an update uses 2", 2, COUNT
    )
    dtype: Literal["float32", "bfloat16"] = option(
        "precision of the policy; with bfloat16, AdamW changes a float32 copy of the weights",
        "float32",
    )
    logit_tokens: int | None = option(
        "engine=local: response tokens whose logits are in memory at once; null: 33.6 million "
        "logits",
        None,
        COUNT,
    )
    checkpointing: bool = option(
        "engine=local: compute activations of layers again in the backward pass, to save memory",
        False,
    )
    lora_rank: int = option(
        "engine=local: rank of LoRA matrices that are trained in place of the weights; 0: train "
        "the weights",
        0,
        COUNT_OR_NONE_AT_ALL,
    )
    lora_alpha: int = option("LoRA matrices are scaled by lora_alpha / lora_rank", 16, COUNT)
    lora_targets: tuple[str, ...] = option(
        "linear layers with LoRA matrices, such as q_proj; []: all but the output layer", ()
    )
    freeze_vision: bool = option("engine=local: do not train the vision tower", False)
    optimiser_offload: bool = option(
        "engine=local on a GPU: keep float32 weights, gradients and AdamW's state in main memory",
        False,
    )
    reference_offload: bool = option(
        "engine=local on a GPU: keep the reference in main memory while it is not used", False
    )
    memory_gb: float | None = option(
        "memory of the device for `--plan`, in GiB; null: that of the GPU of this machine",
        None,
        POSITIVE,
    )
    deterministic: bool = option(
        "engine=local on a GPU: only operations that give the same bits each time", False
    )


@dataclass(frozen=True, kw_only=True)
class ClusterConfig:
    """How engine=openrlhf uses several machines. Other engines refuse any change here."""

    address: str | None = option("a running Ray cluster; null: start one here", None)
    nodes: int = option("number of machines that train", 1, COUNT)
    gpus_per_node: int = option(
        "training ranks on each machine: GPUs, or processes where there is no GPU", 1, COUNT
    )
    rollout_engines: int = option("number of vLLM engines", 1, COUNT)
    tensor_parallel: int = option("GPUs of one vLLM engine", 1, COUNT)
    colocate: bool = option("vLLM and training share the same GPUs", True)
    sleep: bool = option(
        "vLLM and the trainer free GPU memory while they are idle; needs colocate", False
    )
    zero_stage: Literal[0, 1, 2, 3] = option(
        "DeepSpeed ZeRO stage: what is split over the training ranks", 2
    )
    gpu_memory_share: float = option("share of a GPU's memory that vLLM may use", 0.4, SHARE)
    pictures_per_prompt: int = option(
        "most pictures of a problem; vLLM reserves memory for so many", 8, COUNT
    )
    prefix_caching: bool = option("vLLM keeps the attention cache of shared prompts", False)
    attention: Literal["sdpa", "eager", "flash_attention_2"] = option(
        "attention implementation in training", "sdpa"
    )
    gradient_checkpointing: bool = option(
        "compute activations again in the backward pass, to save memory", False
    )
    optimiser_offload: bool = option("keep AdamW's state in main memory", False)
    freeze_vision: bool = option("do not train the vision tower", False)
    lora_rank: int = option(
        "rank of LoRA matrices that are trained in place of the weights; 0: train the weights",
        0,
        COUNT_OR_NONE_AT_ALL,
    )
    lora_alpha: int = option("LoRA matrices are scaled by lora_alpha / lora_rank", 16, COUNT)
    importance_cap: float | None = option(
        "older spelling of rollout.correction=token_truncate, with this cap; null: off",
        None,
        POSITIVE,
    )
    mismatch_alarm: float | None = option(
        "warn if log-probabilities of sampler and trainer differ by more; null: set by dtype",
        None,
        POSITIVE,
    )


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The optimiser and the batches it sees."""

    rollouts_per_step: int = option("rollouts sampled with one policy", bound=COUNT)
    samples_per_update: int = option("rollouts in one optimiser update", bound=COUNT)
    micro_batch: int = option(
        "rollouts in one forward pass; changes memory and speed, not the maths", 32, COUNT
    )
    micro_tokens: int | None = option(
        "engine=local: tokens in one forward pass that scores or trains; may split a group; null: "
        "train.micro_batch",
        None,
        COUNT,
    )
    lr: float = option("AdamW's learning rate, constant", bound=POSITIVE)
    weight_decay: float = option("AdamW's weight decay", 0.01, COUNT_OR_NONE_AT_ALL)
    beta1: float = option("AdamW's decay of the mean gradient", 0.9, DECAY)
    beta2: float = option("AdamW's decay of the squared gradient", 0.999, DECAY)
    max_grad_norm: float = option("gradients with a larger norm are clipped to it", 1.0, POSITIVE)
    epochs: int = option("passes over the rollouts of a step", 1, COUNT)


@dataclass(frozen=True, kw_only=True)
class RolloutConfig:
    """How responses are sampled in training."""

    group_size: int | None = option(
        "rollouts per problem; null: the algorithm's default", None, COUNT
    )
    temperature: float = option("sampling temperature", 1.0, POSITIVE)
    top_p: float = option(
        "sample from the likeliest tokens with this probability mass; below 1 biases the ratios",
        1.0,
        SHARE,
    )
    correction: Literal[
        "none", "token_truncate", "token_mask", "sequence_truncate", "sequence_mask"
    ] = option(
        "importance weights for vLLM's samples, by token or response: capped, or dropped above it",
        "none",
    )
    correction_cap: float | None = option("the cap of rollout.correction; null: 2", None, POSITIVE)
    sampler: Literal["vllm", "transformers"] = option(
        "engine=openrlhf samples with vLLM, or with transformers on the training ranks", "vllm"
    )
    max_prompt_tokens: int = option("longest prompt, image tokens included", bound=COUNT)
    max_response_tokens: int = option("longest response", bound=COUNT)


@dataclass(frozen=True, kw_only=True)
class BudgetConfig:
    """What a run may spend. The run ends when one of these is spent."""

    rollouts: int = option("training rollouts in all", bound=COUNT)
    updates: int | None = option("optimiser updates in all; null: no bound", None, COUNT)
    prompts: int | None = option(
        "start no step after this many prompts; null: no bound", None, COUNT
    )
    image_tokens: int | None = option(
        "start no step after this many image tokens; null: no bound", None, COUNT
    )
    generated_tokens: int | None = option(
        "start no step after this many generated tokens; null: no bound", None, COUNT
    )
    trained_tokens: int | None = option(
        "start no step after this many trained tokens; null: no bound", None, COUNT
    )
    seconds: float | None = option(
        "start no step after this much charged time [s]; null: no bound", None, POSITIVE
    )
    verifier_seconds: float | None = option(
        "start no step after this much grading time [s]; null: no bound", None, POSITIVE
    )
    gpu_seconds: float | None = option(
        "start no step after this much time x GPUs [s]; null: no bound", None, POSITIVE
    )


@dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """When and how accuracy is measured: on val during training, on test at the end."""

    every: int = option(
        "steps between evaluations; 0: only at the start and the end", bound=COUNT_OR_NONE_AT_ALL
    )
    samples: int = option("sampled answers per problem, in addition to the greedy one", 4, COUNT)
    limit: int | None = option("use only this many problems of a split; null: all", None, COUNT)
    test_at_start: bool = option(
        "measure test at step 0, too, so that the report shows the gain on test", False
    )


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    """When checkpoints are saved. A run can be resumed from each of them."""

    every: int = option("steps between checkpoints; 0: only at the end", bound=COUNT_OR_NONE_AT_ALL)
    keep: int = option("newest checkpoints that are kept, in addition to the best", 2, COUNT)


@dataclass(frozen=True, kw_only=True)
class FaultConfig:
    """What happens when a step fails or does not end."""

    non_finite: Literal["stop", "skip"] = option(
        "NaN or infinity in a step: stop the run, or skip the step", "stop"
    )
    unscorable: Literal["stop", "leave_out"] = option(
        "a response that gets no reward (None, NaN): stop the run, or leave that rollout out of "
        "baselines, loss and accuracy",
        "stop",
    )
    stall_seconds: float = option(
        "after this long in one phase, write all stacks to stacks.txt [s]; 0: never",
        600.0,
        COUNT_OR_NONE_AT_ALL,
    )
    stop_seconds: float = option(
        "after this long in one phase, stop the run [s]; 0: never", 7200.0, COUNT_OR_NONE_AT_ALL
    )
    retries: int = option(
        "restarts from the newest checkpoint, after a process of the cluster died",
        2,
        COUNT_OR_NONE_AT_ALL,
    )


@dataclass(frozen=True, kw_only=True)
class LensConfig:
    """Options that choose the batches saved for the verb `lens`."""

    every: int = option(
        "save step 1 and every step divisible by this; 0: save none", 30, COUNT_OR_NONE_AT_ALL
    )


@dataclass(frozen=True, kw_only=True)
class Config:
    """All settings of a run. `config.yaml` in the run's folder holds the same."""

    algo: Selection
    env: Selection
    model: ModelConfig
    engine: EngineConfig
    train: TrainConfig
    rollout: RolloutConfig
    budget: BudgetConfig
    eval: EvalConfig
    checkpoint: CheckpointConfig
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    fault: FaultConfig = field(default_factory=FaultConfig)
    stability: Limits = field(default_factory=Limits)
    lens: LensConfig = field(default_factory=LensConfig)
    recipe: str = option("the file in configs/recipe with the settings to start from", "laptop")
    seed: int = option("the seed of every random number", 0, SEED)
    name: str | None = option("name of the run's folder; null: <env>-<algo>-s<seed>-<time>", None)
    resume: bool = option("continue the run with the given name", False)
    accept: tuple[str, ...] = option(
        "with resume=true: continue although these changed: plugins, config, data, record", ()
    )
    plugins: tuple[str, ...] = option("modules that register algorithms or environments", ())
    runs_dir: str = option("the folder for run folders", "runs")
    log: tuple[Literal["tensorboard", "wandb", "trackio", "mlflow", "prometheus"], ...] = option(
        "programs that get a copy of the metrics, with pictures of rollouts; []: none",
        ("tensorboard",),
    )


def to_dict(config: Config) -> dict[str, Any]:
    """Return the config as plain values, for config.yaml. `compose.from_dict` is the inverse."""
    plain = asdict(config)
    for group in ("algo", "env"):
        chosen = plain[group]
        plain[group] = {"name": chosen["name"], **chosen["options"]}
    for listed in ("plugins", "accept", "log"):
        plain[listed] = list(plain[listed])
    return plain
