"""A hook with which PyPI's torchvision can be imported beside a torch without CUDA.

This package does not use torchvision. But transformers imports it if it is installed, and vLLM
requires it. PyPI has only a CUDA build, whose C library does not load with a CPU torch. The import
then fails, because the library declares two operators. The hook declares them instead.
"""

from typing import Any

from mssr_rl.import_hooks import Hook

_kept: list[Any] = []  # the declarations disappear when a torch.library.Library is deleted


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
