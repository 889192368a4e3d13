"""The architecture of the tiny model: a Qwen2.5-VL of 1.0 M parameters with its own tokenizer.

Two more sizes show whether results depend on the size; they are made by the same command.

`warm_start` trains it. A picture of 96 x 96 pixels becomes 6 x 6 patches of 16 x 16 pixels. Blocks
of 2 x 2 patches are merged, which gives 9 image tokens. In every vision layer, patches attend to
the whole picture; windows are not needed at this size.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
)

PATCH = 16
SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)


class ModelSize(NamedTuple):
    """The widths of a model; every attention head has 32 channels."""

    hidden: int  # of the language model
    intermediate: int
    heads: int
    key_value_heads: int
    vision_hidden: int
    vision_intermediate: int
    vision_heads: int


SIZES: Mapping[str, ModelSize] = {
    "small": ModelSize(64, 176, 2, 1, 32, 80, 1),  # 0.3 M parameters
    "tiny": ModelSize(128, 352, 4, 2, 64, 160, 2),  # 1.0 M, the shipped one
    "large": ModelSize(256, 704, 8, 4, 128, 320, 4),  # 4 M
}

THINK = ("<think>", "</think>")  # ordinary vocabulary, one token each

# Qwen's splitting rule, except that a digit may include the blank before it: "5 - 3 = 2" is five
# tokens instead of nine. Digits are never merged.
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+| ?\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif c['type'] == 'text' %}{{ c['text'] }}{% endif %}{% endfor %}{% endif %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def train_tokenizer(texts: Iterable[str], vocab_size: int = 640) -> PreTrainedTokenizerFast:
    """Return a byte-level BPE tokenizer that is trained on `texts`; it can encode any text."""
    between = re.compile("|".join(THINK))  # these are whole tokens, so texts are split at them
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(_SPLIT), "isolated")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(THINK),
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    pieces = (piece for text in texts for piece in between.split(text))
    tokenizer.train_from_iterator(pieces, trainer)
    tokenizer.add_tokens([AddedToken(word, normalized=False) for word in THINK])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens={
            "image_token": "<|image_pad|>",
            "video_token": "<|video_pad|>",
            "vision_start_token": "<|vision_start|>",
            "vision_end_token": "<|vision_end|>",
            "start_token": "<|im_start|>",
        },
        model_max_length=4096,
        padding_side="left",
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def model_config(
    tokenizer: PreTrainedTokenizerFast, size: ModelSize = SIZES["tiny"]
) -> Qwen2_5_VLConfig:
    """Return the config of a model of this size, by default that of the shipped model.

    Attention heads have size 32, which vLLM supports on a CPU too.
    """
    ids = {word: tokenizer.convert_tokens_to_ids(word) for word in SPECIAL}
    text = {
        "hidden_size": size.hidden,
        "intermediate_size": size.intermediate,
        "num_hidden_layers": 3,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.key_value_heads,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 4096,
        "tie_word_embeddings": True,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 10000.0,
            "mrope_section": [4, 6, 6],
        },
        "bos_token_id": ids["<|endoftext|>"],
        "eos_token_id": ids["<|im_end|>"],
        "pad_token_id": ids["<|endoftext|>"],
    }
    vision = {
        "depth": 4,
        "hidden_size": size.vision_hidden,
        "intermediate_size": size.vision_intermediate,
        "num_heads": size.vision_heads,
        "patch_size": PATCH,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "window_size": 96,
        "fullatt_block_indexes": [0, 1, 2, 3],
        "out_hidden_size": text["hidden_size"],
        "in_channels": 3,
    }
    return Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
    )


def new_model(
    tokenizer: PreTrainedTokenizerFast, size: ModelSize = SIZES["tiny"]
) -> Qwen2_5_VLForConditionalGeneration:
    """Return a model with random weights, whose generation never produces structural tokens.

    Structural tokens are the special tokens that do not end a response, such as image tokens.
    """
    model = Qwen2_5_VLForConditionalGeneration(model_config(tokenizer, size))
    _scale_to_width(model)
    keep = {"<|im_end|>", "<|endoftext|>"}
    model.generation_config.suppress_tokens = [
        tokenizer.convert_tokens_to_ids(word) for word in SPECIAL if word not in keep
    ]
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, tokenizer.pad_token_id]
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model


@torch.no_grad()
def _scale_to_width(model: Qwen2_5_VLForConditionalGeneration) -> None:
    """Draw all weight matrices again, with standard deviation 1 / sqrt(number of inputs).

    It is smaller for output projections, the layers that write to the residual stream. transformers
    uses 0.02, which is right for thousands of channels. With about a hundred channels, attention
    would be uniform and the layers' outputs tiny. Training would then need long until the model
    uses the picture.
    """
    config: Any = model.config
    depth = {
        "visual": config.vision_config.depth,
        "language_model": config.text_config.num_hidden_layers,
    }
    for name, weight in model.named_parameters():
        if weight.ndim < 2:
            continue
        std = weight[0].numel() ** -0.5
        if name.endswith(("o_proj.weight", "down_proj.weight", "attn.proj.weight")):
            std *= (2 * depth["visual" if "visual" in name else "language_model"]) ** -0.5
        weight.normal_(std=std)
