"""Find out from its content what a column holds, above all whether it holds pictures.

A problem whose picture is not read cannot be solved. So the reader calls `unread` for every row.
Each column with pictures is either read, ignored on the user's request, or an error.
"""

import ast
import json
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from PIL import Image

from mssr_rl.data import pictures
from mssr_rl.errors import UserError

MAX_CELL = 2**20  # characters; a longer cell is not parsed as a list

_FILE = re.compile(
    r"[^\n\r\t]{1,512}\.(?:png|jpe?g|jfif|webp|bmp|gif|tiff?|avif|svg|heic|ppm)(?:\?\S*)?",
    re.IGNORECASE,
)


def items(value: Any) -> list[Any]:
    """Return the items of a cell: of a list, of a list written as text, or the value alone.

    Null, empty text and an empty list have no items.
    """
    if value is None or value == "":
        return []
    if isinstance(value, str) and (listed := _written_list(value)) is not None:
        value = listed
    if isinstance(value, list | tuple):
        return [item for item in value if item is not None and item != ""]
    return [value]


def are_pictures(value: Any) -> bool:
    """Return whether a cell has at least one item and all its items look like pictures."""
    cell_items = items(value)
    return bool(cell_items) and all(map(is_picture, cell_items))


def is_picture(item: Any) -> bool:
    """Return whether an item looks like a picture, or like the path or address of one."""
    if isinstance(item, Image.Image):
        return True
    if isinstance(item, bytes | bytearray | memoryview):
        return pictures.is_picture(bytes(item[:256]))
    if isinstance(item, Mapping):
        return any(is_picture(item.get(key)) for key in ("bytes", "path", "image", "url"))
    return isinstance(item, str) and (is_file_name(item) or pictures.is_encoded(item))


def is_file_name(item: Any) -> bool:
    """Return whether an item is text that is the file name or the address of a picture."""
    return isinstance(item, str) and _FILE.fullmatch(item.strip()) is not None


def unread(row: Mapping[str, Any], read: Collection[Any], skip: Collection[str] = ()) -> list[str]:
    """Return the columns of a row whose pictures are not among the pictures in `read`.

    If pictures were read, a file name in another column is taken as their source, not as another
    picture. `skip` names columns that need no check.
    """
    contents = {_content(item) for item in read}
    left = [str(name) for name in row if name not in skip]
    return [
        name
        for name in left
        if are_pictures(cell := value(row, name)) and _missed(items(cell), contents)
    ]


def value(row: Mapping[str, Any], name: str) -> Any:
    """Return the value of a cell for inspection; None if its column is damaged."""
    try:
        return row.get(name)
    except UserError:
        return None  # the column is damaged; if it is needed, reading it raises the error


def _missed(cell_items: list[Any], read: Collection[bytes | str]) -> bool:
    contents = [_content(item) for item in cell_items]
    if read:
        contents = [content for content in contents if isinstance(content, bytes)]
    return any(content not in read for content in contents)


def _content(item: Any) -> bytes | str:
    """Return the value that identifies a picture: its bytes if they are here, else its name."""
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
    """Return the list that a text contains as JSON or as a Python literal; None if it has none."""
    stripped = text.strip()
    if not (stripped.startswith("[") and stripped.endswith("]")) or len(stripped) > MAX_CELL:
        return None
    parsed = literal(json.loads, stripped) or literal(ast.literal_eval, stripped)
    return parsed if isinstance(parsed, list) else None


def literal(read: Callable[[str], Any], text: str) -> Any:
    """Return `read(text)`, for example with `json.loads`; None if that raises an error."""
    try:
        return read(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        return None
