"""Load model folders in the `save_pretrained` layout, and pick their model family."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import transformers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoTokenizer,
    GenerationConfig,
)
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
)

from mssr_rl.config.schema import Config
from mssr_rl.errors import UserError
from mssr_rl.models import bounds, families, qwen2_5_vl
from mssr_rl.models.chat import ChatEncoder
from mssr_rl.models.encode import PromptEncoder
from mssr_rl.models.family import Family, PictureRule
from mssr_rl.models.general import Described
from mssr_rl.models.processor import read_processor, save_processor
from mssr_rl.models.vetting import DATA_ONLY, local_folder
from mssr_rl.models.vocabulary import Vocabulary

if TYPE_CHECKING:
    from transformers import (
        PreTrainedConfig,
        PreTrainedModel,
        PreTrainedTokenizerBase,
        ProcessorMixin,
    )

transformers.utils.logging.disable_progress_bar()


class Wanted(NamedTuple):
    """The settings of a config that choose the model."""

    path: str
    min_pixels: int | None = None  # bounds for pictures; None: the model's own
    max_pixels: int | None = None
    max_prompt_tokens: int = 1024
    remember: bool = True  # keep encoded prompts for the next time


def wanted(config: Config, *, remember: bool = True) -> Wanted:
    """Return the settings of a run's config that choose the model."""
    model, longest = config.model, config.rollout.max_prompt_tokens
    return Wanted(model.source, model.min_pixels, model.max_pixels, longest, remember)


def load_model(path: str, device: str, dtype: str) -> "PreTrainedModel":
    """Return the model of a folder on a device, with weights in the precision `dtype`.

    Raises:
        UserError: the folder cannot be loaded, or its model does not answer in text.
    """
    folder = local_folder(path)
    auto = AutoModelForImageTextToText if sees(read_config(path)) else AutoModelForCausalLM
    with _built_from(path):  # weights are read as safetensors; pickle could run code
        model, info = auto.from_pretrained(
            folder,
            dtype=getattr(torch, dtype),
            **DATA_ONLY,
            use_safetensors=True,
            output_loading_info=True,
        )
    _refuse_gaps(path, info)
    return model.to(device).eval()  # no dropout, so that rollout and training use one policy


def _refuse_gaps(path: str, info: dict[str, Any]) -> None:
    """Raise UserError if weights are missing or have another shape.

    transformers would fill them with random numbers and only warn. `info` is its loading report.
    """
    lacking = sorted(info.get("missing_keys", ()))
    misfit = sorted(str(key) for key in info.get("mismatched_keys", ()))
    if lacking or misfit:
        what = f"lacks {len(lacking)} weights" if lacking else f"has {len(misfit)} of another shape"
        raise UserError(
            f"model.path={path} {what}, such as {(lacking or misfit)[0]}: they would be random "
            "numbers; take a whole folder, or one whose config.json describes its weights"
        )


def read_config(path: str) -> "PreTrainedConfig":
    """Return the config of the model at `path`.

    Raises:
        UserError: it cannot be read, or the model does not answer in text.
    """
    with _built_from(path):
        config = AutoConfig.from_pretrained(local_folder(path), **DATA_ONLY)
    bounds.refuse_surplus(local_folder(path), config.to_dict())
    known = sees(config) or type(config) in MODEL_FOR_CAUSAL_LM_MAPPING
    if not known or getattr(config, "is_encoder_decoder", False):
        raise UserError(
            f"model.path={path} is a {config.model_type} model, which transformers "
            f"{transformers.__version__} does not know as one that continues a text; take a "
            "language model or a vision-language model"
        )
    return config


def sees(config: "PreTrainedConfig") -> bool:
    """Return whether the model takes pictures."""
    return type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING


