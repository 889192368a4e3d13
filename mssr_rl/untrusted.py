"""Opens files that another person may have made. Use only these functions for such files.

Run, comparison, model and data folders are copied between people. A name in such a folder can be a
pipe that blocks for ever, or a device that never ends. It can be a link to a private file, or a
huge file. Even a small JSON file can be nested very deep, or hold numbers that are too large. So
every function here is bounded: it opens without waiting, accepts only ordinary files, and reads up
to a size.

    content      bytes
    text         UTF-8, with bytes that cannot be decoded replaced
    document     JSON
    read_object  one JSON object
    lines        lines of bytes; None for a line that is too long
    rows         one JSON object per line; None for a line that holds none
    tensors      safetensors
    sha256       the hash of a file of any size
    tail         the last bytes of a file of any size
    parsed       JSON that is already in memory

`Unusable` says which file is refused and why. A missing file raises `FileNotFoundError`, because
only the caller knows whether the file is required.
"""

import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from mssr_rl.errors import UserError

DOCUMENT_BYTES = 64 * 2**20  # limit for a JSON or text file
LINE_BYTES = 16 * 2**20  # limit for a line of a JSON-lines file: responses and ids, never pictures
STREAM_BYTES = 2**40  # limit for a file that is read line by line
CHUNK = 2**20
TENSOR_BYTES = 2**34  # limit for a safetensors file, which is read as a whole
MAX_DEPTH = 64
LARGEST = 1e300  # limit for a number; Python reads larger ones as infinity or as huge integers


class Unusable(UserError):
    """Raised if a file is refused, or cannot be read to its end; says which file and why."""


@contextmanager
def opened(path: Path, limit: int, within: Path | None = None) -> Iterator[BufferedReader]:
    """Open an ordinary file of at most `limit` bytes for reading.

    After all links are followed, the file must lie in the folder `within`.

    Raises:
        FileNotFoundError: the file does not exist.
        Unusable: it is a pipe, a device, a folder, too large, outside of `within`, or not readable.
    """
    try:
        if within is not None and not path.resolve().is_relative_to(within.resolve()):
            raise Unusable(f"{path} is refused: it is a link that leads out of {within}")
        # Without these flags, a pipe without a writer would block for ever, and a terminal could
        # become the controlling terminal of this process.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RuntimeError) as error:
        raise Unusable(f"{path} cannot be read: {_why(error)}") from error
    try:
        # fstat describes the opened file; the name may point to another file by now.
        _refuse(path, os.fstat(handle), limit)
    except Unusable:
        os.close(handle)
        raise
    with os.fdopen(handle, "rb") as file:
        try:
            yield file
        except OSError as error:
            raise Unusable(f"{path} cannot be read: {_why(error)}") from error


def content(path: Path, limit: int = DOCUMENT_BYTES, within: Path | None = None) -> bytes:
    """Return the bytes of a file."""
    with opened(path, limit, within) as file:
        parts = [file.read(os.fstat(file.fileno()).st_size + 1)]
        size = len(parts[0])
        while parts[-1] and size <= limit:  # it may have grown, and some files report no size
            parts.append(file.read(CHUNK))
            size += len(parts[-1])
    if size > limit:
        _too_large(path, size, limit)
    return b"".join(parts)


def tail(path: Path, size: int) -> bytes:
    """Return the last `size` bytes of a file of any length."""
    with opened(path, STREAM_BYTES) as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - size))
        return file.read(size)


def text(path: Path, limit: int = DOCUMENT_BYTES, within: Path | None = None) -> str:
    """Return the text of a file; bytes that are not UTF-8 become the replacement character."""
    return content(path, limit, within).decode("utf-8", "replace")


def document(path: Path, limit: int = DOCUMENT_BYTES, within: Path | None = None) -> Any:
    """Return the content of a JSON file."""
    return parsed(content(path, limit, within), str(path))


def read_object(path: Path, *, within: Path | None = None, once: bool = False) -> dict[str, Any]:
    """Return the one object of a JSON file; with `once`, a repeated key is refused."""
    content_of_file = parsed(content(path, within=within), str(path), once=once)
    if not isinstance(content_of_file, dict):
        raise Unusable(f"{path} must hold one JSON object")
    return content_of_file


def tensors(path: Path, limit: int = TENSOR_BYTES, within: Path | None = None) -> dict[str, Any]:
    """Return {name: tensor} of a safetensors file; the file size bounds their memory."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(content(path, limit, within))
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise Unusable(f"{path} is not a safetensors file ({_why(error)})") from error


def sha256(path: Path, within: Path | None = None) -> str:
    """Return the SHA-256 hash of a file's content, in hexadecimal."""
    with opened(path, STREAM_BYTES, within) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def rows(path: Path, within: Path | None = None) -> Iterator[dict[str, Any] | None]:
    """Yield the objects of a JSON-lines file; None for a line that holds none.

    Blank lines are skipped.
    """
    for line in lines(path, LINE_BYTES, within):
        if line is not None and not line.strip():
            continue
        try:
            row = None if line is None else parsed(line, "")
        except Unusable:
            row = None
        yield row if isinstance(row, dict) else None


