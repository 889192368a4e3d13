"""Estimate the memory of a run from the model's files, for `plan`; no weights are loaded."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mssr_rl import untrusted
from mssr_rl.config import Config
from mssr_rl.engine.blocks import Tokens, problems_together
from mssr_rl.errors import UserError
from mssr_rl.models import bounds, model_folder
from mssr_rl.models.chunked_scores import MemoryUse

GIB = 2**30
LIBRARIES = 0.9 * GIB  # Python with torch, transformers and other libraries, measured on Linux
BYTES = {"float32": 4, "bfloat16": 2}
ACTIVATIONS = 34  # numbers kept per layer, token and hidden unit; a rule of thumb
PUBLISHED = {  # shapes of models that are usually not on the machine that makes the plan
    "Qwen/Qwen2.5-VL-3B-Instruct": (3_754_622_976, 36, 2048, 151_936),
    "Qwen/Qwen2.5-VL-7B-Instruct": (8_292_166_656, 28, 3584, 152_064),
}
CHECKPOINTED = 2  # numbers kept per layer, token and hidden unit with engine.checkpointing
# Bytes per logit that exists at once, in float32 for all weights. By compiled kernels: logits,
# gradients and a copy. By torch: as MemTracker counts 4,096 tokens of a vocabulary of 151,936.
COMPILED_LOGIT, TORCH_LOGIT = 12, 20


class ModelShape(NamedTuple):
    """The type and the sizes of a model that the estimate needs."""

    kind: str
    parameters: int
    layers: int
    hidden: int
    vocabulary: int


class MemoryParts(NamedTuple):
    """The estimated memory of a run, by its use [bytes]."""

    weights: float  # policy and frozen reference
    optimiser: float  # gradients and AdamW's two moments
    update: float  # one micro-batch, forward and backward

    @property
    def total(self) -> float:
        """The sum of all parts and of the memory of the libraries [bytes]."""
        return LIBRARIES + sum(self)


def describe(path: str) -> str:
    """Return the plan's text about a model: its path, kind and number of parameters.

    If the model is not on this machine, the text says so.
    """
    try:
        model = shape(Path(model_folder(path)))
    except FileNotFoundError:
        return f"{path}: not on this machine"
    return f"{path}: {model.kind} of {model.parameters / 1e6:,.1f} M parameters"


def estimate(config: Config, prompt_tokens: int) -> str:
    """Return the plan's text about the memory of a run, for prompts of `prompt_tokens` tokens."""
    try:
        needed = parts(config, shape(Path(model_folder(config.model.path))), prompt_tokens)
    except FileNotFoundError:
        return "unknown: the model is not on this machine"
    return (
        f"about {needed.total / GIB:.1f} GB: weights {_gb(needed.weights)}, gradients and AdamW "
        f"{_gb(needed.optimiser)}, {at_once(config)} x {block(config, prompt_tokens)} rollouts in "
        f"training {_gb(needed.update)}, the libraries {_gb(LIBRARIES)}"
    )


def parts(config: Config, model: ModelShape, prompt_tokens: int) -> MemoryParts:
    """Return the estimated memory of the local engine, by its use.

    It is for prompts of `prompt_tokens` tokens and responses of the maximal length.
    """
    width, rows = BYTES[config.engine.dtype], at_once(config) * block(config, prompt_tokens)
    prompts = -(-rows // (config.rollout.group_size or 1))
    return MemoryParts(
        weights=2 * model.parameters * width,
        # In float32: AdamW's two moments, the gradient and the copy of bfloat16 weights. Then a
        # gradient for each parallel micro-batch.
        optimiser=(12 + (4 if width < 4 else 0) + at_once(config) * width) * model.parameters,
        update=update_bytes(config, model, rows, prompts * prompt_tokens),
    )


def block(config: Config, prompt_tokens: int) -> int:
    """Return the number of rollouts in one pass of the local engine, for prompts of this length."""
    group_size, rollout = config.rollout.group_size or 1, config.rollout
    if (most := config.train.micro_tokens) is not None:
        return max(1, (most - prompt_tokens) // rollout.max_response_tokens)
    if config.engine.device != "cpu":  # whole groups, also where a group is larger
        return max(1, config.train.micro_batch // group_size) * group_size
    tokens = Tokens(prompt_tokens, group_size * rollout.max_response_tokens)
    return group_size * problems_together(config.train.micro_batch, group_size, tokens)


def at_once(config: Config) -> int:
    """Return how many micro-batches the local engine computes in parallel (`engine.cores`)."""
    return config.engine.threads if config.engine.device == "cpu" else 1


def update_bytes(config: Config, model: ModelShape, rows: int, prompt_tokens: int) -> float:
    """Return the memory of a forward and a backward pass over `rows` responses [bytes].

    `prompt_tokens` is the number of tokens in all prompts together.
    """
    responses = rows * config.rollout.max_response_tokens
    unit = model.hidden * (responses + prompt_tokens) * BYTES[config.engine.dtype]
    kept, layers = (ACTIVATIONS, model.layers)
    if config.engine.checkpointing:  # each layer's input, its keys and values; one layer whole
        kept, layers = CHECKPOINTED * model.layers + ACTIVATIONS, 1
    return kept * layers * unit + logit_bytes(config, model, responses)


def logit_bytes(config: Config, model: ModelShape, responses: int) -> float:
    """Return the memory for the logits of response tokens, their scores and gradients [bytes].

    `responses` is the number of tokens in all responses.
    """
    if config.engine.name == "openrlhf":  # its actor computes all of them at once
        return TORCH_LOGIT * model.vocabulary * responses
    chunk = MemoryUse(config.engine.logit_tokens).tokens_at_once(model.vocabulary)
    compiled = config.engine.device == "cpu" and config.engine.dtype == "float32"
    each = COMPILED_LOGIT if compiled else TORCH_LOGIT
    return each * model.vocabulary * min(responses, at_once(config) * chunk)


def known_shape(path: str) -> ModelShape | None:
    """Return the shape of a model from its files, or from PUBLISHED; None if it is in neither."""
    try:
        return shape(Path(model_folder(path)))
    except FileNotFoundError:
        return ModelShape("qwen2_5_vl", *PUBLISHED[path]) if path in PUBLISHED else None


def shape(folder: Path) -> ModelShape:
    """Return the shape of a model from `config.json` and the headers of its weight files.

    Raises `FileNotFoundError` if these files are missing.
    """
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
    """Return entries of the model's text config, with the defaults of its class.

    Raises `UserError` if an entry is missing.
    """
    from mssr_rl.models.load import read_config

    text = read_config(str(folder)).get_text_config()
    values = {name: getattr(text, name, None) for name in names}
    missing = [name for name, value in values.items() if value is None]
    if missing:
        raise UserError(f"{folder / 'config.json'} has no {missing[0]}: not a language model?")
    return {name: int(value) for name, value in values.items() if value is not None}


def _gb(size: float) -> str:
    return f"{size / GIB:.2f} GB"
