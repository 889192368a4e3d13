"""Load and save the processor of a model folder, without its parts for video and audio.

transformers 5.15 builds most processors only if torchvision is installed, because the same object
can also process videos. There are no videos here. So the class from transformers is built with
`None` in place of its video and audio parts. Its picture part uses Pillow. The result is the same
with and without torchvision.

A saved folder names the class from transformers and describes all its parts. So it loads in
transformers and in vLLM like the published folder.
"""

import importlib.util
import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image
from transformers import (
    AutoConfig,
    AutoTokenizer,
    PreTrainedTokenizerFast,
    ProcessorMixin,
)
from transformers.models.auto.configuration_auto import model_type_to_module_name
from transformers.models.auto.image_processing_auto import (
    IMAGE_PROCESSOR_MAPPING_NAMES,
    AutoImageProcessor,
)
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING, processor_class_from_name
from transformers.models.qwen2_5_vl.processing_qwen2_5_vl import Qwen2_5_VLProcessor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import (
    Qwen2VLImageProcessorPil,
    smart_resize,
)

from mssr_rl import untrusted
from mssr_rl.errors import UserError
from mssr_rl.models.vetting import DATA_ONLY

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase
    from transformers.image_processing_utils import BaseImageProcessor

LEFT_OUT = ("video_processor", "feature_extractor")  # for videos and sound
NAMING = ("processor_config.json", "preprocessor_config.json", "tokenizer_config.json")


class StillProcessor(ProcessorMixin):  # type: ignore[misc]
    """A base class with which a processor of transformers is built without video and audio parts.

    `without_videos` puts it before the processor's own class.
    """

    unused: dict[str, Any]  # the folder's settings of the parts that are left out

    def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
        """Return the type of a part; `None` is accepted for the video and audio parts.

        transformers would raise an error for `None`.
        """
        if argument is None and argument_name in LEFT_OUT:
            return type(None)
        return super().check_argument_for_proper_class(argument_name, argument)

    def apply_chat_template(self, *given: Any, **named: Any) -> Any:
        """Return the result of `ProcessorMixin`'s method, not of a family's own method.

        The methods of some families need the video part, which is left out here.
        """
        return ProcessorMixin.apply_chat_template(self, *given, **named)

    @classmethod
    def _get_arguments_from_pretrained(cls, folder: Any, *_: Any, **__: Any) -> list[Any]:
        loaders = {"image_processor": _images, "tokenizer": _tokenizer}
        return [
            None if name in LEFT_OUT else loaders[name](folder) for name in cls.get_attributes()
        ]


def _images(folder: Path) -> "BaseImageProcessor":
    """Return the folder's image processor, in its Pillow version if transformers has one."""
    settings = _json(folder, NAMING[0]).get("image_processor") or _json(folder, NAMING[1])
    named = settings.get("image_processor_type") if isinstance(settings, dict) else None
    by_pillow = pillow_class(str(named).removesuffix("Fast")) if named else None
    if by_pillow is not None:
        return by_pillow.from_pretrained(folder)
    return AutoImageProcessor.from_pretrained(folder, backend="pil", **DATA_ONLY)


def prefer_pillow() -> None:
    """Make `AutoImageProcessor` return the Pillow classes in this process, for all callers.

    If torchvision is installed, transformers would use its filters, which differ from Pillow's.
    vLLM would then sample with other pictures than those on which the policy is trained.
    """
    stock = AutoImageProcessor.from_pretrained

    def from_pretrained(folder: Any, *rest: Any, **named: Any) -> Any:
        ours = "backend" not in named and Path(folder).is_dir()
        return _images(Path(folder)) if ours else stock(folder, *rest, **named)

    AutoImageProcessor.from_pretrained = from_pretrained


def pillow_class(name: str) -> "type[BaseImageProcessor] | None":
    """Return the Pillow version of an image processor's class; None if there is none.

    The class is imported from its own module. transformers 5.15 cannot be used for that: it
    searches the module's text for torchvision, and a comment can mislead it (Idefics3, SmolVLM,
    Owl-ViT ...).
    """
    for model_type, names in IMAGE_PROCESSOR_MAPPING_NAMES.items():
        pillow = names.get("pil")
        if pillow is None or name not in names.values():
            continue
        package = model_type_to_module_name(model_type)
        file = f"transformers.models.{package}.image_processing_pil_{package}"
        if importlib.util.find_spec(file) is not None:
            return getattr(importlib.import_module(file), pillow, None)
    return None


def _tokenizer(folder: Path) -> "PreTrainedTokenizerBase":
    return AutoTokenizer.from_pretrained(folder, **DATA_ONLY)


@cache
def without_videos(stock: type[ProcessorMixin]) -> type[ProcessorMixin]:
    """Return a subclass of a processor class that is built without video and audio parts.

    It has the name of the original class.
    """
    return type(stock.__name__, (StillProcessor, stock), {"__init__": stock.__init__})


