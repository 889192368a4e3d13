"""The engines, which hold the weights of the policy, and sample, score and train with them.

`mssr_rl.engine_protocol` defines their methods. `make_engine` makes the engine of a config.
"""

import os

from mssr_rl.config import Config
from mssr_rl.engine_protocol import Engine


def make_engine(config: Config) -> Engine:
    """Return the engine that a config names, with the policy loaded."""
    return _openrlhf(config) if config.engine.name == "openrlhf" else _local(config)


def _local(config: Config) -> Engine:
    import torch

    from mssr_rl.engine.local import LocalEngine, LocalOptions

    if config.engine.device == "cpu":  # else an installed deepspeed looks for a GPU and warns
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
        torch.set_num_threads(1)  # blocks that run side by side use the cores (`engine.cores`)
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
            threads=config.engine.threads,
            lr=train.lr,
            weight_decay=train.weight_decay,
            betas=(train.beta1, train.beta2),
            max_grad_norm=train.max_grad_norm,
        )
    )


def _openrlhf(config: Config) -> Engine:
    from mssr_rl.engine.openrlhf import cpu, package_versions

    package_versions.require(config.engine.device)
    package_versions.require_sampler(config)
    if config.engine.device == "cpu":
        cpu.install()
    from mssr_rl.engine.openrlhf.engine import OpenRlhfEngine

    return OpenRlhfEngine(config)