def load_processor(
    path: str, min_pixels: int | None = None, max_pixels: int | None = None
) -> "ProcessorMixin":
    """Return the processor of a model folder, with the given bounds for picture sizes.

    Raises UserError if the bounds are wider than the model's own: a sampler that uses the model's
    own bounds would scale the pictures again.
    """
    families.of(read_config(path).model_type).ready()
    with _built_from(path):
        processor = read_processor(local_folder(path))
    if min_pixels is None and max_pixels is None:
        return processor
    size = processor.image_processor.size
    low, high = getattr(size, "shortest_edge", None), getattr(size, "longest_edge", None)
    if not hasattr(processor.image_processor, "merge_size") or low is None or high is None:
        raise UserError(
            f"model.min_pixels and model.max_pixels bound pictures of models that take them in any "
            f"size; {type(processor).__name__} scales all to its own, so leave them out"
        )
    limits = (min_pixels or low, max_pixels or high)
    if not low <= limits[0] <= limits[1] <= high:
        raise UserError(
            f"model.min_pixels={limits[0]} and model.max_pixels={limits[1]} must lie, in this "
            f"order, between the bounds of the model's own processor, {low} and {high}"
        )
    size.shortest_edge, size.longest_edge = limits
    return processor


def family_of(model: "PreTrainedModel", wanted: Wanted) -> Family:
    """Return the model family of a loaded model."""
    described = Described(model.config, type(model))
    return _family(described, wanted, lambda: (model.generation_config, model.device))


def family_of_folder(wanted: Wanted) -> Family:
    """Return the model family of a folder, to encode prompts; no weights are loaded."""
    config = read_config(wanted.path)
    mapping = MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING if sees(config) else MODEL_FOR_CAUSAL_LM_MAPPING
    described = Described(config, mapping[type(config)])
    return _family(described, wanted, lambda: (read_generation(wanted.path), "cpu"))


def read_generation(path: str) -> GenerationConfig:
    """Return the generation config of a model folder.

    If the folder has none, it is derived from the model's config.
    """
    folder = local_folder(path)
    with _built_from(path):
        if (folder / "generation_config.json").exists():  # a folder may leave it out
            return GenerationConfig.from_pretrained(folder)
        return GenerationConfig.from_model_config(read_config(path))


def _family(
    described: Described,
    wanted: Wanted,
    generation: Callable[[], tuple[GenerationConfig, torch.device | str]],
) -> Family:
    config, bounds = described.config, (wanted.min_pixels, wanted.max_pixels)
    processor = load_processor(wanted.path, *bounds) if sees(config) else None
    if processor is None and any(bounds):
        raise UserError(
            f"model.min_pixels and model.max_pixels have no effect: {wanted.path} reads text only"
        )
    longest = wanted.max_prompt_tokens
    generation_config, device = generation()
    if qwen2_5_vl.knows(config):
        prompt_encoder = PromptEncoder(processor, longest, remember=wanted.remember)
        return qwen2_5_vl.Qwen25VL(
            prompt_encoder, Vocabulary.read(config, generation_config, device)
        )
    tokenizer = processor.tokenizer if processor else _tokenizer(wanted.path)
    encoder = ChatEncoder(processor, tokenizer, longest, remember=wanted.remember)
    vocabulary = Vocabulary.read(config, generation_config, device, tokenizer)
    return families.of(config.model_type)(described, encoder, vocabulary)


def _tokenizer(path: str) -> "PreTrainedTokenizerBase":
    with _built_from(path):
        return AutoTokenizer.from_pretrained(local_folder(path), **DATA_ONLY)


def picture_rule(wanted: Wanted) -> PictureRule:
    """Return the rule that decides which sizes of pictures a folder's model accepts."""
    return family_of_folder(wanted).picture_rule()


def processor_of(config: Config) -> "ProcessorMixin":
    """Return the processor of a run's model, with the run's bounds for picture sizes."""
    model = config.model
    return load_processor(model.source, model.min_pixels, model.max_pixels)


def save_model(model: "PreTrainedModel", processor: "ProcessorMixin", folder: Path) -> None:
    """Write weights, config, tokenizer and processor; the folder loads without other files."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    save_processor(processor, folder)


@contextmanager
def _built_from(path: str) -> Iterator[None]:
    """Run a block that loads from a model folder, and raise UserError for every error in it.

    A wrong value in a config can fail in many ways. `bounds` finds most wrong values first, with
    better messages.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as problem:
        raise _unloadable(path, problem) from problem


def _unloadable(path: str, problem: Exception) -> UserError:
    kind = "" if isinstance(problem, OSError | ValueError) else f"{type(problem).__name__}: "
    return UserError(
        f"model.path={path} could not be loaded ({kind}{_first_line(problem)}); give a folder in "
        "the save_pretrained layout, a model id your machine can reach, or `tiny`"
    )


def _first_line(problem: Exception) -> str:
    return (str(problem).strip() or type(problem).__name__).splitlines()[0]
