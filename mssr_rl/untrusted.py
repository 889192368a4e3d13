"""The one way to open a file that somebody else may have made.

Run, comparison, model and data folders travel. A name in such a folder may be a pipe, which is
waited for without end, a device, which never ends, a link to a file of yours, or a file of any
size; a small JSON may be nested or hold numbers beyond all use. Everything here is bounded: a file
is opened without waiting, must be an ordinary one, and is read up to a size.

    content   bytes          text    UTF-8, what cannot be decoded replaced
    document  JSON           record  one JSON object
    lines     lines of bytes, those that are too long left out
    rows      JSON objects, a line each, what is none left out
    tensors   safetensors    sha256  the hash of a file of any size    tail  its last bytes
    parsed    JSON that is in memory already

`Unusable` says which file and why. A missing file stays a `FileNotFoundError`: callers know
whether it had to be there.
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

DOCUMENT_BYTES = 64 * 2**20  # of one JSON or text file
LINE_BYTES = 16 * 2**20  # of one line of a JSON-lines file: responses and ids, never pictures
STREAM_BYTES = 2**40  # of a file that is read line by line
CHUNK = 2**20
TENSOR_BYTES = 2**34  # of safetensors that are read as a whole
MAX_DEPTH = 64
LARGEST = 1e300  # of a number; Python reads longer ones as infinity, or not as floats at all


class Unusable(UserError):
    """A file that is not opened, or not read to its end; the message says which and why."""


@contextmanager
def opened(path: Path, limit: int, within: Path | None = None) -> Iterator[BufferedReader]:
    """An ordinary file of at most `limit` bytes, open for reading.

    `within` is a folder that the file must lie in once all links are followed.

    Raises:
        FileNotFoundError: nothing is there.
        Unusable: it is a pipe, a device, a folder, too large, outside of `within`, or not readable.
    """
    try:
        if within is not None and not path.resolve().is_relative_to(within.resolve()):
            raise Unusable(f"{path} is refused: it is a link that leads out of {within}")
        # A pipe without a writer would block here for ever, and a terminal could become ours.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RuntimeError) as error:
        raise Unusable(f"{path} cannot be read: {_why(error)}") from error
    try:
        _refuse(path, os.fstat(handle), limit)  # what was opened, not what the name says now
    except Unusable:
        os.close(handle)
        raise
    with os.fdopen(handle, "rb") as file:
        try:
            yield file
        except OSError as error:
            raise Unusable(f"{path} cannot be read: {_why(error)}") from error


def content(path: Path, limit: int = DOCUMENT_BYTES, within: Path | None = None) -> bytes:
    """The bytes of a file."""
    with opened(path, limit, within) as file:
        parts = [file.read(os.fstat(file.fileno()).st_size + 1)]
        size = len(parts[0])
        while parts[-1] and size <= limit:  # it may have grown, and some files tell no size
            parts.append(file.read(CHUNK))
            size += len(parts[-1])
    if size > limit:
        _too_large(path, size, limit)
    return b"".join(parts)


def tail(path: Path, size: int) -> bytes:
    """The last bytes of a file that may be as long as it likes."""
    with opened(path, STREAM_BYTES) as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - size))
        return file.read(size)


def text(path: Path, limit: int = DOCUMENT_BYTES, within: Path | None = None) -> str:
    """The text of a file; bytes that are no UTF-8 become the replacement character."""
    return content(path, limit, within).decode("utf-8", "replace")


def document(path: Path, limit: int = DOCUMENT_BYTES, within: Path | None = None) -> Any:
    """What a JSON file holds."""
    return parsed(content(path, limit, within), str(path))


def read_object(path: Path, *, within: Path | None = None, once: bool = False) -> dict[str, Any]:
    """The one object that a JSON file holds; `once` refuses an object that says a key twice."""
    found = parsed(content(path, within=within), str(path), once=once)
    if not isinstance(found, dict):
        raise Unusable(f"{path} must hold one JSON object")
    return found


def tensors(path: Path, limit: int = TENSOR_BYTES, within: Path | None = None) -> dict[str, Any]:
    """The tensors of a safetensors file by name; their bytes lie in the file, so they are few."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(content(path, limit, within))
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise Unusable(f"{path} is no safetensors file ({_why(error)})") from error


def sha256(path: Path, within: Path | None = None) -> str:
    """The hash of a file's content."""
    with opened(path, STREAM_BYTES, within) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def rows(path: Path, within: Path | None = None) -> Iterator[dict[str, Any] | None]:
    """The objects of a JSON-lines file, blank lines aside; None for a line that holds none."""
    for line in lines(path, LINE_BYTES, within):
        if line is not None and not line.strip():
            continue
        try:
            found = None if line is None else parsed(line, "")
        except Unusable:
            found = None
        yield found if isinstance(found, dict) else None


def lines(
    path: Path, longest: int = LINE_BYTES, within: Path | None = None
) -> Iterator[bytes | None]:
    """The lines of a file with their ends; None for one of more than `longest` bytes."""
    with opened(path, STREAM_BYTES, within) as file:
        while line := file.readline(longest + 1):
            if len(line) <= longest:
                yield line
                continue
            while line and not line.endswith(b"\n"):
                line = file.readline(CHUNK)
            yield None


def parsed(raw: bytes | str, where: str, *, once: bool = False) -> Any:
    """JSON of bounded depth, whose numbers are finite and at most `LARGEST`.

    Raises:
        Unusable: it is something else; `where` names it.
    """
    try:
        found = _decoded(raw, once=once)
    except (ValueError, RecursionError) as error:
        raise Unusable(f"{where} is no JSON that can be used: {_why(error)}") from None
    if (reason := excess(found)) is not None:
        raise Unusable(f"{where} is refused: {reason}")
    return found


def _decoded(raw: bytes | str, *, once: bool) -> Any:
    # msgspec takes a sixth of the time and refuses NaN as well; of what it does not take (half a
    # surrogate pair, UTF-16) Python's own reader has the last word.
    if not once:
        with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return msgspec.json.decode(raw)
    hook = _once if once else None
    return json.loads(raw, parse_constant=_refuse_constant, object_pairs_hook=hook)


def excess(tree: Any) -> str | None:
    """Why JSON is nested too deep or holds too large a number; None if neither."""
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
    """Every key of a JSON text with its value, at any depth, a key that is said twice twice."""
    found: list[tuple[str, Any]] = []

    def note(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found.extend(items)
        return dict(items)

    try:
        json.loads(raw.decode("utf-8"), object_pairs_hook=note)
    except (ValueError, RecursionError) as error:
        raise Unusable(f"{where} is no JSON that can be used: {_why(error)}") from None
    return found


def _once(items: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys stand once: of a repeated key, readers disagree which value counts."""
    found = dict(items)
    if len(found) < len(items):
        keys = [key for key, _ in items]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice[:40]!r} stands twice")
    return found


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
        raise Unusable(f"{path} is refused: it is {kind}, no ordinary file")
    if status.st_size > limit:
        _too_large(path, status.st_size, limit)


def _too_large(path: Path, size: int, limit: int) -> NoReturn:
    raise Unusable(f"{path} is refused: its {size:,} bytes are more than {limit:,}")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _why(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return f"it is nested more than {MAX_DEPTH} levels deep"
    found = error.strerror if isinstance(error, OSError) else None
    return (found or str(error).strip() or type(error).__name__).splitlines()[0][:200]
