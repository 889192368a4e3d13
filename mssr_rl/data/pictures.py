"""Pictures from outside: whatever a row holds becomes encoded bytes that are safe to decode.

`data` calls `encoded` and `check` while it reads; environments and engines call `decode`.
Size is read from the header before anything is decoded, so a bomb costs nothing. A picture that
cannot be used is a `ValueError` that says why; the caller knows the row and says where.
"""

import io
import warnings
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image

from mssr_rl.problem import Problem

MAX_PIXELS = 50_000_000
MAX_BYTES = 64 * 2**20  # of an encoded picture, in a file or in a row
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")


def encoded(item: Any, folder: Path | None) -> bytes:
    """The encoded bytes of a dict with `bytes` or `path`, of bytes, a PIL image or a path.

    Paths are relative to `folder` and may not lead out of it; None means that there is no folder.
    """
    if isinstance(item, Mapping):
        content = item.get("bytes")
        item = content if content is not None else item.get("path")
    if isinstance(item, bytes | bytearray | memoryview):
        return bytes(item)
    if isinstance(item, Image.Image):
        return _png(item)
    if isinstance(item, str) and item:
        return _from_file(item, folder)
    raise ValueError("it is neither bytes, a path, an image nor a dict with bytes or path")


def check(content: bytes, *, whole: bool) -> None:
    """Refuse what is no picture or too large; `whole` also looks for missing or broken parts."""
    with _opened(content) as image:
        if not whole:
            return
        try:
            if image.format == "JPEG":  # verify() sees a JPEG's header only
                image.draft("L", (1, 1))  # decodes at an eighth of the size
                image.load()
            else:
                image.verify()
        except (OSError, SyntaxError, ValueError, EOFError) as error:
            raise ValueError(f"its data are broken ({error})") from error


def decode(content: bytes) -> Image.Image:
    """The picture in RGB, detached from its file."""
    with _opened(content) as image:
        try:
            return image.convert("RGB")
        except (OSError, SyntaxError, ValueError, EOFError) as error:
            raise ValueError(f"its data are broken ({error})") from error


def blinded(problem: Problem) -> Problem:
    """The problem with every picture grey: as large as before, so it takes as many tokens."""
    grey = tuple(_grey(content) for content in problem.images)
    return replace(problem, images=grey)


@lru_cache(maxsize=256)
def _grey_of(size: tuple[int, int]) -> bytes:
    return _png(Image.new("RGB", size, (128, 128, 128)))


def _grey(content: bytes) -> bytes:
    with _opened(content) as image:
        return _grey_of(image.size)


def _opened(content: bytes) -> Image.Image:
    """The picture with its header read, once its size has been found acceptable."""
    _refuse_many_bytes(len(content))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(content), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise ValueError(f"it has more than {MAX_PIXELS // 10**6} megapixels") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise ValueError(f"it is no {', '.join(FORMATS)} picture") from error
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(
            f"its {image.width} x {image.height} pixels are more than"
            f" {MAX_PIXELS // 10**6} megapixels"
        )
    return image


def _png(image: Image.Image) -> bytes:
    if image.mode not in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        image = image.convert("RGB")
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _from_file(name: str, folder: Path | None) -> bytes:
    if "://" in name or name.startswith("data:"):
        raise ValueError(f"{name[:60]!r} is an address, and pictures are never downloaded")
    if folder is None:
        raise ValueError(f"its path {name!r} has no folder to be relative to")
    try:
        root = folder.resolve()
        path = (root / name).resolve()
        if not any(path.is_relative_to(place) for place in (root, *_blobs(root))):
            raise ValueError(f"its path {name!r} leads out of {folder}")
        if path.exists() and not path.is_file():
            raise ValueError(f"{name!r} is no file in {folder}")  # a pipe would be waited for
        _refuse_many_bytes(path.stat().st_size)
        return path.read_bytes()
    except (OSError, RuntimeError) as error:
        raise ValueError(f"{name!r} cannot be read from {folder}") from error


def _refuse_many_bytes(size: int) -> None:
    if size > MAX_BYTES:
        raise ValueError(f"its {size >> 20} MiB are more than {MAX_BYTES >> 20} MiB")


def _blobs(root: Path) -> tuple[Path, ...]:
    """Where the files of a snapshot in the hub's cache really lie: it is made of links to there."""
    snapshots = next((place for place in root.parents if place.name == "snapshots"), None)
    return (snapshots.parent / "blobs",) if snapshots else ()
