"""How much memory a run will take, from the model's files alone: nothing is loaded.

An estimate, and says so. For `plan`.

Shapes: M sequences of a micro-batch, L tokens of one, D hidden size, V vocabulary.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mssr_rl import untrusted
from mssr_rl.config import Config
from mssr_rl.engine.blocks import Tokens, problems_together
from mssr_rl.errors import UserError
from mssr_rl.models import bounds, model_folder

GIB = 2**30
LIBRARIES = 0.9 * GIB  # Python with torch, transformers and the rest, measured on Linux
BYTES = {"float32": 4, "bfloat16": 2}
ACTIVATIONS = 34  # numbers kept per layer, token and hidden unit: a rule of thumb
PUBLISHED = {  # of models that are usually not on the machine that plans
    "Qwen/Qwen2.5-VL-3B-Instruct": (3_754_622_976, 36, 2048, 151_936),
    "Qwen/Qwen2.5-VL-7B-Instruct": (8_292_166_656, 28, 3584, 152_064),
}
LOGITS = 3  # numbers kept per response token and word: log-probability, gradient, entropy


class ModelShape(NamedTuple):
    """What the estimate needs to know of a model."""

    kind: str
    parameters: int
    layers: int
    hidden: int
    vocabulary: int


class MemoryParts(NamedTuple):
    """Bytes by what they are for."""

    weights: float  # policy and frozen reference
    optimiser: float  # gradients and AdamW's two moments
    update: float  # one micro-batch, forward and backward

    @property
    def total(self) -> float:
        """With the libraries."""
        return LIBRARIES + sum(self)


def describe(path: str) -> str:
    """The model in words; one that is not on this machine is named and marked."""
    try:
        found = shape(Path(model_folder(path)))
    except FileNotFoundError:
        return f"{path}: not on this machine"
    return f"{path}: {found.kind} of {found.parameters / 1e6:,.1f} M parameters"


def estimate(config: Config, prompt_tokens: int) -> str:
    """The memory in words, for prompts of at most so many tokens."""
    try:
        found = parts(config, shape(Path(model_folder(config.model.path))), prompt_tokens)
    except FileNotFoundError:
        return "unknown: the model is not on this machine"
    return (
        f"about {found.total / GIB:.1f} GB: weights {_gb(found.weights)}, gradients and AdamW "
        f"{_gb(found.optimiser)}, {at_once(config)} x {block(config, prompt_tokens)} rollouts in "
        f"training {_gb(found.update)}, the libraries {_gb(LIBRARIES)}"
    )


def parts(config: Config, model: ModelShape, prompt_tokens: int) -> MemoryParts:
    """Bytes, if every prompt is so long and every response as long as allowed."""
    width, rows = BYTES[config.engine.dtype], at_once(config) * block(config, prompt_tokens)
    prompts = -(-rows // (config.rollout.group_size or 1))
    return MemoryParts(
        weights=2 * model.parameters * width,
        # Adam's two, the gradient, and what each micro-batch at work adds to it
        optimiser=(3 + at_once(config)) * model.parameters * width,
        update=update_bytes(config, model, rows, prompts * prompt_tokens),
    )


def block(config: Config, prompt_tokens: int) -> int:
    """Rollouts in a pass of the local engine, if prompts and responses are that long."""
    group_size, rollout = config.rollout.group_size or 1, config.rollout
    if config.engine.device != "cpu":
        return config.train.micro_batch
    tokens = Tokens(prompt_tokens, group_size * rollout.max_response_tokens)
    return group_size * problems_together(config.train.micro_batch, group_size, tokens)


def at_once(config: Config) -> int:
    """Micro-batches that the local engine works on side by side (`engine.workers`)."""
    return config.engine.threads if config.engine.device == "cpu" else 1


def update_bytes(config: Config, model: ModelShape, rows: int, prompt_tokens: int) -> float:
    """Forward and backward of so many responses, on so many prompt tokens in all."""
    responses = rows * config.rollout.max_response_tokens
    layers = ACTIVATIONS * model.layers * model.hidden * (responses + prompt_tokens)
    logits = LOGITS * responses * model.vocabulary
    return (layers + logits) * BYTES[config.engine.dtype]


def known_shape(path: str) -> ModelShape | None:
    """The model's shape from its files or as it was published; None if neither is known."""
    try:
        return shape(Path(model_folder(path)))
    except FileNotFoundError:
        return ModelShape("qwen2_5_vl", *PUBLISHED[path]) if path in PUBLISHED else None


def shape(folder: Path) -> ModelShape:
    """Read from `config.json` and the headers of the weight files; FileNotFoundError if absent."""
    config = untrusted.document(folder / "config.json")
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise FileNotFoundError(f"no weights in {folder}")
    text = config.get("text_config", config)
    names = ("num_hidden_layers", "hidden_size", "vocab_size")
    if any(name not in text for name in names):
        text = _with_defaults(folder, names)
    return ModelShape(
        kind=config["model_type"],
        parameters=sum(map(bounds.parameters, files)),
        layers=text["num_hidden_layers"],
        hidden=text["hidden_size"],
        vocabulary=text["vocab_size"],
    )


def _with_defaults(folder: Path, names: Sequence[str]) -> dict[str, int]:
    """What a config leaves out is its class's default."""
    from mssr_rl.models.load import read_config

    text = read_config(str(folder)).get_text_config()
    found = {name: getattr(text, name, None) for name in names}
    missing = [name for name, value in found.items() if value is None]
    if missing:
        raise UserError(f"{folder / 'config.json'} has no {missing[0]}: not a language model?")
    return {name: int(value) for name, value in found.items() if value is not None}


def _gb(size: float) -> str:
    return f"{size / GIB:.2f} GB"
