"""Parquet files of a few kilobytes that stand for gigabytes; pipes and endless files as data."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mssr_rl.data import parquet, reader
from mssr_rl.errors import UserError

MANY = 2000
KEPT: list[Any] = []
ROW: dict[str, Any] = {"problem": "how many?", "answer": "1"}


@pytest.fixture
def arrow() -> Iterator[Any]:
    """Arrow's memory from here on: `max_memory()` is the most it has held."""
    before = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(before)
    KEPT.append(pool)  # arrays of it may live on in the tracebacks that pytest keeps
    pa.set_memory_pool(pool)
    yield pool
    pa.set_memory_pool(before)


def written(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    pq.write_table(pa.table(columns), path, compression="zstd", **options)
    return path


def by_reference(value: bytes | str, count: int) -> pa.Array:
    """One value and many references to it, as a small file holds them."""
    indices = pa.array([0] * count, pa.int32())
    return pa.DictionaryArray.from_arrays(indices, pa.array([value]))


def refused(path: Path, arrow: Any) -> str:
    """What is said of a file of at most 50 kB; Arrow has held at most 100 MB."""
    assert path.stat().st_size < 50_000
    with pytest.raises(UserError) as caught:
        reader.load(str(path), "train")
    assert arrow.max_memory() < 100e6
    return str(caught.value)


def test_one_long_value_and_many_references_to_it(tmp_path: Path, arrow: Any) -> None:
    columns = {
        "problem": by_reference("x" * 2**20, MANY),  # 2 GB once it is text
        "answer": ["1"] * MANY,
    }
    said = refused(written(tmp_path / "train.parquet", columns), arrow)
    assert "column 'problem' would fill more than 1,024 MiB" in said


def test_many_references_in_one_row(tmp_path: Path, arrow: Any) -> None:
    pictures = pa.StructArray.from_arrays([by_reference(bytes(2**20), MANY)], ["bytes"])
    rows = pa.ListArray.from_arrays([0, MANY, MANY], pictures)
    columns = {"problem": ["?"] * 2, "answer": ["1"] * 2, "images": rows}
    said = refused(written(tmp_path / "train.parquet", columns), arrow)
    assert "column 'images' would fill more than" in said


@pytest.mark.parametrize("codec", ["zstd", "gzip", "brotli"])
def test_a_value_that_unpacks_to_a_thousand_times_its_size(
    tmp_path: Path, arrow: Any, monkeypatch: pytest.MonkeyPatch, codec: str
) -> None:
    monkeypatch.setattr(parquet, "FLOOR", 2**24)  # 16 MB for 1 GiB, that the test is quick
    path = tmp_path / "train.parquet"
    table = pa.table({"problem": ["?", "?"], "answer": ["1", "x" * 2**25]})
    pq.write_table(table, path, compression=codec)
    del table
    before = arrow.bytes_allocated()
    assert path.stat().st_size < 50_000
    with pytest.raises(UserError, match="column 'answer' would fill more than"):
        reader.load(str(path), "train")
    assert arrow.bytes_allocated() - before < 2**24


def test_a_value_of_fixed_length_and_a_list_of_nothing(
    tmp_path: Path, arrow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "FLOOR", 2**24)
    value = pa.array([bytes(2**20)], pa.binary(2**20))
    fixed = pa.DictionaryArray.from_arrays(pa.array([0] * 40, pa.int32()), value)
    path = written(tmp_path / "a.parquet", {"problem": ["?"] * 40, "answer": fixed})
    assert "column 'answer'" in refused(path, arrow)
    nothing = pa.ListArray.from_arrays([0, 4 * 10**6, 4 * 10**6], pa.nulls(4 * 10**6, pa.int8()))
    path = written(tmp_path / "b.parquet", {"problem": nothing, "answer": ["1"] * 2})
    assert "column 'problem'" in refused(path, arrow)


def test_more_rows_than_its_bytes_could_hold(tmp_path: Path, arrow: Any) -> None:
    path = written(tmp_path / "train.parquet", {"problem": pa.nulls(3 * 10**6)})
    assert "claims 3,000,000 rows" in refused(path, arrow)


def test_a_column_that_nobody_reads_is_not_decoded(tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    noise = os.urandom(5000)
    rows = [{**ROW, "id": f"r{i}", "thumbnail": noise + bytes([i])} for i in range(20)]
    pq.write_table(pa.Table.from_pylist(rows), path, use_dictionary=False, compression="none")
    raw = path.read_bytes()
    assert raw.count(noise[:64]) >= 20
    lengths = (len(noise) + 1).to_bytes(4, "little") + noise[:8]
    path.write_bytes(raw.replace(lengths, b"\xff\xff\xff\x7f" + noise[:8]))  # each 2 GB long
    with pytest.raises(pa.ArrowInvalid, match="BYTE_ARRAY"):
        pq.read_table(path)
    assert [row["id"] for row in parquet.rows(path)][-1] == "r19"


def test_a_column_that_is_only_looked_at_costs_no_more(tmp_path: Path, arrow: Any) -> None:
    columns = {
        "problem": ["?"] * MANY,
        "answer": ["1"] * MANY,
        "trace": by_reference(bytes(2**20), MANY),
    }
    path = written(tmp_path / "train.parquet", columns)
    assert len(reader.load(str(path), "train")) == 0.9 * MANY  # the others are for validation
    assert arrow.max_memory() < 100e6  # the column stands for 2 GB


def test_rows_can_be_looked_at_in_any_order_and_after_the_last(tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    rows = [
        {**ROW, "id": i, "images": [{"bytes": bytes([i % 256]) * i, "path": None}], "none": None}
        for i in range(1000)
    ]
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=300)
    found = list(parquet.rows(path))
    assert [dict(row) for row in reversed(found)] == rows[::-1]
    assert list(found[0]) == list(rows[0])
    assert "other" not in found[0]
    with pytest.raises(KeyError):
        found[0]["other"]


@pytest.mark.parametrize("cut", [0, 1, 4, 11, 100, -1, -8, -100])
def test_a_damaged_file_is_one_sentence(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "train.parquet"
    pq.write_table(pa.Table.from_pylist([ROW] * 100), path)
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    with pytest.raises(UserError, match=r"train\.parquet"):
        reader.load(str(path), "train")
    path.write_bytes(whole[: len(whole) // 3] + bytes(40) + whole[len(whole) // 3 + 40 :])
    with pytest.raises(UserError, match=r"train\.parquet"):
        reader.load(str(path), "train")


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".json", ".tsv"])
def test_a_data_file_that_is_a_pipe_or_a_device_is_refused(tmp_path: Path, suffix: str) -> None:
    pipe, endless = tmp_path / f"pipe{suffix}", tmp_path / f"endless{suffix}"
    os.mkfifo(pipe)
    endless.symlink_to("/dev/zero")
    for path, kind in ((pipe, "a pipe"), (endless, "a device")):
        with pytest.raises(UserError, match=f"is refused: it is {kind}"):
            reader.load(str(path), "train")


@pytest.mark.parametrize("suffix", [".jsonl", ".tsv"])
def test_a_line_without_an_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    monkeypatch.setattr("mssr_rl.data.table_files.ROW_BYTES", 1000)
    path = tmp_path / f"train{suffix}"
    first = json.dumps(ROW) if suffix == ".jsonl" else "problem\tanswer"
    path.write_text(first + "\n" + "x" * 5000)
    with pytest.raises(UserError, match="line 2 is longer than"):
        reader.load(str(path), "train")
