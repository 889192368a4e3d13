"""Small random copies ("twins") of the field's model families, made from configs alone.

Every twin is an ordinary model folder: transformers' own classes with few and narrow layers, the
shipped tokenizer's vocabulary with the family's special tokens, the family's own picture processor,
and a chat template. `python tests/models/twins.py FOLDER [NAME ...]` writes them.

A twin says nothing about the quality of a family. It shows whether the code around it is right.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import AddedToken
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from mssr_rl.models import TINY
from mssr_rl.models.families import of as family_of
from mssr_rl.models.processor import pillow_class, save_processor, without_videos

Made = tuple[Any, Any, Any]  # model, tokenizer, processor or None

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}PICTURE{% else %}{{ c['text'] }}{% endif %}{% endfor %}"
    "{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

TEXT = {  # heads of 32, a size that vLLM's attention supports on a CPU
    "hidden_size": 128,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "head_dim": 32,
}
VISION = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}


def tokenizer(*special: str, named: dict[str, str] | None = None) -> PreTrainedTokenizerFast:
    """Return the shipped vocabulary with special tokens; `named` ones become attributes."""
    words = AutoTokenizer.from_pretrained(TINY)
    core = words.backend_tokenizer
    core.add_special_tokens([AddedToken(word, normalized=False) for word in special])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        bos_token="<|im_start|>",
        extra_special_tokens=named or {},
        model_max_length=2048,
    )


def ids(words: PreTrainedTokenizerFast, **tokens: str) -> dict[str, int]:
    """Return {config entry: the id of its token}."""
    return {name: words.convert_tokens_to_ids(token) for name, token in tokens.items()}


def text(words: PreTrainedTokenizerFast, **more: Any) -> dict[str, Any]:
    """Return the config of a narrow language model."""
    ends = ids(words, bos_token_id="<|im_start|>", eos_token_id="<|im_end|>")
    return TEXT | {"vocab_size": len(words), "pad_token_id": words.pad_token_id} | ends | more


def speaking(words: PreTrainedTokenizerFast, picture: str = "") -> str:
    """Set and return a chat template, with `picture` in the place of a picture."""
    words.chat_template = CHATML.replace("PICTURE", picture)
    return words.chat_template


def of_text(kind: str, **more: Any) -> Callable[[], Made]:
    """Return a function that makes a language model, by the name of its transformers classes."""

    def make() -> Made:
        words = tokenizer()
        speaking(words)
        config = getattr(transformers, f"{kind}Config")(**text(words, **more))
        return getattr(transformers, f"{kind}ForCausalLM")(config), words, None

    return make


# ---- Qwen's vision-language models ------------------------------------------------------------

QWEN_TOKENS = {
    "image_token_id": "<|image_pad|>",
    "video_token_id": "<|video_pad|>",
    "vision_start_token_id": "<|vision_start|>",
    "vision_end_token_id": "<|vision_end|>",
}


def qwen(kind: str, vision: dict[str, Any], patch: int = 14, **more: Any) -> Callable[[], Made]:
    """Return a function that makes Qwen2-VL or a later one, which merges patches two by two."""

    def make() -> Made:
        words = tokenizer()
        template = speaking(words, "<|vision_start|><|image_pad|><|vision_end|>")
        config = getattr(transformers, f"{kind}Config")(
            text_config=text(words, **more),
            vision_config=vision | {"patch_size": patch},
            tie_word_embeddings=False,
            **ids(words, **QWEN_TOKENS),
        )
        token = (2 * patch) ** 2
        images = (
            transformers.models.qwen2_vl.image_processing_pil_qwen2_vl.Qwen2VLImageProcessorPil(
                patch_size=patch,
                merge_size=2,
                temporal_patch_size=2,
                size={"shortest_edge": 4 * token, "longest_edge": 64 * token},
            )
        )
        name = "Qwen3VL" if kind.startswith("Qwen3") else kind
        processor = built(f"{name}Processor", image_processor=images, tokenizer=words)
        processor.chat_template = template
        return getattr(transformers, f"{kind}ForConditionalGeneration")(config), words, processor

    return make


MROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 6, 6]}
QWEN2_EYE = {"depth": 2, "embed_dim": 32, "hidden_size": 128, "num_heads": 2, "mlp_ratio": 2}
QWEN25_EYE = {
    "depth": 2,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_heads": 2,
    "out_hidden_size": 128,
    "window_size": 56,
    "fullatt_block_indexes": [1],
}
QWEN3_EYE = {
    "depth": 3,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_heads": 2,
    "out_hidden_size": 128,
    "num_position_embeddings": 64,
    "deepstack_visual_indexes": [0, 1],
}
QWEN35_EYE = {name: value for name, value in QWEN3_EYE.items() if "deepstack" not in name}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
LINEAR = {
    "layer_types": ["linear_attention", "full_attention"],
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 2,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "rope_parameters": MROPE | {"partial_rotary_factor": 1.0, "mrope_interleaved": True},
}


# ---- others -----------------------------------------------------------------------------------


def built(name: str, **parts: Any) -> Any:
    """Return a stock processor class without its video part."""
    processor = without_videos(getattr(transformers, name, None) or _class(name))(**parts)
    processor.unused = {}
    return processor


def _class(name: str) -> Any:
    from transformers.models.auto.processing_auto import processor_class_from_name

    return processor_class_from_name(name)


def images(kind: str, **told: Any) -> Any:
    """Return a family's picture processor, with Pillow."""
    return pillow_class(f"{kind}ImageProcessor")(**told)


