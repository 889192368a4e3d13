"""PyPI's torchvision beside a torch without CUDA: made importable.

Nothing here uses torchvision, but transformers imports it where it is installed, and vLLM wants it
installed. PyPI serves a CUDA build only: its C library does not load beside a CPU torch, and the
import then fails for want of two operators that the library would have declared.
"""

from typing import Any

from mssr_rl.import_hooks import Hook

_kept: list[Any] = []  # a torch.library.Library takes its declarations with it


def _declare_operators() -> None:
    import torch

    if torch.version.cuda is not None or hasattr(torch.ops.torchvision, "nms"):
        return
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _kept.append(library)


HOOK = Hook(
    "torchvision",
    ("torchvision", "0.28.0"),
    "a CUDA build cannot be imported beside a CPU torch",
    before=_declare_operators,
)
