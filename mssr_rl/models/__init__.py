"""The models: all families of transformers, a fast Qwen2.5-VL, and the package's tiny model.

family.py          the interface: what an engine needs of a model family
load.py            loads the weights of a model folder, and picks the family that computes with them
vetting.py         checks model folders from unknown authors, with bounds.py
processor.py       loads a folder's processor without torchvision

general.py         all families, with transformers' own forward pass and cache; chat.py encodes
                   their prompts
families/          additions to general.py for single families
lora.py            trains small matrices in place of the weights
recompute.py       computes activations again in the backward pass
vocabulary.py      which tokens may be sampled; draws and scores tokens

qwen2_5_vl.py      Qwen2.5-VL's own implementation, made of:
encode.py          turns problems into padded tokens and pictures; patches.py cuts the pictures
see.py, lean.py    the same forward pass as in transformers, with pictures in batches; the rollouts
                   of a problem share its prompt
fused.py           the operations between matrix products; native.py compiles kernels/ for them
decode.py          sampling with a key-value cache; sampled.py holds the result
layers.py          all layers in one call, without gradient, for small models; responses.py samples
                   with them

tiny/              the tiny model's weights, in the `save_pretrained` layout; the folder tiny_model/
                   of the repository made them
"""

import sys
from pathlib import Path

from mssr_rl import import_hooks
from mssr_rl.errors import UserError
from mssr_rl.models import torchvision_hook

if "torchvision" not in sys.modules:  # if it is there, its import has succeeded
    import_hooks.install([torchvision_hook.HOOK])

TINY = Path(__file__).parent / "tiny"


def model_folder(path: str) -> str:
    """Return the folder or hub id that `model=` names; for "tiny", the package's own folder.

    Raises UserError if the weights of the tiny model are missing.
    """
    if path != "tiny":
        return path
    if not (TINY / "model.safetensors").exists():
        raise UserError(
            f"the shipped model is missing from {TINY}; "
            "install the package again, or make it from the repository with `python -m tiny_model "
            f"--out {TINY}`"
        )
    return str(TINY)
