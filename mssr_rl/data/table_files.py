"""Read files with rows in every common table format, as mappings from column to value.

    .parquet  .arrow (save_to_disk)  .jsonl  .json  .csv  .tsv      and .gz of the last four

JSON has many forms: a list of objects, objects one after the other, a list under a key (`data`,
`rows`), objects by id, columns as lists, pandas' `split` and `index`, the hub's row pages. The
content decides between them. A file that cannot be read raises a UserError with the file and the
line.
"""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from mssr_rl import untrusted
from mssr_rl.data import parquet
from mssr_rl.errors import UserError
from mssr_rl.files import write_bytes

Row = Mapping[str, Any]

PLAIN = (".jsonl", ".json", ".csv", ".tsv")
SUFFIXES = (".parquet", ".arrow", *PLAIN, *(f"{suffix}.gz" for suffix in PLAIN))
JSON_BYTES = 2**30  # of an unpacked .json file; it alone is read as a whole
ROW_BYTES = 2**27  # of one line of text; room for a picture of 64 MiB in base64
ARROW_BYTES = 2**40
_LFS = b"version https://git-lfs"
_UNREADABLE = (OSError, EOFError, zlib.error, UnicodeDecodeError)


def suffix_of(path: Path) -> str:
    """Return the suffix that decides how a file is read, such as `.jsonl.gz`; "" if unknown."""
    name = path.name.lower()
    return next((suffix for suffix in SUFFIXES[::-1] if name.endswith(suffix)), "")


def rows_of(path: Path) -> Iterator[Row]:
    """Yield the rows of a file, whose name must end with one of SUFFIXES."""
    _refuse_pointer(path)
    yield from _READERS[suffix_of(path).removesuffix(".gz")](path)


def write_parquet(path: Path, rows: Iterable[Row]) -> None:
    """Write rows to a parquet file. A reader finds either all rows or no file."""
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    content = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), content)
    write_bytes(path, content.getvalue())


def _arrow(path: Path) -> Iterator[Row]:
    """Yield the rows of a `save_to_disk` file, in Arrow's stream format or its file format."""
    import pyarrow as pa

    try:
        with untrusted.opened(path, ARROW_BYTES) as file:
            for batch in _batches(file):
                for start in range(0, batch.num_rows, parquet.SLICE):
                    yield from batch.slice(start, parquet.SLICE).to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as arrow: {first_line(error)}") from error


def _batches(file: Any) -> Iterator[Any]:
    import pyarrow as pa

    magic = file.read(6)
    file.seek(0)
    if magic == b"ARROW1":
        stored = pa.ipc.open_file(file)
        yield from (stored.get_batch(i) for i in range(stored.num_record_batches))
    else:
        yield from pa.ipc.open_stream(file)


# ---- JSON ----


def _json_lines(path: Path) -> Iterator[Row]:
    """Yield one object for each line. If the first line is not JSON, the file is one JSON text."""
    number = 1
    try:
        for number, line in enumerate(_lines(path), 1):
            if line.strip():
                yield _object(json.loads(line), f"{path} line {number}")
    except (ValueError, RecursionError) as error:
        if number == 1 and (whole := _whole_after_all(path)) is not None:
            yield from whole
            return
        raise UserError(f"{path} line {number} is not JSON: {first_line(error)}") from error
    except _UNREADABLE as error:
        raise UserError(f"{path} cannot be read: {first_line(error)}") from error


def _whole_after_all(path: Path) -> list[Row] | None:
    """Return the rows of a file that is one JSON text over several lines; None if it is none."""
    try:
        return list(_json_forms(_several(_content(path)), path))
    except (ValueError, RecursionError):
        return None


def _json(path: Path) -> Iterator[Row]:
    try:
        text = _content(path)
        values = _several(text)
    except (ValueError, RecursionError, *_UNREADABLE) as error:
        raise UserError(f"{path} cannot be read as JSON: {first_line(error)}") from error
    yield from _json_forms(values, path)


def _content(path: Path) -> str:
    with _unpacked(path) as file:
        content = file.read(JSON_BYTES + 1)
    if len(content) > JSON_BYTES:
        raise UserError(f"{path} is larger than {JSON_BYTES >> 20} MiB; write it as .jsonl")
    return content.decode(_encoding(content))


def _several(text: str) -> Any:
    """Return the JSON value of a text, or the list of its values if there are several."""
    decoder, place, values = json.JSONDecoder(), 0, []
    while place < len(text):
        while place < len(text) and text[place] in " \t\r\n,\ufeff":
            place += 1
        if place < len(text):
            value, place = decoder.raw_decode(text, place)
            values.append(value)
    return values[0] if len(values) == 1 else values


def _json_forms(content: Any, path: Path) -> Iterator[Row]:
    rows = _listed(content)
    if rows is None:
        raise UserError(
            f"{path} holds no list of rows, or several; use a list of objects, or .jsonl"
        )
    for i, item in enumerate(rows):
        yield _object(item, f"{path} row {i}")


