"""Models: any that transformers reads, a fast way for Qwen2.5-VL, and the laptop's tiny one.

family.py          the seam: what an engine needs of a model family
load.py            a model folder → weights, and the family that computes with them
vetting.py         folders come from anybody; processor.py, their processors without torchvision

general.py         any family, by transformers' own forward pass and cache; chat.py, its prompts
families/          what single families need beyond that
vocabulary.py      what may be sampled, and what is thought of it

qwen2_5_vl.py      Qwen2.5-VL's own way, made of:
encode.py          problems to padded tokens and pictures; patches.py cuts these into patches
see.py, lean.py    the same maths as transformers' forward, batched over pictures and sharing
                   a problem's prompt between its rollouts
fused.py           what stands between their matrix products; native.py compiles it from kernels/
decode.py          sampling with a key-value cache; sampled.py is what comes of it
layers.py          all layers at once, without gradient, for small models; responses.py samples so

tiny/              the tiny model's weights, in the ordinary `save_pretrained` layout; the folder
                   tiny_model/ of the repository made them
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
            "install the package again, or make it from the repository with `python -m tiny_model "
            f"--out {TINY}`"
        )
    return str(TINY)
