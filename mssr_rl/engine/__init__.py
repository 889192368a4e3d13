"""The engines, which hold the weights of the policy, and sample, score and train with them.

`mssr_rl.engine_protocol` defines their methods. `make_engine` makes the engine of a config.
"""

import os
from typing import TYPE_CHECKING

from mssr_rl.config import Config
from mssr_rl.engine_protocol import Engine
from mssr_rl.errors import UserError
from mssr_rl.seeds import derive

if TYPE_CHECKING:
    from mssr_rl.models.lora import LoraOptions


def make_engine(config: Config) -> Engine:
    """Return the engine that a config names, with the policy loaded."""
    return _openrlhf(config) if config.engine.name == "openrlhf" else _local(config)


def _local(config: Config) -> Engine:
    import torch

    from mssr_rl.engine.local import LocalEngine, LocalOptions

    if config.engine.device == "cpu":  # else an installed deepspeed looks for a GPU and warns
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
        torch.set_num_threads(1)  # blocks that run side by side use the cores (`engine.cores`)
    if config.engine.deterministic:
        make_deterministic()
    train, rollout = config.train, config.rollout
    return LocalEngine(
        LocalOptions(
            model=config.model.source,
            device=config.engine.device,
            dtype=config.engine.dtype,
            temperature=rollout.temperature,
            max_prompt_tokens=rollout.max_prompt_tokens,
            min_pixels=config.model.min_pixels,
            max_pixels=config.model.max_pixels,
            micro_batch=train.micro_batch,
            micro_tokens=train.micro_tokens,
            logit_tokens=config.engine.logit_tokens,
            checkpointing=config.engine.checkpointing,
            lora=lora_options(config),
            freeze_vision=config.engine.freeze_vision,
            optimiser_offload=config.engine.optimiser_offload,
            reference_offload=config.engine.reference_offload,
            threads=config.engine.threads,
            lr=train.lr,
            weight_decay=train.weight_decay,
            betas=(train.beta1, train.beta2),
            max_grad_norm=train.max_grad_norm,
        )
    )


def lora_options(config: Config) -> "LoraOptions | None":
    """Return the options of LoRA; None if the weights are trained.

    Raises UserError if peft is missing.
    """
    engine = config.engine
    if not engine.lora_rank:
        return None
    try:
        from mssr_rl.models.lora import LoraOptions
    except ModuleNotFoundError as error:
        raise UserError(
            f"engine.lora_rank={engine.lora_rank} needs the package peft ({error}); "
            '`pip install "mssr_rl[lora]"` installs it, from a clone `pip install -e ".[lora]"`'
        ) from error
    return LoraOptions(
        rank=engine.lora_rank,
        alpha=engine.lora_alpha,
        targets=engine.lora_targets,
        language_only=engine.freeze_vision,
        seed=derive(config.seed, "lora"),
    )


def make_deterministic() -> None:
    """Let torch use only operations on a GPU that give the same bits each time.

    Raises RuntimeError later, in an operation that has no such implementation.
    """
    import torch

    # cuBLAS reads this once, when the first matrix product on the GPU runs.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False


def _openrlhf(config: Config) -> Engine:
    from mssr_rl.engine.openrlhf import cpu, package_versions

    package_versions.require(config.engine.device)
    package_versions.require_sampler(config)
    if config.engine.device == "cpu":
        cpu.install()
    from mssr_rl.engine.openrlhf.engine import OpenRlhfEngine

    return OpenRlhfEngine(config)
