"""The typed config: what a run is told. Frozen, and complete before anything starts.

`compose` builds it from configs/ and the command line, `crosscheck` holds its numbers against each
other, `plan` says it in words. A field without a default is the recipe's to state.
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

    path: str = option("`tiny`, or a folder in the `save_pretrained` layout")
    min_pixels: int | None = option("smaller pictures are enlarged; null: the model's", None, COUNT)
    max_pixels: int | None = option("larger ones are reduced; null: the model's own", None, COUNT)


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """Where weights live."""

    name: Literal["local", "openrlhf"] = option("local: one process; openrlhf: a cluster", "local")
    device: str = option("cpu, cuda, cuda:1", "cpu")
    threads: int = option("CPU threads; locally as many blocks at once, 2 to an update", 2, COUNT)
    dtype: Literal["float32", "bfloat16"] = option(
        "of weights and activations; engine=local trains in float32", "float32"
    )


@dataclass(frozen=True, kw_only=True)
class ClusterConfig:
    """How engine=openrlhf spreads over machines; any other engine refuses what is set here."""

    address: str | None = option("a running Ray cluster; null: start one here", None)
    nodes: int = option("machines that train", 1, COUNT)
    gpus_per_node: int = option("training ranks on each; without a GPU, processes", 1, COUNT)
    rollout_engines: int = option("vLLM engines", 1, COUNT)
    tensor_parallel: int = option("GPUs of one vLLM engine", 1, COUNT)
    colocate: bool = option("rollouts share the GPUs that train", True)
    sleep: bool = option("who is not working leaves the GPU; needs colocate", False)
    zero_stage: Literal[0, 1, 2, 3] = option("DeepSpeed: what is split over ranks", 2)
    gpu_memory_share: float = option("of a GPU, for vLLM", 0.4, SHARE)
    prefix_caching: bool = option("vLLM remembers prompts between rollouts", False)
    attention: Literal["sdpa", "eager", "flash_attention_2"] = option("in training", "sdpa")
    gradient_checkpointing: bool = option("activations are computed twice", False)
    optimiser_offload: bool = option("AdamW's state in main memory", False)
    freeze_vision: bool = option("the vision tower keeps its weights", False)
    lora_rank: int = option(
        "train LoRA matrices of this rank, not the weights; 0: the weights", 0, COUNT_OR_NONE_AT_ALL
    )
    lora_alpha: int = option("LoRA matrices count lora_alpha / lora_rank times", 16, COUNT)
    importance_cap: float | None = option(
        "weigh a token by trainer's over sampler's probability, at most so much", None, POSITIVE
    )
    mismatch_alarm: float | None = option(
        "largest sampler/trainer log-probability gap without a warning; null: by dtype",
        None,
        POSITIVE,
    )


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The optimiser and the batches it sees."""

    rollouts_per_step: int = option("rollouts drawn with one policy", bound=COUNT)
    samples_per_update: int = option("rollouts in one optimiser update", bound=COUNT)
    micro_batch: int = option("rollouts in one pass; memory and speed, not maths", 32, COUNT)
    lr: float = option("AdamW's learning rate, constant", bound=POSITIVE)
    weight_decay: float = option("AdamW's weight decay", 0.01, COUNT_OR_NONE_AT_ALL)
    beta1: float = option("AdamW's decay of the mean gradient", 0.9, DECAY)
    beta2: float = option("AdamW's decay of the squared gradient", 0.999, DECAY)
    max_grad_norm: float = option("gradients longer than this are cut", 1.0, POSITIVE)
    epochs: int = option("passes over the rollouts of a step", 1, COUNT)


@dataclass(frozen=True, kw_only=True)
class RolloutConfig:
    """How responses are drawn in training."""

    group_size: int | None = option("rollouts per problem; null: the algorithm's own", None, COUNT)
    temperature: float = option("of sampling", 1.0, POSITIVE)
    top_p: float = option("probability mass sampled from; below 1 biases the ratios", 1.0, SHARE)
    sampler: Literal["vllm", "transformers"] = option(
        "who samples with engine=openrlhf: vLLM, or the training ranks themselves", "vllm"
    )
    max_prompt_tokens: int = option("longest prompt, image tokens included", bound=COUNT)
    max_response_tokens: int = option("longest response", bound=COUNT)