def read_processor(folder: Path) -> ProcessorMixin:
    """Return the processor that a model folder describes.

    Raises:
        UserError: the installed transformers has no processor class for the folder.
    """
    stock: Any = _stock_class(folder)  # mypy does not know that a class is hashable
    processor: ProcessorMixin = without_videos(stock).from_pretrained(folder, **DATA_ONLY)
    settings = _json(folder, NAMING[0])
    processor.unused = {name: settings[name] for name in LEFT_OUT if name in settings}
    video = _json(folder, "video_preprocessor_config.json")
    if video and "video_processor" not in processor.unused:
        processor.unused["video_processor"] = video
    return processor


def _stock_class(folder: Path) -> type[ProcessorMixin]:
    """Return the processor class that the folder's files name, else that of the model type.

    Raises UserError if transformers has neither.
    """
    named = [name for file in NAMING if (name := _json(folder, file).get("processor_class"))]
    config = AutoConfig.from_pretrained(folder, **DATA_ONLY)
    stock: type[ProcessorMixin] | None = processor_class_from_name(str(named[0])) if named else None
    if stock is None and type(config) in PROCESSOR_MAPPING:
        stock = PROCESSOR_MAPPING[type(config)]
    if stock is None or not issubclass(stock, ProcessorMixin):
        called = f"the processor class {named[0]}" if named else "no processor class"
        raise UserError(
            f"model.path={folder} names {called} for its model type {config.model_type}, and "
            "transformers 5.15 has none for it either; a processor of the folder's own Python is "
            "never run, so take a folder in the layout of transformers (often called ...-hf)"
        )
    return stock


def _json(folder: Path, name: str) -> dict[str, Any]:
    """Return the JSON object in one of the folder's files; empty if there is no such file."""
    path = folder / name
    if not path.exists():
        return {}
    # Not `untrusted.document`: published tokenizers write 1e30 for "no length limit".
    raw = untrusted.content(path)
    untrusted.pairs(raw, str(path))  # raises if it is not JSON
    content = json.loads(raw)
    return content if isinstance(content, dict) else {}


def new_processor(tokenizer: PreTrainedTokenizerFast, patch_size: int) -> ProcessorMixin:
    """Return the processor of the tiny model.

    Pictures of 96 x 96 pixels are not scaled. A picture has at most 144 image tokens.
    """
    token = (2 * patch_size) ** 2  # pixels under one image token
    image_processor = Qwen2VLImageProcessorPil(
        patch_size=patch_size,
        temporal_patch_size=2,
        merge_size=2,
        size={"shortest_edge": 4 * token, "longest_edge": 144 * token},
        image_mean=[0.9, 0.9, 0.9],  # a light ground is about 0, so ink stands out
        image_std=[0.3, 0.3, 0.3],
    )
    processor = without_videos(Qwen2_5_VLProcessor)(
        image_processor, tokenizer, chat_template=tokenizer.chat_template
    )
    processor.unused = {}
    return processor


def sized(images: "BaseImageProcessor", picture: Image.Image) -> Image.Image:
    """Return a picture in the size that the image processor scales it to.

    It is scaled here, by Pillow, because vLLM scales with torchvision, whose filters differ. vLLM
    then has nothing left to scale. If the image processor cuts pictures into parts, the picture is
    returned unchanged.
    """
    size = images.size
    bounds = (getattr(size, "shortest_edge", None), getattr(size, "longest_edge", None))
    if hasattr(images, "merge_size") and all(bounds):
        side = images.patch_size * images.merge_size
        height, width = smart_resize(picture.height, picture.width, side, *bounds)
    elif getattr(size, "height", None) and not _cuts(images):
        height, width = size.height, size.width
    else:
        return picture
    if (width, height) == picture.size:
        return picture
    return picture.resize((width, height), Image.Resampling(int(images.resample)))


def _cuts(images: "BaseImageProcessor") -> bool:
    options = ("crop_to_patches", "do_image_splitting", "do_pan_and_scan", "image_grid_pinpoints")
    return any(getattr(images, name, None) for name in options)


# ---- saving -----------------------------------------------------------------------------------


def save_processor(processor: ProcessorMixin, folder: Path) -> None:
    """Write a processor's tokenizer, chat template and `processor_config.json` into a folder.

    The JSON file describes all parts of the processor's class, also those that were left out.
    """
    processor.tokenizer.save_pretrained(folder)
    if isinstance(processor.chat_template, str):
        template = folder / "chat_template.jinja"
        template.write_text(processor.chat_template, encoding="utf-8")
    config = processor.to_dict()
    config = {name: value for name, value in config.items() if value is not None}
    image = config["image_processor"]
    image["image_processor_type"] = image["image_processor_type"].removesuffix("Pil")
    config |= processor.unused
    if "video_processor" in type(processor).get_attributes() and "video_processor" not in config:
        config["video_processor"] = _like_pictures(image)
    path = folder / "processor_config.json"
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _like_pictures(image: dict[str, Any]) -> dict[str, Any]:
    """Return settings for a video part, copied from those of the image processor.

    They have no class name: transformers finds the class by the model type.
    """
    same = ("patch_size", "temporal_patch_size", "merge_size", "size", "image_mean", "image_std")
    return {key: image[key] for key in same if key in image}
