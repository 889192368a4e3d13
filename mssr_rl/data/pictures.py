"""Convert a picture in any stored form to encoded bytes that are safe to decode.

The reader calls `encoded` and `as_seen` while it reads; environments and engines call `decode`. The
result of `as_seen` looks the same to every decoder: a transparent background is white, a photograph
is upright, and 16 bits are scaled to 8. The size is read from the header before anything is
decoded, so a decompression bomb is refused at no cost. A picture that cannot be used raises
ValueError with the reason. The caller adds the row to the message.
"""

import base64
import binascii
import io
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

import numpy as np
from PIL import ExifTags, Image

from mssr_rl import untrusted
from mssr_rl.problem import Problem

T = TypeVar("T")

MAX_PIXELS = 50_000_000
MAX_FRAME_PIXELS = 8 * MAX_PIXELS  # of all frames of an animation together
MAX_BYTES = 64 * 2**20  # of one encoded picture, in a file or in a row
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
IMAGE_FOLDERS = (
    "images",
    "image",
    "imgs",
    "img",
    "pictures",
)  # names of files are looked for there

# These warnings are about pictures that are refused below, or that viewers show anyway.
# `catch_warnings` would not work, because threads decode and it is not thread-safe.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", "Corrupt EXIF data", UserWarning)

_TURN = {  # by the number in EXIF's orientation field
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_MAGIC = re.compile(
    rb"\x89PNG\r\n|\xff\xd8\xff|GIF8[79]a|RIFF....WEBP|BM.{4}\0\0\0\0|II\*\0|MM\0\*"
    rb"|....ftyp(?:avi[fs]|hei[cx]|mif1)|\s*(?:<\?xml[^>]*>\s*)?<svg",
    re.DOTALL,
)
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]{40,}={0,2}\s*")
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError)  # what Pillow's decoders raise


def encoded(item: Any, folder: Path | None) -> bytes:
    """Return the encoded bytes of a picture: a dict, bytes, a PIL image, base64 or a path.

    The dict has `bytes` or `path`. A path is relative to `folder`, or to its folder `images`, and
    may not lead outside; None means that there is no folder. A data URI is base64. Other addresses
    are never fetched.

    Raises:
        ValueError: the picture cannot be read; the message says why.
    """
    if isinstance(item, Mapping):
        filled = (item.get(key) for key in ("bytes", "path", "image", "url"))
        item = next((value for value in filled if value is not None), None)
    if isinstance(item, bytes | bytearray | memoryview):
        return bytes(item)
    if isinstance(item, Image.Image):
        return _png(item)
    if isinstance(item, str) and is_encoded(item):
        return _from_text(item)
    if isinstance(item, str) and item:
        return _from_file(item, folder)
    raise ValueError("it is neither bytes, a path, an image nor a dict with bytes or path")


def as_seen(content: bytes) -> bytes:
    """Return the picture as a viewer shows it: the same bytes, or a new PNG.

    All frames are decoded. The bytes are new if plain decoding would look different: with a
    transparent background, an EXIF orientation, or 16-bit grey.

    Raises:
        ValueError: it is not a picture, is too large, or a part of it is missing or broken.
    """
    return as_seen_and(content, lambda image: None)[0]


def as_seen_and(content: bytes, made: Callable[[Image.Image], T]) -> tuple[bytes, T]:
    """Return (the result of `as_seen`, `made(image)`); the picture is decoded only once.

    `made` gets the first frame as a viewer shows it, in the mode in which it is stored.

    Raises:
        ValueError: it is not a picture, is too large, or any part of it is missing or broken.
    """
    with _opened(content) as image:
        _refuse_long_animation(image)
        try:
            if image.format == "PNG":
                # Checks the checksums of the pixels; the image cannot be used afterwards.
                image.verify()
        except _BROKEN as error:
            raise ValueError(f"its data are broken ({error})") from error
    with _opened(content) as image:
        try:
            shown = _shown(image)
            other = made(shown or image)
            for frame in range(1, getattr(image, "n_frames", 1)):
                image.seek(frame)
                image.load()
        except _BROKEN as error:
            raise ValueError(f"its data are broken ({error})") from error
    return (content if shown is None else _png(shown)), other


def decode(content: bytes) -> Image.Image:
    """Return the picture as a viewer shows it, in RGB; no file stays open."""
    with _opened(content) as image:
        try:
            shown = _shown(image)
            return image.convert("RGB") if shown is None else shown
        except _BROKEN as error:
            raise ValueError(f"its data are broken ({error})") from error


def blinded(problem: Problem) -> Problem:
    """Return the problem with every picture grey.

    The sizes stay the same, so the number of tokens does too.
    """
    grey = tuple(_grey(content) for content in problem.images)
    return replace(problem, images=grey)


def _shown(image: Image.Image) -> Image.Image | None:
    """Return the first frame as a viewer shows it; None if `convert("RGB")` gives the same."""
    turn = _TURN.get(_orientation(image))
    image.load()
    flat = _on_white(image) or _scaled(image)
    if turn is None:
        return flat
    return (flat or image.convert("RGB")).transpose(turn)


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation; 1 if there is none or it cannot be read, as in viewers."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # noqa: BLE001  the parser of a stranger's metadata may raise anything
        return 1