def _listed(content: Any) -> list[Any] | None:
    """Return the rows in a JSON value of any known form; None if there are none."""
    if isinstance(content, list):
        return [item["row"] if _is_page_row(item) else item for item in content]
    if not isinstance(content, dict) or not content:
        return None
    if {"columns", "data"} <= content.keys() and isinstance(content["columns"], list):
        return [dict(zip(content["columns"], row, strict=False)) for row in content["data"]]
    if all(isinstance(value, dict) for value in content.values()):
        return _by_id(content)
    return _below_a_key(content) or ([content] if _is_row(content) else None)


def _below_a_key(content: Mapping[str, Any]) -> list[Any] | None:
    """Return the rows in an object: its only list of objects, or its columns of equal length.

    Returns None if it has neither.
    """
    lists = {k: v for k, v in content.items() if isinstance(v, list)}
    objects = [v for v in lists.values() if v and all(isinstance(item, dict) for item in v)]
    pages = [rows for rows in objects if all(map(_is_page_row, rows))]
    if len(pages or objects) == 1 and not _is_row(content):
        return _listed((pages or objects)[0])
    columns = len(lists) == len(content) and len({len(v) for v in lists.values()}) == 1
    if objects or not columns:
        return None  # several lists of objects: one for each split, for example
    return [dict(zip(content, row, strict=True)) for row in zip(*lists.values(), strict=True)]


def _by_id(content: Mapping[str, Mapping[str, Any]]) -> list[Any]:
    """Return the rows in an object of objects: rows by id, or pandas' columns by row number."""
    first = next(iter(content.values()))
    if all(str(key).isdecimal() for key in first) and first:
        return [{name: column.get(key) for name, column in content.items()} for key in first]
    return [{"id": key, **row} for key, row in content.items()]


def _is_page_row(item: Any) -> bool:
    return isinstance(item, dict) and "row_idx" in item and isinstance(item.get("row"), dict)


def _is_row(content: Mapping[str, Any]) -> bool:
    """Return whether an object is itself a row: it has at least two texts."""
    return sum(isinstance(value, str) for value in content.values()) >= 2


# ---- tables of text ----


def _separated(separators: str, kind: str) -> Callable[[Path], Iterator[Row]]:
    """Return a function that reads the rows of a CSV or TSV file with a header.

    Fields may be long (pictures); empty fields are null.
    """

    def read(path: Path) -> Iterator[Row]:
        csv.field_size_limit(ROW_BYTES)
        try:
            lines = _lines(path)
            head = next(lines, "")
            separator = max(separators, key=head.count)
            for row in csv.DictReader(chain([head], lines), delimiter=separator, strict=True):
                yield _filled(row, path)
        except (csv.Error, *_UNREADABLE) as error:
            way_out = "; save it as UTF-8" if isinstance(error, UnicodeDecodeError) else ""
            raise UserError(
                f"{path} cannot be read as {kind}: {first_line(error)}{way_out}"
            ) from error

    return read


def _filled(row: dict[str | Any, Any], path: Path) -> Row:
    if None in row:
        raise UserError(
            f"{path} has a row with more fields than columns, {str(row)[:80]};"
            " quote fields that hold a separator"
        )
    return {name: None if value == "" else value for name, value in row.items()}


_READERS: Mapping[str, Callable[[Path], Iterator[Row]]] = {
    ".parquet": parquet.rows,
    ".arrow": _arrow,
    ".jsonl": _json_lines,
    ".json": _json,
    ".csv": _separated(",;\t", "CSV"),
    ".tsv": _separated("\t", "TSV"),
}


# ---- opening ----


def _lines(path: Path) -> Iterator[str]:
    """Yield the lines with their line ends, decoded as UTF-8, or UTF-16 if the file begins so."""
    with _unpacked(path) as file:
        if _encoding(file.peek(2)) == "utf-16":  # here the end of a line is not a single byte
            yield from _content(path).splitlines(keepends=True)
            return
        number = 0
        while line := file.readline(ROW_BYTES + 1):
            number += 1
            if len(line) > ROW_BYTES:
                raise UserError(f"{path} line {number} is longer than {ROW_BYTES >> 20} MiB")
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")


@contextmanager
def _unpacked(path: Path) -> Iterator[io.BufferedReader]:
    with untrusted.opened(path, untrusted.STREAM_BYTES) as file:
        plain: Any = gzip.GzipFile(fileobj=file) if path.name.lower().endswith(".gz") else file
        with io.BufferedReader(plain) as reader:
            yield reader


def _encoding(start: bytes) -> str:
    return "utf-16" if start[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"


def _refuse_pointer(path: Path) -> None:
    with untrusted.opened(path, untrusted.STREAM_BYTES) as file:
        if file.read(len(_LFS)) == _LFS:
            raise UserError(
                f"{path} is a pointer of git LFS, the data are not here: run git lfs pull"
            )


def _object(item: Any, where: str) -> Row:
    if not isinstance(item, dict):
        raise UserError(f"{where} is not an object with columns but {type(item).__name__}")
    return item


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, cut to 200 characters."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
