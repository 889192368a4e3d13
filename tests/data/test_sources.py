"""Which file answers for which split, and files that cannot be read."""

import json
import logging
from pathlib import Path

import pytest

from mssr_rl.data import reader, sources, table_files
from mssr_rl.errors import UserError


def write(folder: Path, name: str, count: int = 20) -> None:
    """`count` rows without pictures whose ids begin with the file's name."""
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    rows = [{"id": f"{name}/{i}", "problem": f"{i}?", "answer": str(i)} for i in range(count)]
    if path.suffix == ".parquet":
        table_files.write_parquet(path, rows)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def keys(data_set: Path, split: str) -> set[str]:
    return {problem.key for problem in reader.load(str(data_set), split)}


def stems(data_set: Path, split: str) -> set[str]:
    return {key.rpartition("/")[0] for key in keys(data_set, split)}


def test_each_split_comes_from_the_file_of_its_name(tmp_path: Path) -> None:
    for name in ("train.jsonl", "validation.parquet", "test.jsonl"):
        write(tmp_path, name)
    found = [stems(tmp_path, split) for split in ("train", "val", "test")]
    assert found == [{"train.jsonl"}, {"validation.parquet"}, {"test.jsonl"}]


def test_the_shards_of_a_split_are_read_in_order(tmp_path: Path) -> None:
    shards = [f"data/train-0000{i}-of-00002.parquet" for i in range(2)]
    for shard in reversed(shards):
        write(tmp_path, shard, 2)
    write(tmp_path, "data/test-00000-of-00001.parquet")
    loaded = reader.load(str(tmp_path), "train")
    assert [p.key for p in loaded] == [f"{shard}/{i}" for shard in shards for i in range(2)]


@pytest.mark.parametrize(("wanted", "there"), [("val", "test"), ("test", "val")])
def test_a_missing_split_is_stood_in_for_and_said_so(
    wanted: str, there: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, "train.jsonl")
    write(tmp_path, f"{there}.jsonl")
    with caplog.at_level(logging.WARNING):
        assert stems(tmp_path, wanted) == {f"{there}.jsonl"}
    assert f"has no {wanted} split: its {there} split is used instead" in caplog.text
    assert len(keys(tmp_path, "train")) == 20


def test_where_there_is_only_train_a_tenth_is_held_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, "train.jsonl", 100)
    train, val, test = (keys(tmp_path, split) for split in ("train", "val", "test"))
    assert (len(train), len(val)) == (90, 10)
    assert val == test
    assert not train & val
    assert "10 of its rows are kept as val and test" in caplog.text
    assert keys(tmp_path / "train.jsonl", "val") == val


def test_what_is_held_out_does_not_depend_on_the_order_of_the_rows(tmp_path: Path) -> None:
    write(tmp_path, "rows.jsonl", 50)
    before = keys(tmp_path / "rows.jsonl", "val")
    lines = (tmp_path / "rows.jsonl").read_text().splitlines()
    (tmp_path / "rows.jsonl").write_text("\n".join(reversed(lines)))
    assert keys(tmp_path / "rows.jsonl", "val") == before


def test_one_row_cannot_be_split(tmp_path: Path) -> None:
    write(tmp_path, "rows.jsonl", 1)
    with pytest.raises(UserError, match=r"rows\.jsonl has 1 rows: too few to hold some out"):
        keys(tmp_path / "rows.jsonl", "train")


def test_a_data_set_without_train_can_be_scored_but_not_trained_on(tmp_path: Path) -> None:
    write(tmp_path, "test.jsonl")
    assert len(keys(tmp_path, "val")) == 20
    with pytest.raises(UserError, match="has no train split; found test"):
        keys(tmp_path, "train")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("rows.parquet", b"PAR1 no", "cannot be read as parquet"),
        ("rows.jsonl", b'{"a": 1}\n{"a"\n', r"rows\.jsonl line 2 is not JSON"),
        ("rows.jsonl", b"\xff\xfe\n", r"rows\.jsonl line 1 is not JSON"),
        ("rows.jsonl", b"[" * 100_000, r"rows\.jsonl line 1 is not JSON"),
        ("rows.jsonl", b"[1]\n", "line 1 is not an object with columns but list"),
        ("rows.json", b"{}", "holds no list of rows"),
        ("rows.json", b"[1", "cannot be read as JSON"),
        ("rows.json", b"[1]", "row 0 is not an object"),
        (
            "rows.xlsx",
            b"a,b",
            r"is not a data set: use a file that ends with \.parquet, \.arrow, \.jsonl, \.json",
        ),
        ("rows.csv", b"a,b", r"rows\.csv has no rows"),
        ("rows.csv", b"a,b\n1,2,3\n", "a row with more fields than columns"),
        ("rows.jsonl.gz", b"no gzip", "cannot be read"),
        ("rows.parquet", b"version https://git-lfs.github.com/spec/v1\noid", "run git lfs pull"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    name: str, content: bytes, says: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=says):
        reader.load(str(tmp_path / name), "train")


def test_a_folder_without_data_says_what_the_files_should_be_called(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no train, val or test file; name them train\.parq"):
        reader.load(str(tmp_path), "train")


def test_written_rows_come_back_as_they_were(tmp_path: Path) -> None:
    rows = [{"problem": "é?", "images": [{"bytes": b"\0\xff", "path": None}], "answer": "5"}]
    table_files.write_parquet(tmp_path / "rows.parquet", rows)
    assert list(sources.local(tmp_path / "rows.parquet", "train").rows()) == rows
    assert [p.name for p in tmp_path.iterdir()] == ["rows.parquet"]