@dataclass(frozen=True, kw_only=True)
class BudgetConfig:
    """What a run may spend; the first of them that is spent ends it."""

    rollouts: int = option("training rollouts in all", bound=COUNT)
    updates: int | None = option("optimiser updates in all; null: no bound", None, COUNT)
    prompts: int | None = option("no step begins once so many are posed", None, COUNT)
    image_tokens: int | None = option("no step begins once so many are read", None, COUNT)
    generated_tokens: int | None = option(
        "no step begins once so many are generated; null: no bound", None, COUNT
    )
    trained_tokens: int | None = option("no step begins once so many are trained on", None, COUNT)
    seconds: float | None = option(
        "no step begins once so much time is charged; null: no bound", None, POSITIVE
    )
    verifier_seconds: float | None = option("the same of time spent on grading", None, POSITIVE)
    gpu_seconds: float | None = option("the same of time times GPUs", None, POSITIVE)


@dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """When and how accuracy is measured: on val while training, on test at the end."""

    every: int = option(
        "steps between evaluations; 0: only at the start and the end", bound=COUNT_OR_NONE_AT_ALL
    )
    samples: int = option("sampled answers per problem, beside the greedy one", 4, COUNT)
    limit: int | None = option("problems of a split that are used; null: all", None, COUNT)


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    """When a run can be taken up again from."""

    every: int = option("steps between checkpoints; 0: only at the end", bound=COUNT_OR_NONE_AT_ALL)
    keep: int = option("newest checkpoints kept, beside the best", 2, COUNT)


@dataclass(frozen=True, kw_only=True)
class FaultConfig:
    """What is done when a step breaks or does not come to an end."""

    non_finite: Literal["stop", "skip"] = option(
        "NaN or infinity in a step: stop the run, or leave the step out", "stop"
    )
    unscorable: Literal["stop", "leave_out"] = option(
        "a response that gets no reward (None, NaN): stop the run, or leave that rollout out of "
        "baselines, loss and accuracy",
        "stop",
    )
    stall_seconds: float = option(
        "in one phase before every stack is written to stacks.txt; 0: never",
        600.0,
        COUNT_OR_NONE_AT_ALL,
    )
    stop_seconds: float = option(
        "in one phase before the run is stopped; 0: never", 7200.0, COUNT_OR_NONE_AT_ALL
    )
    retries: int = option(
        "restarts after a process of a cluster died, from the newest checkpoint",
        2,
        COUNT_OR_NONE_AT_ALL,
    )


@dataclass(frozen=True, kw_only=True)
class LensConfig:
    """Which batches are kept for the lens."""

    every: int = option(
        "steps between batches kept, the first beside; 0: none", 30, COUNT_OR_NONE_AT_ALL
    )


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything a run is told. `config.yaml` in its folder holds the same."""

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
    recipe: str = option("the file in configs/recipe that the numbers come from", "laptop")
    seed: int = option("the source of every random number", 0, SEED)
    name: str | None = option("of the run's folder; null: <env>-<algo>-s<seed>-<time>", None)
    resume: bool = option("go on with the run of that name", False)
    accept: tuple[str, ...] = option(
        "with resume=true: go on although these changed: plugins, config, data, record", ()
    )
    plugins: tuple[str, ...] = option("modules that register algorithms or environments", ())
    runs_dir: str = option("where run folders go", "runs")


def to_dict(config: Config) -> dict[str, Any]:
    """Plain values only, for config.yaml; `compose.from_dict` is the way back."""
    plain = asdict(config)
    for group in ("algo", "env"):
        chosen = plain[group]
        plain[group] = {"name": chosen["name"], **chosen["options"]}
    plain["plugins"], plain["accept"] = list(config.plugins), list(config.accept)
    return plain