def internvl() -> Made:
    named = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }
    words = tokenizer(*named.values(), named=named)
    template = speaking(words, "<IMG_CONTEXT>\n")
    config = transformers.InternVLConfig(
        text_config={"model_type": "qwen2", **text(words)},
        vision_config=VISION | {"image_size": [56, 56], "patch_size": [14, 14]},
        downsample_ratio=0.5,
        **ids(words, image_token_id="<IMG_CONTEXT>"),
    )
    eye = images("GotOcr2", size={"height": 56, "width": 56}, crop_to_patches=True, max_patches=4)
    processor = built("InternVLProcessor", image_processor=eye, tokenizer=words, image_seq_length=4)
    processor.chat_template = template
    return transformers.InternVLForConditionalGeneration(config), words, processor


IDEFICS = ("<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>")
CELLS = tuple(f"<row_{i}_col_{j}>" for i in range(1, 7) for j in range(1, 7))


def idefics3(kind: str = "Idefics3", model_type: str = "idefics3") -> Made:
    words = tokenizer(*IDEFICS, *CELLS)
    template = speaking(words, "<image>")
    config = getattr(transformers, f"{kind}Config")(
        text_config={"model_type": "llama", **text(words)},
        vision_config=VISION | {"image_size": 56, "patch_size": 14},
        scale_factor=2,
        **ids(words, image_token_id="<image>"),
        pad_token_id=words.pad_token_id,
    )
    told = {"size": {"longest_edge": 112}, "max_image_size": {"longest_edge": 56}}
    family_of(model_type).ready()
    processor = built(
        f"{kind}Processor",
        image_processor=images(kind, **told, do_image_splitting=True),
        tokenizer=words,
        image_seq_len=4,
        **({"video_processor": None} if kind == "SmolVLM" else {}),
    )
    processor.chat_template = template
    return getattr(transformers, f"{kind}ForConditionalGeneration")(config), words, processor


def smolvlm() -> Made:
    return idefics3("SmolVLM", "smolvlm")


def llava_onevision() -> Made:
    words = tokenizer("<image>", "<video>")
    template = speaking(words, "<image>\n")
    pins = [[56, 56], [56, 112], [112, 56], [112, 112]]
    config = transformers.LlavaOnevisionConfig(
        text_config={"model_type": "qwen2", **text(words)},
        vision_config={"model_type": "siglip_vision_model", **VISION}
        | {"image_size": 56, "patch_size": 14, "vision_use_head": False},
        image_grid_pinpoints=pins,
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
        **ids(words, image_token_id="<image>", video_token_id="<video>"),
    )
    eye = images("LlavaOnevision", size={"height": 56, "width": 56}, image_grid_pinpoints=pins)
    processor = built(
        "LlavaOnevisionProcessor",
        image_processor=eye,
        tokenizer=words,
        num_image_tokens=16,
        vision_feature_select_strategy="full",
    )
    processor.chat_template = template
    return transformers.LlavaOnevisionForConditionalGeneration(config), words, processor


GEMMA = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<soft>"}


def gemma3() -> Made:
    lines = ("\n", "\n\n", "\n\n\n", "\n\n\n\n")  # vLLM looks these up
    words = tokenizer(*GEMMA.values(), *lines, named=GEMMA)
    template = speaking(words, GEMMA["boi_token"])
    layers = {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 32}
    config = transformers.Gemma3Config(
        text_config=text(words, **layers),
        vision_config=VISION | {"image_size": 56, "patch_size": 14, "vision_use_head": False},
        mm_tokens_per_image=4,
        **ids(words, boi_token_index=GEMMA["boi_token"], eoi_token_index=GEMMA["eoi_token"]),
        **ids(words, image_token_index=GEMMA["image_token"]),
    )
    eye = images("Gemma3", size={"height": 56, "width": 56})
    processor = built("Gemma3Processor", image_processor=eye, tokenizer=words, image_seq_length=4)
    processor.chat_template = template
    return transformers.Gemma3ForConditionalGeneration(config), words, processor


