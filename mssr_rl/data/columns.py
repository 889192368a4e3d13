"""What a column holds, judged by its content and not by its name: pictures above all.

A picture that nobody reads makes a problem that nobody can solve, so the reader asks `unread` about
every row: a column with pictures in it is used, named by the user as ignored, or refused.
"""

import ast
import base64
import binascii
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from PIL import Image

MAX_CELL = 2**20  # characters of a cell that is looked into for a list

_MAGIC = re.compile(
    rb"\x89PNG\r\n|\xff\xd8\xff|GIF8[79]a|RIFF....WEBP|BM.{4}\0\0\0\0|II\*\0|MM\0\*"
    rb"|....ftyp(?:avi[fs]|hei[cx]|mif1)|\s*(?:<\?xml[^>]*>\s*)?<svg",
    re.DOTALL,
)
_FILE = re.compile(
    r"[^\n\r\t]{1,512}\.(?:png|jpe?g|jfif|webp|bmp|gif|tiff?|avif|svg|heic|ppm)(?:\?\S*)?",
    re.IGNORECASE,
)
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]{40,}={0,2}\s*")


def items(value: Any) -> list[Any]:
    """The items of a cell: a list's, those of a list written as text, or the one value itself.

    Null, an empty text and an empty list have none.
    """
    if value is None or value == "":
        return []
    if isinstance(value, str) and (listed := _written_list(value)) is not None:
        value = listed
    if isinstance(value, list | tuple):
        return [item for item in value if item is not None and item != ""]
    return [value]


def are_pictures(value: Any) -> bool:
    """Whether a cell holds at least one item and every one of them looks like a picture."""
    found = items(value)
    return bool(found) and all(map(is_picture, found))


def is_picture(item: Any) -> bool:
    """Whether one item is a picture, its path or its address, by what it looks like."""
    if isinstance(item, Image.Image):
        return True
    if isinstance(item, bytes | bytearray | memoryview):
        return _MAGIC.match(bytes(item[:256])) is not None
    if isinstance(item, Mapping):
        return any(is_picture(item.get(key)) for key in ("bytes", "path", "image", "url"))
    return isinstance(item, str) and (is_file_name(item) or is_encoded_text(item))


def is_file_name(item: Any) -> bool:
    """Whether it is text that names a picture file, here or at an address."""
    return isinstance(item, str) and _FILE.fullmatch(item.strip()) is not None


def is_encoded_text(text: str) -> bool:
    """Whether the text is a picture in base64, as it is or as a data URI."""
    if text.startswith("data:image/"):
        return True
    head = text[:400]
    if len(text) < 40 or not _BASE64.fullmatch(head):
        return False
    head = "".join(head.split())
    try:
        return _MAGIC.match(base64.b64decode(head[: len(head) // 4 * 4])) is not None
    except (binascii.Error, ValueError):
        return False


def unread(row: Mapping[str, Any], read: Collection[Any], skip: Iterable[str] = ()) -> list[str]:
    """The columns of a row whose pictures are not among those that were `read`.

    A file name beside pictures that were read says where these came from, so it is no other
    picture; `skip` names columns that need not be looked at.
    """
    contents = {_content(item) for item in read}
    return [
        str(name)
        for name, value in row.items()
        if name not in skip and are_pictures(value) and _missed(items(value), contents)
    ]


def _missed(found: list[Any], read: Collection[bytes | str]) -> bool:
    contents = [_content(item) for item in found]
    if read:
        contents = [content for content in contents if isinstance(content, bytes)]
    return any(content not in read for content in contents)


def _content(item: Any) -> bytes | str:
    """What makes two items the same picture: bytes as far as they are here, else the name."""
    if isinstance(item, Mapping):
        inner = next((v for k in ("bytes", "path", "image", "url") if (v := item.get(k))), "")
        return _content(inner)
    if isinstance(item, Image.Image):
        return item.tobytes()
    if isinstance(item, str) and is_encoded_text(item):
        try:
            return base64.b64decode(item.partition("base64,")[2] or item)
        except (binascii.Error, ValueError):
            return item
    return item if isinstance(item, str) else bytes(item)


def _written_list(text: str) -> list[Any] | None:
    """The list that a cell of a text file spells, as JSON or as Python writes it."""
    stripped = text.strip()
    if not (stripped.startswith("[") and stripped.endswith("]")) or len(stripped) > MAX_CELL:
        return None
    found = _parsed(json.loads, stripped) or _parsed(ast.literal_eval, stripped)
    return found if isinstance(found, list) else None


def _parsed(read: Callable[[str], Any], text: str) -> Any:
    """What `read` makes of the text, None if nothing; both readers take literals only."""
    try:
        return read(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        return None