def lines(
    path: Path, longest: int = LINE_BYTES, within: Path | None = None
) -> Iterator[bytes | None]:
    """Yield the lines of a file with their line ends; None for one over `longest` bytes."""
    with opened(path, STREAM_BYTES, within) as file:
        while line := file.readline(longest + 1):
            if len(line) <= longest:
                yield line
                continue
            while line and not line.endswith(b"\n"):
                line = file.readline(CHUNK)
            yield None


def parsed(raw: bytes | str, where: str, *, once: bool = False) -> Any:
    """Return the content of a JSON text with bounded depth and numbers up to `LARGEST`.

    With `once`, a repeated key is refused.

    Raises:
        Unusable: the text is not such JSON; `where` names it in the message.
    """
    try:
        tree = _decoded(raw, once=once)
    except (ValueError, RecursionError) as error:
        raise Unusable(f"{where} is not usable JSON: {_why(error)}") from None
    if (reason := excess(tree)) is not None:
        raise Unusable(f"{where} is refused: {reason}")
    return tree


def line_object(line: bytes, where: str, wanted: str) -> dict[str, Any]:
    """Return the object in a line of a user's own file; such a file may hold NaN.

    Raises:
        Unusable: the line is not JSON, or no object with `wanted`.
    """
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Unusable(f"{where} is not JSON: {str(error).splitlines()[0]}") from error
    if not isinstance(found, dict):
        raise Unusable(f"{where} is not an object with {wanted}")
    return found


def _decoded(raw: bytes | str, *, once: bool) -> Any:
    # msgspec takes a sixth of the time, and it refuses NaN too. It also refuses half of a surrogate
    # pair and UTF-16, so a text that it refuses is read again with Python's own reader.
    if not once:
        with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return msgspec.json.decode(raw)
    hook = _once if once else None
    return json.loads(raw, parse_constant=_refuse_constant, object_pairs_hook=hook)


def excess(tree: Any) -> str | None:
    """Return the reason why a JSON value is refused: nested too deep, or too large a number.

    Returns None if the value is fine.
    """
    level: list[Any] = [tree]
    for _ in range(MAX_DEPTH + 1):
        below: list[Any] = []
        for item in level:
            kind = type(item)
            if kind is dict:
                below.extend(item.values())
            elif kind is list:
                below.extend(item)
            elif kind in (int, float) and not -LARGEST <= item <= LARGEST:
                return f"it holds a number beyond {LARGEST:g}"
        if not below:
            return None
        level = below
    return f"it is nested more than {MAX_DEPTH} levels deep"


def pairs(raw: bytes, where: str) -> Iterable[tuple[str, Any]]:
    """Return every key of a JSON text with its value, at any depth; repeated keys appear again."""
    all_pairs: list[tuple[str, Any]] = []

    def note(items: list[tuple[str, Any]]) -> dict[str, Any]:
        all_pairs.extend(items)
        return dict(items)

    try:
        json.loads(raw.decode("utf-8"), object_pairs_hook=note)
    except (ValueError, RecursionError) as error:
        raise Unusable(f"{where} is not usable JSON: {_why(error)}") from None
    return all_pairs


def _once(items: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object with these items; raise `ValueError` if a key occurs twice.

    Programs that read JSON treat a repeated key differently.
    """
    unique = dict(items)
    if len(unique) < len(items):
        keys = [key for key, _ in items]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice[:40]!r} occurs twice")
    return unique


def _refuse(path: Path, status: os.stat_result, limit: int) -> None:
    kinds = {
        stat.S_IFIFO: "a pipe",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
        stat.S_IFDIR: "a folder",
        stat.S_IFSOCK: "a socket",
    }
    if not stat.S_ISREG(status.st_mode):
        kind = kinds.get(stat.S_IFMT(status.st_mode), "something else")
        raise Unusable(f"{path} is refused: it is {kind}, not an ordinary file")
    if status.st_size > limit:
        _too_large(path, status.st_size, limit)


def _too_large(path: Path, size: int, limit: int) -> NoReturn:
    raise Unusable(f"{path} is refused: its {size:,} bytes are more than {limit:,}")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _why(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return f"it is nested more than {MAX_DEPTH} levels deep"
    reason = error.strerror if isinstance(error, OSError) else None
    return (reason or str(error).strip() or type(error).__name__).splitlines()[0][:200]