def paligemma() -> Made:
    words = tokenizer("<image>", "\n", named={"image_token": "<image>"})  # vLLM looks that up
    eye = images("Siglip", size={"height": 56, "width": 56})
    eye.image_seq_length = 16
    processor = built("PaliGemmaProcessor", image_processor=eye, tokenizer=words)
    config = transformers.PaliGemmaConfig(
        text_config={"model_type": "gemma", **text(words)},
        vision_config={"model_type": "siglip_vision_model", **VISION}
        | {"image_size": 56, "patch_size": 14, "vision_use_head": False, "projection_dim": 128},
        projection_dim=128,
        **ids(words, image_token_index="<image>"),
    )
    return transformers.PaliGemmaForConditionalGeneration(config), words, processor


GEMMA4 = {name: f"<{name[:3]}>" for name in ("boi_token", "eoi_token", "boa_token", "eoa_token")}
GEMMA4 |= {"image_token": "<soft>", "audio_token": "<sound>"}


def gemma4() -> Made:
    """A number of tokens that follows the picture's shape; no audio."""
    words = tokenizer(*GEMMA4.values(), "<|video|>", named=GEMMA4)
    template = speaking(words, "<soft>")
    layers = {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 32}
    small = {"hidden_size_per_layer_input": 16, "vocab_size_per_layer_input": len(words)}
    config = transformers.Gemma4Config(
        text_config=text(words, **layers, **small),
        vision_config=VISION | {"head_dim": 16, "num_key_value_heads": 2},
        audio_config=None,
        **ids(words, boi_token_id="<boi>", eoi_token_id="<eoi>", image_token_id="<soft>"),
        **ids(words, video_token_id="<|video|>"),
    )
    processor = built(
        "Gemma4Processor",
        feature_extractor=None,
        video_processor=None,
        image_processor=images("Gemma4", max_soft_tokens=70),
        tokenizer=words,
    )
    processor.chat_template = template
    return transformers.Gemma4ForConditionalGeneration(config), words, processor


PIXTRAL = ("[IMG]", "[IMG_BREAK]", "[IMG_END]")


def mistral3() -> Made:
    """Pictures of any size in rows of patches, each row closed by a token of its own."""
    words = tokenizer(*PIXTRAL)
    template = speaking(words, "[IMG]")
    config = transformers.Mistral3Config(
        text_config={"model_type": "mistral", **text(words, sliding_window=None)},
        vision_config={"model_type": "pixtral", **VISION, "head_dim": 16}
        | {"image_size": 112, "patch_size": 14},
        spatial_merge_size=2,
        vision_feature_layer=-1,
        **ids(words, image_token_id="[IMG]"),
    )
    eye = images("Pixtral", size={"longest_edge": 112}, patch_size={"height": 14, "width": 14})
    processor = built(
        "PixtralProcessor",
        image_processor=eye,
        tokenizer=words,
        patch_size=14,
        spatial_merge_size=2,
    )
    processor.chat_template = template
    return transformers.Mistral3ForConditionalGeneration(config), words, processor


TWINS: dict[str, Callable[[], Made]] = {
    "qwen2_vl": qwen("Qwen2VL", QWEN2_EYE, rope_parameters=MROPE),
    "qwen2_5_vl": qwen("Qwen2_5_VL", QWEN25_EYE, rope_parameters=MROPE),
    "qwen3_vl": qwen("Qwen3VL", QWEN3_EYE, 16, rope_parameters=MROPE),
    "qwen3_vl_moe": qwen("Qwen3VLMoe", QWEN3_EYE, 16, rope_parameters=MROPE, **EXPERTS),
    "qwen3_5": qwen("Qwen3_5", QWEN35_EYE, 16, **LINEAR),
    "internvl": internvl,
    "idefics3": idefics3,
    "smolvlm": smolvlm,
    "llava_onevision": llava_onevision,
    "gemma3": gemma3,
    "gemma4": gemma4,
    "paligemma": paligemma,
    "mistral3": mistral3,
    "qwen2": of_text("Qwen2"),
    "qwen3": of_text("Qwen3"),
    "llama": of_text("Llama"),
    "smollm3": of_text("SmolLM3"),
    "gemma": of_text("Gemma"),
    "gemma2": of_text("Gemma2", sliding_window=32),
    "olmo2": of_text("Olmo2"),
    "granite": of_text("Granite"),
    "phi3": of_text("Phi3", sliding_window=None),
}


def write(name: str, folder: Path, seed: int = 0) -> Path:
    """Write a twin's folder and return it."""
    torch.manual_seed(seed)
    model, words, processor = TWINS[name]()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:  # transformers' 0.02 is too small for narrow layers
                weight.normal_(std=weight[0].numel() ** -0.5)
    model.generation_config.eos_token_id = [words.eos_token_id, words.pad_token_id]
    model.generation_config.pad_token_id = words.pad_token_id
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    if processor is None:
        words.save_pretrained(folder)
    else:
        save_processor(processor, folder)
    return folder


def main(words: list[str]) -> None:
    root, names = Path(words[0]), words[1:] or list(TWINS)
    for name in names:
        folder = write(name, root / name)
        size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
        print(json.dumps({"twin": name, "bytes": size}))


if __name__ == "__main__":
    main(sys.argv[1:])
