"""Compile the C files of `kernels/` to a library when it is first needed, and store it.

The library is in the user's cache (XDG_CACHE_HOME or ~/.cache). Its name contains a hash of the
source, the compiler, its flags and the processor. Without a C compiler, or with MSSR_KERNELS=torch,
there is no library, and `fused` uses torch instead.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from ctypes import POINTER, c_float, c_int, c_int64, c_void_p
from functools import cache
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).with_name("kernels")
FLAGS = (
    *("-O3", "-march=native", "-fopenmp-simd", "-fno-math-errno", "-fno-trapping-math"),
    *("-fPIC", "-shared"),
)
WIDE = ("-mprefer-vector-width=512",)  # x86 only
SECONDS = 120  # limit; compiling takes 6 s, without AVX-512 18 s

TENSOR, COUNT = c_void_p, c_int64
NO_ROOM, NO_TOKEN = 1, 2  # error codes of a kernel; see `kernels/common.h`


class Attention(ctypes.Structure):
    """The C struct `Attention`: the inputs and sizes of one call of attention."""

    _fields_ = (
        *((name, c_void_p) for name in ("q", "k", "v", "prompt_k", "prompt_v")),
        *((name, c_void_p) for name in ("first", "length", "before")),
        *((name, c_int64) for name in ("sequences", "group", "query_heads", "key_heads")),
        *((name, c_int64) for name in ("prompt_width", "q_stride", "k_stride", "v_stride")),
        *((name, c_int64) for name in ("causal", "size")),
    )


class Layer(ctypes.Structure):
    """The C struct `Layer`: one layer's weights, and its keys and values."""

    _fields_ = tuple(
        (name, c_void_p)
        for name in (
            *("norm", "qkv", "qkv_bias", "out", "out_bias"),
            *("norm_after", "gate_up", "gate_up_bias", "down", "down_bias"),
            *("keys", "values", "prompt_keys", "prompt_values"),
        )
    )


class Sizes(ctypes.Structure):
    """The C struct `Sizes`: the numbers of layers and rows, and the sizes of a layer."""

    _fields_ = (
        *((name, c_int64) for name in ("layers", "rows", "hidden", "inner")),
        *((name, c_int64) for name in ("query_heads", "key_heads", "size", "room")),
        ("eps", c_float),
    )


class SamplingChoice(ctypes.Structure):
    """The C struct `SamplingChoice`: the weights outside the layers, and how tokens are drawn."""

    _fields_ = (
        *((name, c_void_p) for name in ("embedding", "norm", "head", "cosine", "sine")),
        *((name, c_void_p) for name in ("uniform", "banned", "ends")),
        *((name, c_int64) for name in ("vocabulary", "banned_count", "ends_count")),
        *((name, c_int64) for name in ("limit", "together")),
        ("temperature", c_float),
    )


class Responses(ctypes.Structure):
    """The C struct `Responses`: the prompts of the responses, and the arrays for the results."""

    _fields_ = (
        *((name, c_void_p) for name in ("prompt", "length", "position")),
        ("prompt_width", c_int64),
        *((name, c_void_p) for name in ("token", "count", "logprob", "entropy")),
    )


SIGNATURES = {
    "rms_norm": (*[TENSOR] * 4, COUNT, COUNT, c_float),
    "rms_norm_gradient": (*[TENSOR] * 6, COUNT, COUNT),
    "swiglu": (*[TENSOR] * 3, COUNT),
    "swiglu_gradient": (*[TENSOR] * 5, COUNT),
    "rotate": (TENSOR, COUNT, *[TENSOR] * 3, *[COUNT] * 3, c_float),
    "attention": (POINTER(Attention), *[TENSOR] * 2),
    "attention_gradient": (POINTER(Attention), *[TENSOR] * 8),
    "linear": (*[TENSOR] * 4, *[COUNT] * 3),
    "responses": (
        *(POINTER(Layer), POINTER(Sizes), POINTER(SamplingChoice), POINTER(Responses)),
        *(TENSOR, TENSOR),
    ),
    "layers_of_sequences": (
        *(POINTER(Layer), POINTER(Sizes), *[TENSOR] * 4),
        *(COUNT, TENSOR, TENSOR, COUNT),
    ),
    "token_scores": (*[TENSOR] * 3, COUNT, c_float, *[TENSOR] * 3, *[COUNT] * 2),
    "token_scores_gradient": (*[TENSOR] * 5, COUNT, c_float, *[TENSOR] * 3, *[COUNT] * 2),
    "patches": (*[TENSOR] * 5, *[COUNT] * 2),
    "draw": (*[TENSOR] * 3, COUNT, c_float, *[TENSOR] * 3, *[COUNT] * 2),
}


class Kernels(NamedTuple):
    """The compiled library or None, and a phrase that says why."""

    library: ctypes.CDLL | None
    why: str  # a phrase that is printed at the start of a run


@cache
def kernels() -> Kernels:
    """Return the library, which is compiled first if necessary.

    If that fails, no error is raised: the result then has no library.
    """
    wanted = os.environ.get("MSSR_KERNELS", "native")
    if wanted != "native":
        return Kernels(None, f"torch's operations, as MSSR_KERNELS={wanted} asks for")
    compiler = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc")
    if compiler is None:
        return Kernels(None, "torch's operations: no C compiler is installed; gcc makes it faster")
    try:
        path = _compiled(compiler)
        return Kernels(_opened(path), f"compiled for this processor, {path.name}")
    except (OSError, RuntimeError, AttributeError, subprocess.SubprocessError) as error:
        return Kernels(None, f"torch's operations: the kernels were not compiled: {error}")


def _opened(path: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    for name, signature in SIGNATURES.items():
        function = getattr(library, name)
        function.argtypes = signature
        function.restype = c_int
    return library


def _compiled(compiler: str) -> Path:
    """Return the path of the library, which is compiled if it does not exist.

    If several processes compile at the same time, they write the same file.
    """
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mssr_rl"
    path = folder / f"kernels-{_fingerprint(compiler)}.so"
    if path.exists():
        return path
    # Only the user may write there: what lies in it is loaded as code.
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # In the same folder, because a file can be renamed within one file system only.
    with tempfile.TemporaryDirectory(dir=folder) as room:
        made = Path(room) / path.name
        wide = WIDE if platform.machine() == "x86_64" else ()
        command = [
            compiler,
            *FLAGS,
            *wide,
            *map(str, sorted(FOLDER.glob("*.c"))),
            "-o",
            str(made),
            "-lm",
        ]
        process = subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        if process.returncode:
            raise OSError(
                process.stderr.strip().splitlines()[0] if process.stderr.strip() else compiler
            )
        # `replace` is atomic, so no process opens a library that is half written.
        made.replace(path)
    return path


def _fingerprint(compiler: str) -> str:
    version = subprocess.run(
        [compiler, "--version"], capture_output=True, timeout=SECONDS, check=True
    )
    sources = b"".join(path.read_bytes() for path in sorted(FOLDER.iterdir()))
    parts = (sources, version.stdout, " ".join((*FLAGS, *WIDE)).encode(), _processor())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _processor() -> bytes:
    """Return the processor's model and features, on which `-march=native` depends.

    They are part of the library's name, because machines may share a home folder.
    """
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor().encode()
    named = {line.split(":")[0].strip(): line for line in reversed(lines) if ":" in line}
    return "".join(named.get(key, "") for key in ("model name", "flags", "Features")).encode()
