"""Predict the memory of a run before it starts, for `plan`; no weights are loaded.

`dry_run` measures the passes of one step on tensors without memory. Here its parts are added up for
the local engine; `cluster` does so for each GPU of a cluster. A run that does not fit the device is
refused, and the message names options with which it fits.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from mssr_rl import untrusted
from mssr_rl.config import Config
from mssr_rl.engine.blocks import Tokens, problems_together
from mssr_rl.errors import UserError
from mssr_rl.models import bounds, model_folder
from mssr_rl.planning.dry_run import DryOptions, PassShape, StepMemory, measure
from mssr_rl.planning.prompt_sizes import PromptSizes
from mssr_rl.planning.published import PUBLISHED

GIB = 2**30
LIBRARIES = 0.9 * GIB  # Python with torch, transformers and other libraries, measured on Linux
# Assumed, never measured here: CUDA's context with its libraries, and the share of a GPU's memory
# that the allocator cannot use because it is in pieces.
GPU_CONTEXT, GPU_PIECES = 1.0 * GIB, 0.05
TEXT_AROUND = 64  # tokens of a prompt beside its picture, where no prompt could be measured


class MemoryParts(NamedTuple):
    """The predicted memory of a run on the device that trains, by its use [bytes]."""

    weights: float  # policy, and a reference that is a copy
    optimiser: float  # float32 copies, AdamW's two moments, and the sum of the gradients
    sampling: float  # the largest block that is sampled
    update: float  # all passes with gradient that run at the same time
    others: float  # scoring with the reference on the device, or saving
    libraries: float

    @property
    def peak(self) -> float:
        """The largest sum of what is there at one time."""
        return self.libraries + self.weights + self.optimiser + self.step

    @property
    def step(self) -> float:
        """The largest phase of a step, above what the run holds."""
        return max(self.sampling, self.update, self.others)


class Need(NamedTuple):
    """The memory that a run needs, and what was assumed."""

    parts: MemoryParts
    assumed: tuple[str, ...]


def describe(path: str) -> str:
    """Return the plan's text about a model: its path, kind and number of parameters.

    If the model is not on this machine, the text says so.
    """
    try:
        folder = Path(model_folder(path))
        kind, files = str(config_of(path)["model_type"]), sorted(folder.glob("*.safetensors"))
        if not files:
            return f"{path}: {kind}, no weights on this machine"
        return f"{path}: {kind} of {sum(map(bounds.parameters, files)) / 1e6:,.1f} M parameters"
    except FileNotFoundError:
        return f"{path}: not on this machine"


def config_of(path: str) -> dict[str, Any]:
    """Return a model's config.json, from its folder or from `published`.

    Raises FileNotFoundError if it is in neither.
    """
    file = Path(model_folder(path)) / "config.json"
    if path in PUBLISHED and not file.is_file():
        return PUBLISHED[path]
    if not file.is_file():
        raise FileNotFoundError(f"no config.json in {file.parent}")
    from mssr_rl.models.load import read_config

    found: dict[str, Any] = untrusted.document(file)
    read_config(path)  # raises UserError if it is not the config of a language model
    return found


def estimate(config: Config, prompts: PromptSizes | None) -> dict[str, str]:
    """Return the plan's lines about memory as {subject: text}.

    Raises UserError if the run needs more memory than its device has.
    """
    try:
        needed = need(config, prompts)
    except FileNotFoundError:
        return {"memory": "unknown: the model's config.json is not on this machine"}
    room = device_bytes(config)
    if room is not None and needed.parts.peak > room:
        raise UserError(_too_large(config, prompts, (needed.parts.peak, room)))
    spare = "" if room is None else f"; {gb(room - needed.parts.peak)} of {gb(room)} stay free"
    parts, tokens = needed.parts, prompt(config, prompts)[0]
    return {
        "memory": (
            f"about {parts.peak / GIB:.1f} GB: weights {gb(parts.weights)}, gradients and AdamW "
            f"{gb(parts.optimiser)}, the largest phase of a step {gb(parts.step)} (sampling "
            f"{gb(parts.sampling)}, {at_once(config)} x {block(config, tokens)} rollouts in "
            f"training {gb(parts.update)}), the libraries {gb(parts.libraries)}{spare}"
        ),
        "assumed": "; ".join(needed.assumed),
    }


def need(config: Config, prompts: PromptSizes | None) -> Need:
    """Return the memory of a run of the local engine.

    Raises FileNotFoundError if the model's config.json is not on this machine.
    """
    step = _measured(config, prompts)
    engine, threads = config.engine, at_once(config)
    whole_reference = 0 if engine.lora_rank else step.weights
    resident = 0 if engine.reference_offload else whole_reference
    held = step.masters + step.moments + step.gradients
    parts = MemoryParts(
        weights=step.weights + resident,
        optimiser=0 if engine.optimiser_offload else held,
        sampling=_sampling_blocks(config) * step.sampling,
        update=threads * step.update,
        others=max(threads * step.scoring + whole_reference - resident, step.saving),
        libraries=LIBRARIES,
    )
    said = [prompt(config, prompts)[2], f"answers of {config.rollout.max_response_tokens:,} tokens"]
    if engine.device != "cpu":
        above = GPU_PIECES * (parts.peak - LIBRARIES)
        parts = parts._replace(libraries=GPU_CONTEXT + above)
        said.append(
            f"{gb(GPU_CONTEXT)} for CUDA and {GPU_PIECES:.0%} for pieces that cannot be used"
        )
    return Need(parts, tuple(said))


def _measured(config: Config, prompts: PromptSizes | None) -> StepMemory:
    tokens, picture, _ = prompt(config, prompts)
    group_size, response = config.rollout.group_size or 1, config.rollout.max_response_tokens
    rows = block(config, tokens)
    problems = max(1, rows // group_size)
    update = PassShape(problems, min(rows, group_size), tokens, picture, response)
    drawn = PassShape(_sampled(config), group_size, tokens, picture, response)
    return measure(as_text(config), dry_options(config), update, drawn)


def as_text(config: Config) -> str:
    """Return the config.json of a run's model as text."""
    return json.dumps(config_of(config.model.path), sort_keys=True)


