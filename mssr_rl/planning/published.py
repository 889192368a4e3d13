"""The config.json of models that are usually not on the machine that makes the plan, as numbers."""

from typing import Any

_VISION = {
    "depth": 32,
    "hidden_size": 1280,
    "intermediate_size": 3420,
    "num_heads": 16,
    "in_channels": 3,
    "patch_size": 14,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "tokens_per_second": 2,
    "window_size": 112,
    "fullatt_block_indexes": [7, 15, 23, 31],
    "hidden_act": "silu",
}
_ROPE = {"rope_type": "default", "mrope_section": [16, 24, 24], "rope_theta": 1e6}


def _qwen2_5_vl(text: dict[str, Any], *, tied: bool) -> dict[str, Any]:
    common = {
        "hidden_act": "silu",
        "max_position_embeddings": 128_000,
        "rms_norm_eps": 1e-6,
        "use_sliding_window": False,
        "rope_parameters": _ROPE,
        "bos_token_id": 151_643,
        "eos_token_id": 151_645,
    }
    return {
        "model_type": "qwen2_5_vl",
        "text_config": {**common, **text},
        "vision_config": {**_VISION, "out_hidden_size": text["hidden_size"]},
        "tie_word_embeddings": tied,
        "image_token_id": 151_655,
        "video_token_id": 151_656,
        "vision_start_token_id": 151_652,
        "vision_end_token_id": 151_653,
    }


PUBLISHED = {
    "Qwen/Qwen2.5-VL-3B-Instruct": _qwen2_5_vl(
        {
            "hidden_size": 2048,
            "intermediate_size": 11_008,
            "num_hidden_layers": 36,
            "num_attention_heads": 16,
            "num_key_value_heads": 2,
            "vocab_size": 151_936,
        },
        tied=True,
    ),
    "Qwen/Qwen2.5-VL-7B-Instruct": _qwen2_5_vl(
        {
            "hidden_size": 3584,
            "intermediate_size": 18_944,
            "num_hidden_layers": 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "vocab_size": 152_064,
        },
        tied=False,
    ),
}