def _on_white(image: Image.Image) -> Image.Image | None:
    """Return the picture on a white background; None if no part of it is transparent."""
    if not image.has_transparency_data:
        return None
    with_alpha = image.convert("RGBA")
    lowest, _ = with_alpha.getchannel("A").getextrema()
    if lowest == 255:
        return None
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, with_alpha).convert("RGB")


def _scaled(image: Image.Image) -> Image.Image | None:
    """Return a grey picture of more than 8 bits scaled to 8 bits; None for other modes.

    `convert` would clip the values instead.
    """
    if not (image.mode.startswith("I") or image.mode == "F"):
        return None
    grey = np.nan_to_num(np.asarray(image, dtype=np.float64))
    brightest = grey.max(initial=0)
    if image.mode.startswith("I;16") or 255 < brightest <= 65535:
        grey /= 257
    elif brightest > 65535:  # the range is unknown, so the largest value is white
        grey *= 255 / brightest
    return Image.fromarray(grey.clip(0, 255).round().astype(np.uint8)).convert("RGB")


def _refuse_long_animation(image: Image.Image) -> None:
    try:
        frames = getattr(image, "n_frames", 1)
    except _BROKEN as error:
        raise ValueError(f"its data are broken ({error})") from error
    if frames * image.width * image.height > MAX_FRAME_PIXELS:
        raise ValueError(
            f"its {frames} frames of {image.width} x {image.height} pixels are more than"
            f" {MAX_FRAME_PIXELS // 10**6} megapixels; keep the first frame"
        )


@lru_cache(maxsize=256)
def _grey_of(size: tuple[int, int]) -> bytes:
    return _png(Image.new("RGB", size, (128, 128, 128)))


def _grey(content: bytes) -> bytes:
    with _opened(content) as image:
        return _grey_of(image.size)


def _opened(content: bytes) -> Image.Image:
    """Return the picture after reading only its header. Raises ValueError if it is too large."""
    _refuse_many_bytes(len(content))
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise ValueError(f"it has more than {MAX_PIXELS // 10**6} megapixels") from error
    except _BROKEN as error:
        raise ValueError(f"it is not a {', '.join(FORMATS)} picture") from error
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(
            f"its {image.width} x {image.height} pixels are more than"
            f" {MAX_PIXELS // 10**6} megapixels"
        )
    return image


def _png(image: Image.Image) -> bytes:
    if image.mode not in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        image = _scaled(image) or image.convert("RGB")
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def is_encoded(text: str) -> bool:
    """Return whether the text is a picture in base64, plain or as a data URI."""
    if text.startswith("data:image/"):
        return True
    head = text[:400]
    if len(text) < 40 or not _BASE64.fullmatch(head):
        return False
    return is_picture(_decoded_head(head))


def is_picture(head: bytes) -> bool:
    """Return whether bytes begin like a picture, even of a kind that is not accepted."""
    return _MAGIC.match(head) is not None


def _decoded_head(text: str) -> bytes:
    head = "".join(text.split())
    try:
        return base64.b64decode(head[: len(head) // 4 * 4])
    except (binascii.Error, ValueError):
        return b""


def _from_text(text: str) -> bytes:
    head, comma, rest = text.partition(",")
    if comma and not head.endswith(";base64"):
        raise ValueError("it is a data URI that is not in base64")
    try:
        return base64.b64decode("".join((rest if comma else text).split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"it is not valid base64 text ({error})") from error


def _from_file(name: str, folder: Path | None) -> bytes:
    local = unquote(name.removeprefix("file://")) if name.startswith("file://") else name
    if "://" in local or local.startswith("data:"):
        raise ValueError(f"{name[:60]!r} is an address, and pictures are never downloaded")
    if folder is None:
        raise ValueError(f"its path {name[:200]!r} has no folder to be relative to")
    try:
        root = folder.resolve()
        path = _place(root, local)
        if not any(path.is_relative_to(place) for place in (root, *_blobs(root))):
            raise ValueError(f"its path {name[:200]!r} leads out of {folder}")
        if path.exists() and not path.is_file():
            # Reading a pipe would wait for ever.
            raise ValueError(f"{name!r} is not a file in {folder}")
        _refuse_many_bytes(path.stat().st_size)
        return untrusted.content(path, MAX_BYTES)
    except (OSError, RuntimeError, untrusted.Unusable) as error:
        raise ValueError(f"{name[:200]!r} cannot be read from {folder}") from error


def _place(root: Path, name: str) -> Path:
    """Return the path of a named file: in the folder, or in its folder of pictures."""
    path = (root / name).resolve()
    if path.exists():
        return path
    if "\\" in name:  # a table from Windows
        return _place(root, name.replace("\\", "/"))
    places = ((root / place / name).resolve() for place in IMAGE_FOLDERS)
    return next((place for place in places if place.exists()), path)


def _refuse_many_bytes(size: int) -> None:
    if size > MAX_BYTES:
        raise ValueError(f"its {size >> 20} MiB are more than {MAX_BYTES >> 20} MiB")


def _blobs(root: Path) -> tuple[Path, ...]:
    """Return the folder with the real files of a snapshot in the hub's cache; () elsewhere.

    The snapshot has only links to these files.
    """
    snapshots = next((place for place in root.parents if place.name == "snapshots"), None)
    return (snapshots.parent / "blobs",) if snapshots else ()
