"""Check the sizes in the JSON files of a model folder before anything is built from them.

A config file can give a million layers, or a text, null or a negative number as a size. Each
library fails in its own way on such values. Here every field that is a size has bounds, which are
far beyond all published models. A value out of bounds raises one clear UserError.
"""

import json
import math
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mssr_rl import untrusted
from mssr_rl.errors import UserError

FILE_BYTES = 2**22  # of one such file; published ones have a few kilobytes
HEADER_BYTES = 10**8  # of a safetensors file; its own library has the same limit
LONGEST = 100_000  # entries of a list of numbers, such as forbidden tokens
SURPLUS = 20  # a config with this many times the files' numbers is another model's
SMALL = 10**8  # numbers of a model that is small enough in any case


class Field(NamedTuple):
    """The allowed range of a number in a config, and whether it must be a whole number."""

    low: float
    high: float
    whole: bool = True

    def fault(self, value: Any) -> str | None:
        """Return a phrase that says why a value is not allowed; None if it is allowed."""
        kinds = (int,) if self.whole else (int, float)
        # Not `isinstance`: to Python, true is an integer.
        if type(value) not in kinds:
            return f"is {_short(value)}, no {'whole ' * self.whole}number"
        if not self.low <= value <= self.high:
            return f"is {_short(value)}, not from {self.low:g} to {self.high:g}"
        return None


LAYERS, WIDTH, WIDER = Field(1, 1000), Field(1, 2**16), Field(1, 2**20)
HEADS, SHARE, SIDE = Field(1, 4096), Field(0, 1, whole=False), Field(1, 2**14)
EPSILON, TOKEN = Field(0, 1, whole=False), Field(-1, 2**24)

FIELDS: Mapping[str, Field] = {
    **dict.fromkeys(("num_hidden_layers", "num_layers", "n_layer", "n_layers", "depth"), LAYERS),
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "embed_dim", "out_hidden_size",
                     "projection_dim", "hidden_dim"), WIDTH),
    **dict.fromkeys(("intermediate_size", "moe_intermediate_size", "ffn_dim", "d_ff", "n_inner",
                     "shared_expert_intermediate_size"), WIDER),
    **dict.fromkeys(("num_attention_heads", "num_key_value_heads", "num_heads", "n_head",
                     "head_dim"), HEADS),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts",
                     "num_experts_per_tok"), Field(0, 4096)),
    **dict.fromkeys(("in_channels", "num_channels"), Field(1, 64)),
    **dict.fromkeys(("patch_size", "temporal_patch_size", "spatial_merge_size", "merge_size",
                     "spatial_patch_size"), Field(1, 256)),
    **dict.fromkeys(("image_size", "window_size"), SIDE),
    **dict.fromkeys(("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon"), EPSILON),
    **dict.fromkeys(("attention_dropout", "hidden_dropout", "dropout"), SHARE),
    **dict.fromkeys(("eos_token_id", "bos_token_id", "pad_token_id", "image_token_id",
                     "video_token_id", "image_token_index", "suppress_tokens"), TOKEN),
    "vocab_size": Field(1, 2**22),
    "max_position_embeddings": Field(1, 2**28),
    "rope_theta": Field(1e-3, 1e15, whole=False),
    "initializer_range": Field(0, 100, whole=False),
    "rescale_factor": Field(1e-9, 1e9, whole=False),
    "image_mean": Field(-1e6, 1e6, whole=False),
    "image_std": Field(1e-9, 1e6, whole=False),
    "shortest_edge": Field(1, 2**40),
    "longest_edge": Field(1, 2**40),
}  # fmt: skip
TEXTS = ("model_type", "hidden_act", "processor_class", "tokenizer_class", "dtype", "torch_dtype")
ROPE = "rope_scaling"  # null in many published models
SECTIONS = ("text_config", "vision_config", "rope_parameters", ROPE)
PRECISIONS = frozenset({"float32", "bfloat16", "float16", "float64", "auto"})
FILES = (
    "config.json", "generation_config.json", "processor_config.json", "preprocessor_config.json",
    "video_preprocessor_config.json", "tokenizer_config.json",
)  # fmt: skip


def check_bounds(folder: Path) -> None:
    """Raise UserError if a value in a model folder's JSON files is out of bounds.

    The headers of the safetensors files and the tokens of the generation config are checked too.
    """
    contents = {}
    for name in FILES:
        path = folder / name
        if path.exists():
            contents[name] = untrusted.parsed(untrusted.content(path, FILE_BYTES), str(path))
            _check_file(path, contents[name])
    for path in sorted(folder.glob("*.safetensors")):
        parameters(path)
    config = contents.get("config.json", {})
    _check_words(folder, config, contents.get("generation_config.json", {}))
    refuse_surplus(folder, config)


