"""LoRA (arXiv 2106.09685): train two small matrices for each weight, and freeze the weight itself.

Each weight W of a linear layer gets matrices A and B, and the layer computes with
W + alpha / rank * B A. B starts at 0, so the policy starts as the model. Without the matrices the
policy is the reference model, so no second copy is needed. peft adds the matrices; they are here
called adapters.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file
from torch import Tensor

from mssr_rl.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ADAPTER = "default"
FOLDER, WEIGHTS, SETTINGS = "adapter", "adapter_model.safetensors", "adapter_config.json"


class LoraOptions(NamedTuple):
    """The rank and scale of the adapters, and the layers that get them."""

    rank: int
    alpha: int
    targets: Sequence[str] = ()  # names such as q_proj; empty: all linear layers
    language_only: bool = False  # none in the vision tower
    seed: int = 0  # of the matrices A


class Adapters:
    """The adapters of a model, which this class adds to it in place."""

    def __init__(self, model: "PreTrainedModel", options: LoraOptions) -> None:
        self.model = model
        self.config = _config(model, options)
        try:
            # peft draws random numbers that `_draw` replaces; nobody else's draws must change.
            with torch.random.fork_rng(devices=[]):
                inject_adapter_in_model(self.config, model, ADAPTER)
        except ValueError as error:
            raise UserError(
                f"engine.lora_targets={list(options.targets)} names no linear layer of "
                f"{type(model).__name__} ({str(error).splitlines()[0][:200]}); leave it out for all"
            ) from error
        self.layers = [layer for _, layer in lora_layers(model)]
        _draw(self.layers, options.seed)

    @contextmanager
    def off(self) -> Iterator[None]:
        """Let the model compute without its adapters, as the reference model, in a `with` block.

        All threads see the change, so no other pass may run in the meantime.
        """
        for layer in self.layers:
            layer.enable_adapters(False)
        try:
            yield
        finally:
            for layer in self.layers:
                layer.enable_adapters(True)

    def save(self, folder: Path, weights: Mapping[str, Tensor]) -> None:
        """Write `adapter/` in peft's layout, from the adapters' float32 weights by their names."""
        place = folder / FOLDER
        place.mkdir(parents=True, exist_ok=True)
        save_file(
            {_peft_name(n): w.detach().contiguous() for n, w in weights.items()}, place / WEIGHTS
        )
        self.config.save_pretrained(str(place))

    @torch.no_grad()
    def load(self, folder: Path, weights: Mapping[str, Tensor]) -> None:
        """Set these weights to those that `save` wrote.

        Raises UserError if the checkpoint has no adapters, or has others.
        """
        file = folder / FOLDER / WEIGHTS
        if not file.is_file():
            raise UserError(
                f"{folder} has no {FOLDER}/{WEIGHTS}: it was written without engine.lora_rank; "
                "resume without it, or take its policy/ as model.path of a new run"
            )
        saved = load_file(file)
        shapes = {_peft_name(name): w.shape for name, w in weights.items()}
        if {name: w.shape for name, w in saved.items()} != shapes:
            raise UserError(
                f"{file} holds adapters of other layers or another rank; resume with the "
                "engine.lora_rank and engine.lora_targets of the run that wrote it"
            )
        for name, weight in weights.items():
            weight.copy_(saved[_peft_name(name)])


def _config(model: "PreTrainedModel", options: LoraOptions) -> LoraConfig:
    settings: dict[str, Any] = {}
    if options.language_only and (apart := outside_language(model)):
        settings["exclude_modules"] = "|".join(rf"{name}\..*" for name in apart)
    return LoraConfig(
        r=options.rank,
        lora_alpha=options.alpha,
        target_modules=list(options.targets) or "all-linear",
        lora_dropout=0.0,
        **settings,
    )


@torch.no_grad()
def _draw(layers: Sequence[Any], seed: int) -> None:
    """Draw the matrices A as peft does, from a generator of our own; B is 0."""
    generator = torch.Generator().manual_seed(seed)
    for layer in layers:
        a = layer.lora_A[ADAPTER].weight
        drawn = torch.empty(a.shape, dtype=torch.float32, device="cpu")
        a.copy_(torch.nn.init.kaiming_uniform_(drawn, a=5**0.5, generator=generator))


def outside_language(model: "PreTrainedModel") -> list[str]:
    """Return the names of the modules beside the language model: vision tower and projector.

    The list is empty for a model of text.
    """
    language = model.get_decoder()
    core = model.base_model
    return [
        f"{model.base_model_prefix}.{name}"
        for name, module in core.named_children()
        if module is not language
        and language is not core
        and any(True for _ in module.parameters())
    ]


def freeze_vision(model: "PreTrainedModel") -> None:
    """Freeze all weights beside the language model and its output layer.

    Raises UserError if there are none.
    """
    apart = outside_language(model)
    if not apart:
        raise UserError(
            f"engine.freeze_vision=true has no effect: {type(model).__name__} has no vision tower; "
            "leave it out"
        )
    for name in apart:
        model.get_submodule(name).requires_grad_(False)


def lora_layers(model: torch.nn.Module) -> list[tuple[str, Any]]:
    """Return (name, layer) of the layers of a model that have adapters."""
    return [(name, layer) for name, layer in model.named_modules() if isinstance(layer, LoraLayer)]


@torch.no_grad()
def whole(model: torch.nn.Module) -> dict[str, Tensor]:
    """Return {name: weight} of a model with its adapters added, under the model's own names.

    The model's own weights are not changed. They must be whole on this rank, so the config refuses
    LoRA together with ZeRO-3.
    """
    layers = dict(lora_layers(model))
    merged = {}
    for name, weight in model.named_parameters():
        owner, _, last = name.rpartition(".base_layer.")
        if ".lora_" in name:
            continue
        own = f"{owner}.{last}" if owner else name
        merged[own] = whole_weight(layers[owner]) if owner and last == "weight" else weight
    return merged


@torch.no_grad()
def whole_weight(layer: Any) -> Tensor:
    """Return the weight of a layer with adapters: their product is added, unless they are off."""
    weight: Tensor = layer.get_base_layer().weight
    return weight if layer.disable_adapters else weight + layer.get_delta_weight(ADAPTER)


def _peft_name(name: str) -> str:
    return f"base_model.model.{name}".replace(f".{ADAPTER}.", ".")
