"""What a column holds, judged by its content and not by its name: pictures above all.

A picture that nobody reads makes a problem that nobody can solve, so the reader asks `unread` about
every row: a column with pictures in it is used, named by the user as ignored, or refused.
"""

import ast
import json
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from PIL import Image

from mssr_rl.data import pictures
from mssr_rl.errors import UserError

MAX_CELL = 2**20  # characters of a cell that is looked into for a list

_FILE = re.compile(
    r"[^\n\r\t]{1,512}\.(?:png|jpe?g|jfif|webp|bmp|gif|tiff?|avif|svg|heic|ppm)(?:\?\S*)?",
    re.IGNORECASE,
)


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
        return pictures.is_picture(bytes(item[:256]))
    if isinstance(item, Mapping):
        return any(is_picture(item.get(key)) for key in ("bytes", "path", "image", "url"))
    return isinstance(item, str) and (is_file_name(item) or pictures.is_encoded(item))


def is_file_name(item: Any) -> bool:
    """Whether it is text that names a picture file, here or at an address."""
    return isinstance(item, str) and _FILE.fullmatch(item.strip()) is not None


def unread(row: Mapping[str, Any], read: Collection[Any], skip: Collection[str] = ()) -> list[str]:
    """The columns of a row whose pictures are not among those that were `read`.

    A file name beside pictures that were read says where these came from, so it is no other
    picture; `skip` names columns that need not be looked at.
    """
    contents = {_content(item) for item in read}
    left = [str(name) for name in row if name not in skip]
    return [
        name
        for name in left
        if are_pictures(found := value(row, name)) and _missed(items(found), contents)
    ]


def value(row: Mapping[str, Any], name: str) -> Any:
    """A row's value for being looked at; None where its file cannot give it."""
    try:
        return row.get(name)
    except UserError:
        return None  # a damaged column that nothing needs


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
    if isinstance(item, str) and not pictures.is_encoded(item):
        return item
    try:
        return pictures.encoded(item, None)
    except ValueError:
        return str(item)


def _written_list(text: str) -> list[Any] | None:
    """The list that a cell of a text file spells, as JSON or as Python writes it."""
    stripped = text.strip()
    if not (stripped.startswith("[") and stripped.endswith("]")) or len(stripped) > MAX_CELL:
        return None
    found = literal(json.loads, stripped) or literal(ast.literal_eval, stripped)
    return found if isinstance(found, list) else None


def literal(read: Callable[[str], Any], text: str) -> Any:
    """What `json.loads` or `ast.literal_eval` makes of the text, None if nothing."""
    try:
        return read(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        return None