def parameters(path: Path) -> int:
    """Return how many numbers a safetensors file holds; only its header is read.

    Raises UserError if the file is not a safetensors file.
    """
    with untrusted.opened(path, untrusted.STREAM_BYTES) as stream:
        head = stream.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
        if not 2 <= length <= HEADER_BYTES:
            raise UserError(f"{path} could not be loaded: it is not a safetensors file")
        header = stream.read(length)
    try:
        entries = json.loads(header)
        shapes = [entry["shape"] for name, entry in entries.items() if name != "__metadata__"]
        return sum(math.prod(shape) for shape in shapes)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UserError(f"{path} could not be loaded: it is not a safetensors file") from error


def _check_file(path: Path, tree: Any) -> None:
    if not isinstance(tree, dict):
        raise UserError(f"{path} must hold one JSON object")
    for where, key, value in _entries(tree):
        if (fault := _fault(key, value)) is not None:
            raise UserError(f"{path} is refused: {where} {fault}; no published model has that")


def _fault(key: str, value: Any) -> str | None:
    """Return a phrase that says why an entry is refused; None if it is allowed.

    A null number is allowed, because the library then uses its default.
    """
    if key in SECTIONS and not isinstance(value, dict | None if key == ROPE else dict):
        return f"is {_short(value)}, no section"
    if value is None:
        return None
    if key in FIELDS:
        return _number_fault(FIELDS[key], value)
    return _text_fault(key, value)


def _text_fault(key: str, value: Any) -> str | None:
    if key in TEXTS and not (isinstance(value, str) and 0 < len(value) <= 100):
        return f"is {_short(value)}, no name"
    if key in ("dtype", "torch_dtype") and str(value).removeprefix("torch.") not in PRECISIONS:
        return f"is {_short(value)}, none of {', '.join(sorted(PRECISIONS))}"
    if key in ("attn_implementation", "_attn_implementation") and "/" in str(value):
        return f"is {_short(value)}, code to be fetched from elsewhere"
    return None


def _number_fault(field: Field, value: Any) -> str | None:
    if isinstance(value, dict):
        return None  # its entries are checked one by one
    several = value if isinstance(value, list) else [value]
    if len(several) > LONGEST:
        return f"has {len(several):,} entries"
    return next((fault for one in several if (fault := field.fault(one)) is not None), None)


def _entries(tree: Any, path: str = "") -> Iterator[tuple[str, str, Any]]:
    """Yield (dotted path, key, value) for every entry of a JSON object, at any depth."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            where = f"{path}.{key[:80]}" if path else key[:80]
            yield where, key, value
            yield from _entries(value, where)
    elif isinstance(tree, list):
        for value in tree:
            if isinstance(value, dict | list):
                yield from _entries(value, path)


def _check_words(folder: Path, config: Mapping[str, Any], generation: Mapping[str, Any]) -> None:
    """Raise UserError if the generation config names a token that is not in the vocabulary."""
    vocabulary = _section(config, "text_config").get("vocab_size")
    for key in ("eos_token_id", "pad_token_id", "bos_token_id", "suppress_tokens"):
        value = generation.get(key)
        several = value if isinstance(value, list) else [] if value is None else [value]
        if vocabulary is not None and any(token >= vocabulary for token in several):
            raise UserError(
                f"{folder / 'generation_config.json'} is refused: {key} names a token beyond the "
                f"vocabulary of {vocabulary:,}"
            )


def refuse_surplus(folder: Path, config: Mapping[str, Any]) -> None:
    """Raise UserError if a config describes far more parameters than the folder's files hold.

    The missing weights would be random numbers. Call this function again after a library has
    filled in its defaults: some families' defaults describe a model of 70 billion parameters.
    """
    files = sorted(folder.glob("*.safetensors"))
    there, described = sum(map(parameters, files)), about(config)
    if files and described > max(SMALL, SURPLUS * there):
        raise UserError(
            f"{folder / 'config.json'} is refused: it describes a model of about "
            f"{described / 1e6:,.0f} M parameters, and the folder's files hold {there / 1e6:,.1f} M"
        )


def about(config: Mapping[str, Any]) -> float:
    """Return the approximate number of parameters of the transformer that a config describes."""
    sections = [config, *(value for value in config.values() if isinstance(value, dict))]
    return sum(map(_of_section, sections))


def _of_section(section: Mapping[str, Any]) -> float:
    def largest(*names: str) -> float:
        values = (section.get(name) for name in names)
        several = (one for v in values for one in (v if isinstance(v, list) else [v]))
        return max((one for one in several if isinstance(one, int)), default=0)

    layers = largest("num_hidden_layers", "num_layers", "n_layer", "n_layers", "depth")
    # PaliGemma's outer section repeats the sizes of the inner ones but has no layers.
    if not layers:
        return 0
    width = largest("hidden_size", "d_model", "n_embd", "embed_dim")
    wider = largest("intermediate_size", "moe_intermediate_size", "ffn_dim", "d_ff") or 4 * width
    experts = largest("num_experts", "num_local_experts", "n_routed_experts") or 1
    return layers * (2 * width**2 + 2 * experts * width * wider) + width * largest("vocab_size")


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = config.get(name)
    return section if isinstance(section, dict) else config


def _short(value: Any) -> str:
    if isinstance(value, dict | list):
        return f"a {'section' if isinstance(value, dict) else 'list'}"
    return repr(value)[:40]
