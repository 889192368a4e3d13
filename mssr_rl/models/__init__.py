"""Models: the tiny Qwen2.5-VL of the laptop recipe, and a lean forward pass for any Qwen2.5-VL.

tiny_config.py     architecture, tokenizer and processor of the tiny model
warm_start.py      how its shipped weights were made: `python -m mssr_rl.models.warm_start`
tiny/              those weights, in the ordinary `save_pretrained` layout
prompts -> encode.py    problems to padded tokens and pictures; pictures.py cuts these into patches
see.py, lean.py    the same maths as transformers' forward, batched over pictures and sharing
                   a problem's prompt between its rollouts
fused.py           what stands between their matrix products; native.py compiles it from kernels/
decode.py          sampling with a key-value cache; sampled.py is what comes of it
layers.py          all layers at once, without gradient, for small models; responses.py samples so
"""

import sys
from pathlib import Path

from mssr_rl import import_hooks
from mssr_rl.errors import UserError
from mssr_rl.models import torchvision_hook

if "torchvision" not in sys.modules:  # if it is, it could be imported
    import_hooks.install([torchvision_hook.HOOK])

TINY = Path(__file__).parent / "tiny"


def model_folder(path: str) -> str:
    """The folder or hub id that `model=` names; "tiny" is the model shipped with the package."""
    if path != "tiny":
        return path
    if not (TINY / "model.safetensors").exists():
        raise UserError(
            f"the shipped model is missing from {TINY}; "
            "make it with `python -m mssr_rl.models.warm_start`"
        )
    return str(TINY)