def dry_options(config: Config) -> DryOptions:
    """Return the options of the local engine that change its memory."""
    from mssr_rl.engine import lora_options
    from mssr_rl.models.chunked_scores import MemoryUse

    engine = config.engine
    return DryOptions(
        dtype=engine.dtype,
        compiled=engine.device == "cpu" and engine.dtype == "float32" and _has_kernels(),
        memory=MemoryUse(engine.logit_tokens, engine.checkpointing),
        lora=lora_options(config),
        freeze_vision=engine.freeze_vision,
    )


def _has_kernels() -> bool:
    from mssr_rl.models import native

    return native.kernels().library is not None


def prompt(config: Config, prompts: PromptSizes | None) -> tuple[int, int, str]:
    """Return the tokens of the longest prompt, those of its picture, and what was assumed."""
    longest = config.rollout.max_prompt_tokens
    if prompts is not None:
        said = f"prompts of {prompts.longest:,} tokens, the longest that was measured"
        return prompts.longest, min(prompts.image_longest, prompts.longest), said
    sees = "vision_config" in config_of(config.model.path)
    picture = max(0, longest - TEXT_AROUND) if sees else 0
    said = f"prompts of {longest:,} tokens"
    return longest, picture, said + (f", {picture:,} of them pictures" if picture else "")


