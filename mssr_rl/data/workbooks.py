"""Read the first sheet of an Excel workbook (.xlsx) as rows, as VLMEvalKit writes its tables.

A workbook is a zip archive of XML from an untrusted source. So each part is read only up to a size.
A part that declares entities, which could grow without end, is refused. Formulas are not computed:
their stored value is taken.
"""

import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from mssr_rl import untrusted
from mssr_rl.errors import UserError

PART_BYTES = 2**29  # of the sheet or of its texts, unpacked
_NAMESPACE = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_SHARED = "xl/sharedStrings.xml"
_DAMAGED = (
    zipfile.BadZipFile, zlib.error, ET.ParseError, EOFError, NotImplementedError, RuntimeError,
)  # fmt: skip
_COLUMN = re.compile(r"[A-Z]{1,3}(?=[0-9]+$)")


def workbook_rows(path: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the rows below the header of the first sheet; empty cells are null.

    Raises:
        UserError: it is not a workbook, is damaged or too large, or its header has no names.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(untrusted.content(path, PART_BYTES))) as book:
            names = book.namelist()
            sheets = sorted(name for name in names if re.fullmatch(r"xl/worksheets/\w+\.xml", name))
            if not sheets:
                raise UserError(f"{path} is not an Excel workbook: it has no sheet")
            texts = _texts(_part(book, _SHARED, path) if _SHARED in names else b"")
            cells = _sheet(_part(book, sheets[0], path), texts)
            header = next(cells, {})
            if not header:
                raise UserError(f"{path} has no header in its first sheet")
            for row in cells:
                yield {str(name): row.get(column) for column, name in header.items()}
    except _DAMAGED as error:
        raise UserError(f"{path} cannot be read as an Excel workbook: {error}") from error


def _part(book: zipfile.ZipFile, name: str, path: Path) -> bytes:
    """Return the bytes of a part of the workbook; the size that its entry states is not trusted."""
    with book.open(name) as part:
        content = part.read(PART_BYTES + 1)
    if len(content) > PART_BYTES:
        raise UserError(f"{path} is refused: {name} is larger than {PART_BYTES >> 20} MiB")
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content or b"\0" in content[:64]:
        raise UserError(f"{path} is refused: {name} declares entities, or is not UTF-8")
    return content


def _texts(content: bytes) -> list[str]:
    if not content:
        return []
    root = ET.fromstring(content)  # noqa: S314  entities are refused in _part
    return [_joined(item) for item in root.iter(f"{_NAMESPACE}si")]


def _joined(item: ET.Element) -> str:
    return "".join(part.text or "" for part in item.iter(f"{_NAMESPACE}t"))


def _sheet(content: bytes, texts: list[str]) -> Iterator[dict[str, Any]]:
    """Yield the filled cells of each row as {letters of the column: value}."""
    for _, row in ET.iterparse(io.BytesIO(content)):  # noqa: S314  see _part
        if row.tag != f"{_NAMESPACE}row":
            continue
        cells: dict[str, Any] = {}
        for cell in row.iter(f"{_NAMESPACE}c"):
            place = _COLUMN.match(cell.get("r", ""))
            if place and (found := _value(cell, texts)) is not None:
                cells[place[0]] = found
        row.clear()
        yield cells


def _value(cell: ET.Element, texts: list[str]) -> Any:
    kind, stored = cell.get("t", "n"), cell.findtext(f"{_NAMESPACE}v")
    if kind == "inlineStr":
        return _joined(cell) or None
    if stored is None or stored == "":
        return None
    if kind == "s":
        place = int(stored) if stored.isdecimal() else len(texts)
        return texts[place] if place < len(texts) else None
    if kind == "b":
        return stored == "1"
    return _number(stored) if kind == "n" else stored


def _number(text: str) -> int | float | str:
    """Return the number in a cell, as int if it is whole; other text is returned unchanged."""
    try:
        value = float(text)
    except ValueError:
        return text
    return int(value) if value.is_integer() and abs(value) < 2**53 else value
