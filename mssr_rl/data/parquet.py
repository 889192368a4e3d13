"""Read the rows of a parquet file from an untrusted source. Only columns that are used are decoded.

Two kilobytes of parquet can decode to terabytes: by compression of a thousand to one, or by one
long value and a million references to it. There are three defences:

* the sizes of a column are checked before it is decoded;
* references that could add up to too many bytes stay references (Arrow's dictionaries);
* the values of a file may not add up to much more than the file itself.
"""

import weakref
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from mssr_rl import untrusted
from mssr_rl.errors import UserError

FILE_BYTES = 2**40
SLICE = 128  # rows whose values are turned into Python objects together
DECODED = 2**26  # bytes that are decoded together, approximately
FLOOR = 2**30  # decoded bytes that every file may have, however small it is
# A larger file may have this many times its size. Texts compress to a tenth, pictures hardly at
# all.
EXPANSION = 100
ROWS = 10**6  # rows that a file may have in addition to one for each of its bytes
HEADER = 16  # bytes with a page's kind and size
I32_NEXT_FIELD = 0x15
DICTIONARY_PAGE = 2
POINTER = 8  # bytes that every value takes at least
LONGEST_FIXED = 4096  # bytes of a value of fixed length, such as a hash or a decimal


def rows(path: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of a file. A column is decoded when a row's value in it is first used.

    Raises:
        UserError: the file is not parquet, is damaged, or would decode to far more than its size.
    """
    table = _Table(path)
    for group in range(table.groups):
        part = _Group(table, group)
        for row in range(part.count):
            yield _Row(part, row)


class _Table:
    """An open parquet file: its columns by name, and how many bytes may still be decoded."""

    def __init__(self, path: Path) -> None:
        import pyarrow.parquet as pq  # type: ignore[import-untyped]

        self.path = path
        file = _opened(path, self)
        with _explained(path):
            self.raw = file
            self.file = pq.ParquetFile(file)
            schema = self.file.schema
            self.leaves = [schema.column(i) for i in range(len(schema))]
            self.names = list(dict.fromkeys(self.file.schema_arrow.names))
            long = [leaf.path for leaf in self.leaves if _is_long(leaf)]
            self.by_reference = pq.ParquetFile(file, read_dictionary=long)
        self.groups: int = self.file.metadata.num_row_groups
        size = path.stat().st_size
        self.limit = self.room = max(FLOOR, EXPANSION * size)
        if self.file.metadata.num_rows > size + ROWS:
            raise UserError(
                f"{path} is refused: it claims {self.file.metadata.num_rows:,} rows in {size:,} "
                "bytes"
            )

    def spend(self, size: int, column: str) -> None:
        """Subtract bytes that are about to be decoded from the file's allowance.

        Raises UserError if the allowance is used up.
        """
        self.room -= size
        if self.room < 0:
            raise UserError(
                f"{self.path} is refused: its column {column!r} would fill more than "
                f"{self.limit >> 20:,} MiB, far more than the file holds; write the data set anew, "
                "with every value once"
            )


class _Group:
    """One row group of a file. A column is read when a row's value in it is first used."""

    def __init__(self, table: _Table, group: int) -> None:
        self.table, self.group = table, group
        self.facts = table.file.metadata.row_group(group)
        self.count: int = self.facts.num_rows
        self._columns: dict[str, _Column] = {}

    def value(self, column: str, row: int) -> Any:
        """Return the value of a row in a column.

        Raises UserError if the column is too large.
        """
        if column not in self._columns:
            self._refuse_bombs(column)
            self._columns[column] = _Column(self, column)
        return self._columns[column].value(row)

    def batches(self, column: str) -> Iterator[Any]:
        """Return the column as Arrow arrays, each with at most about `FLOOR` bytes of values."""
        leaves = self._leaves(column)
        file, many = self.table.file, min(SLICE, *map(self._rows_that_fit, leaves))
        if not many:  # Arrow rebuilds the dictionary for every batch, so few large batches
            size = sum(self.facts.column(i).total_uncompressed_size for i in leaves)
            file, many = self.table.by_reference, max(SLICE, self.count * DECODED // max(1, size))
        record_batches = file.iter_batches(
            batch_size=min(many, self.count), row_groups=[self.group], columns=[column]
        )
        return (batch.column(0) for batch in record_batches)

    def _rows_that_fit(self, leaf: int) -> int:
        """Return how many rows hold at most `FLOOR` bytes if each refers to the longest value."""
        chunk = self.facts.column(leaf)
        longest = max(1, dictionary_bytes(self.table.raw, chunk))
        # All of them may be in the list of one row.
        beyond_one_each = max(0, chunk.num_values - self.count)
        rows: int = FLOOR // longest - beyond_one_each
        return max(0, rows)

    def _leaves(self, column: str) -> list[int]:
        paths = [leaf.path for leaf in self.table.leaves]
        return [i for i, p in enumerate(paths) if column in (p, p.split(".", 1)[0])]

    def _refuse_bombs(self, column: str) -> None:
        """Subtract large sizes that the file states from its allowance, before anything is decoded.

        Raises UserError if the allowance is used up.
        """
        for i in self._leaves(column):
            leaf, chunk = self.table.leaves[i], self.facts.column(i)
            referred = dictionary_bytes(self.table.raw, chunk)
            stands_for, lies = chunk.total_uncompressed_size, chunk.total_compressed_size
            if max(stands_for, referred) > max(FLOOR // 4, EXPANSION * lies):
                self.table.spend(max(stands_for, referred), column)
            if leaf.physical_type == "FIXED_LEN_BYTE_ARRAY" and leaf.length > LONGEST_FIXED:
                self.table.spend(leaf.length * chunk.num_values, column)
            if leaf.max_repetition_level:
                self.table.spend(POINTER * max(0, chunk.num_values - self.count), column)


class _Column:
    """A column of a row group: the last decoded batch, and a part of it as Python objects."""

    def __init__(self, group: _Group, name: str) -> None:
        self.group, self.name = group, name
        self.paid = 0  # rows whose bytes were counted
        self._rewind()

    def _rewind(self) -> None:
        self.batches = self.group.batches(self.name)
        self.batch: Any = ()
        self.first = 0  # first row of `batch`, counted in the group
        self.values: list[Any] = []
        self.start = 0  # first row of `values`, counted in the group

    def value(self, row: int) -> Any:
        """Return the value of a row in this column. Reading the rows in order is fastest."""
        if row < self.start:
            self._rewind()
        if not self.start <= row < self.start + len(self.values):
            with _explained(self.group.table.path):
                self._reach(row)
        return self.values[row - self.start]

    def _reach(self, row: int) -> None:
        self.values = []  # free the memory before the next values need as much
        while row >= self.first + len(self.batch):
            self.first += len(self.batch)
            self.batch = ()
            self.batch = next(self.batches)
        offset = (row - self.first) // SLICE * SLICE
        part = self.batch.slice(offset, SLICE)
        self.start = self.first + offset
        if self.start >= self.paid:
            self.group.table.spend(expanded(part), self.name)
            self.paid = self.start + len(part)
        self.values = part.to_pylist()


class _Row(Mapping[str, Any]):
    """A row as a mapping of all its columns; only columns that are used are decoded."""

    __slots__ = ("_group", "_row")

    def __init__(self, group: _Group, row: int) -> None:
        self._group, self._row = group, row

    def __getitem__(self, column: str) -> Any:
        if column not in self._group.table.names:
            raise KeyError(column)
        return self._group.value(column, self._row)

    def __contains__(self, column: object) -> bool:
        return column in self._group.table.names

    def __iter__(self) -> Iterator[str]:
        return iter(self._group.table.names)

    def __len__(self) -> int:
        return len(self._group.table.names)


def dictionary_bytes(file: BinaryIO, chunk: Any) -> int:
    """Return the size of a column chunk's dictionary; 0 if the chunk does not begin with one.

    pyarrow does not report this size, so the page header is read here. A page begins with its kind,
    its size and its compressed size. In Thrift's compact protocol each number is one byte for the
    field, followed by bytes with seven bits each.
    """
    starts = (chunk.dictionary_page_offset, chunk.data_page_offset)
    file.seek(min(start for start in starts if start is not None))
    header = iter(file.read(HEADER))
    numbers = []
    for _ in range(2):
        if next(header, None) != I32_NEXT_FIELD:
            return 0
        numbers.append(_number(header))
    kind, size = numbers
    return size if kind == DICTIONARY_PAGE else 0


def _number(parts: Iterator[int]) -> int:
    value = shift = 0
    for part in parts:
        value |= (part & 0x7F) << shift
        shift += 7
        if part < 0x80:  # only the last byte has its high bit off
            break
    return (value >> 1) ^ -(value & 1)  # the lowest bit is the sign


def expanded(array: Any) -> int:
    """Return how many bytes the values of an Arrow array take as separate objects."""
    from pyarrow import compute, types

    kind = array.type
    if types.is_dictionary(kind):
        if not _of_bytes(kind.value_type):
            return POINTER * len(array)
        used = compute.value_counts(array.indices)  # all batches share the dictionary
        lengths = compute.binary_length(array.dictionary.take(used.field("values")))
        total = compute.sum(compute.multiply(lengths.cast("int64"), used.field("counts")))
        return POINTER * len(array) + (total.as_py() or 0)
    if types.is_struct(kind):
        return sum(expanded(field) for field in array.flatten())
    if types.is_list(kind) or types.is_large_list(kind) or types.is_map(kind):
        return POINTER * len(array) + expanded(array.flatten())
    return POINTER * len(array) + int(array.nbytes)


def _of_bytes(kind: Any) -> bool:
    from pyarrow import types

    return any(
        test(kind)
        for test in (types.is_string, types.is_binary, types.is_large_string, types.is_large_binary)
    )


def _is_long(leaf: Any) -> bool:
    """Return whether a column holds texts or bytes, which Arrow can read as references."""
    return leaf.physical_type == "BYTE_ARRAY" and leaf.logical_type.type in ("STRING", "NONE")


def _opened(path: Path, owner: object) -> BinaryIO:
    """Return the open file.

    It stays open while its owner exists, because rows are decoded later.
    """
    stack = ExitStack()
    file = stack.enter_context(untrusted.opened(path, FILE_BYTES))
    weakref.finalize(owner, stack.close)
    return file


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Raise a UserError that names the file in place of Arrow's errors on damaged files."""
    import pyarrow as pa

    try:
        yield
    except StopIteration:
        raise UserError(
            f"{path} cannot be read as parquet: it has fewer rows than it says"
        ) from None
    except (pa.ArrowException, OSError, ValueError, LookupError, OverflowError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise UserError(f"{path} cannot be read as parquet: {first}") from error