def block(config: Config, prompt_tokens: int) -> int:
    """Return the number of rollouts in one pass of the local engine, for prompts of this length."""
    group_size, rollout = config.rollout.group_size or 1, config.rollout
    if (most := config.train.micro_tokens) is not None:
        return max(1, (most - prompt_tokens) // rollout.max_response_tokens)
    if config.engine.device != "cpu":  # whole groups, also where a group is larger
        return max(1, config.train.micro_batch // group_size) * group_size
    tokens = Tokens(prompt_tokens, group_size * rollout.max_response_tokens)
    most_problems = config.train.samples_per_update // group_size
    return group_size * min(
        problems_together(config.train.micro_batch, group_size, tokens), -(-most_problems // 2)
    )


def _sampled(config: Config) -> int:
    """Return the number of problems that the local engine samples together."""
    from mssr_rl.engine.local import SAMPLED_TOGETHER

    group_size = config.rollout.group_size or 1
    problems = config.train.rollouts_per_step // group_size
    return min(problems, max(1, SAMPLED_TOGETHER * config.train.micro_batch // group_size))


def _sampling_blocks(config: Config) -> int:
    """Return how many blocks are sampled at the same time."""
    problems = config.train.rollouts_per_step // (config.rollout.group_size or 1)
    return min(at_once(config), -(-problems // _sampled(config)))


def at_once(config: Config) -> int:
    """Return how many micro-batches the local engine computes in parallel (`engine.cores`)."""
    return config.engine.threads if config.engine.device == "cpu" else 1


def device_bytes(config: Config) -> float | None:
    """Return the memory of the device that trains; None if it is not known.

    `engine.memory_gb` comes first, then the GPU of this machine.
    """
    if config.engine.memory_gb is not None:
        return config.engine.memory_gb * GIB
    if not config.engine.device.startswith("cuda"):
        return None
    import torch

    if not torch.cuda.is_available():
        return None
    total: int = torch.cuda.get_device_properties(config.engine.device).total_memory
    return total


# ---- what would make it fit ------------------------------------------------------------------


def _too_large(config: Config, prompts: PromptSizes | None, sizes: tuple[float, float]) -> str:
    peak, room = sizes
    says = f"this run needs about {gb(peak)} on {config.engine.device}, which has {gb(room)}; "
    for words, smaller in _smaller(config, prompts):
        if need(smaller, prompts).parts.peak <= room:
            return f"{says}with {words} it fits"
    return (
        f"{says}it does not fit with any option of memory either: take a smaller model or shorter "
        "answers (rollout.max_response_tokens)"
    )


def _smaller(config: Config, prompts: PromptSizes | None) -> Iterator[tuple[str, Config]]:
    """Yield configs that need less and less memory, and the options that were added."""
    tokens = prompt(config, prompts)[0]
    one = tokens + config.rollout.max_response_tokens
    steps: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        ("engine.checkpointing=true", {"checkpointing": True}, {}),
        (f"train.micro_tokens={one}", {}, {"micro_tokens": one}),
        ("train.micro_batch=1", {}, {"micro_batch": 1}),
    ]
    if config.engine.device != "cpu":
        steps.append(("engine.dtype=bfloat16", {"dtype": "bfloat16"}, {}))
        if not config.engine.lora_rank:
            steps += [
                ("engine.optimiser_offload=true", {"optimiser_offload": True}, {}),
                ("engine.reference_offload=true", {"reference_offload": True}, {}),
            ]
    added: list[str] = []
    for word, engine, train in steps:
        changed = replace(
            config,
            engine=replace(config.engine, **engine),
            train=replace(config.train, **train),
        )
        if changed != config:
            added.append(word)
            config = changed
            yield " ".join(added), config
    lora: dict[str, Any] = {
        "lora_rank": 16,
        "reference_offload": False,
        "optimiser_offload": False,
    }
    if not config.engine.lora_rank:
        added = [word for word in added if "offload" not in word] + ["engine.lora_rank=16"]
        yield " ".join(added), replace(config, engine=replace(config.engine, **lora))


def gb(size: float) -> str:
    """Return a number of bytes as text, in units of 2^30 bytes."""
    return f"{size / GIB:.2f} GB"
