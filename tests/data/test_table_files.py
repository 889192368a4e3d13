"""Files with rows in every common form, and folders as libraries lay them out."""

import csv
import gzip
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mssr_rl.data import reader, seen, table_files
from mssr_rl.errors import UserError

ROWS: list[dict[str, Any]] = [{"problem": f"{i} + 1?", "answer": str(i + 1)} for i in range(4)]
LINES = "\n".join(map(json.dumps, ROWS))
COLUMNS = {name: [row[name] for row in ROWS] for name in ("problem", "answer")}


def text_table(separator: str) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, ["problem", "answer"], delimiter=separator)
    writer.writeheader()
    writer.writerows(ROWS)
    return buffer.getvalue()


FORMS = {
    "list.json": json.dumps(ROWS),
    "pretty.json": json.dumps(ROWS, indent=2),
    "lines.json": LINES,
    "pretty_lines.jsonl": "\n".join(json.dumps(row, indent=2) for row in ROWS),
    "list.jsonl": json.dumps(ROWS, indent=1),
    "key.json": json.dumps({"version": "1", "data": ROWS}),
    "by_id.json": json.dumps({f"q{i}": row for i, row in enumerate(ROWS)}),
    "columns.json": json.dumps(COLUMNS),
    "pandas.json": json.dumps(
        {name: {str(i): v for i, v in enumerate(column)} for name, column in COLUMNS.items()}
    ),
    "split.json": json.dumps(
        {"columns": ["problem", "answer"], "index": [0, 1, 2, 3],
         "data": [[row["problem"], row["answer"]] for row in ROWS]}
    ),
    "pages.json": json.dumps(
        {"features": [{"name": "problem"}],
         "rows": [{"row_idx": i, "row": row} for i, row in enumerate(ROWS)]}
    ),
    "plain.jsonl": LINES,
    "windows.jsonl": LINES.replace("\n", "\r\n"),
    "rows.csv": text_table(","),
    "semicolon.csv": text_table(";"),
    "rows.tsv": text_table("\t"),
}  # fmt: skip


def keys_and_answers(path: Path) -> list[tuple[str, str]]:
    return [(row["problem"], str(row["answer"])) for row in table_files.rows_of(path)]


WANTED = [(row["problem"], row["answer"]) for row in ROWS]


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("coded", ["utf-8", "utf-8-sig", "utf-16", "gzip"])
def test_every_common_form_of_a_file_is_read(name: str, coded: str, tmp_path: Path) -> None:
    path = tmp_path / (f"{name}.gz" if coded == "gzip" else name)
    if coded == "gzip":
        path.write_bytes(gzip.compress(FORMS[name].encode()))
    else:
        path.write_bytes(FORMS[name].encode(coded))
    assert keys_and_answers(path) == WANTED


def test_packed_text_is_bounded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_files, "ROW_BYTES", 1000)
    monkeypatch.setattr(table_files, "JSON_BYTES", 1000)
    for name in ("rows.jsonl.gz", "rows.json.gz", "rows.csv.gz"):
        (tmp_path / name).write_bytes(gzip.compress(b"x" * 10**6))
        with pytest.raises(UserError, match=r"longer than|larger than"):
            list(table_files.rows_of(tmp_path / name))


# ---- folders ----


def picture(path: Path, colour: str = "red") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (6, 5), colour).save(path)


def count(folder: Path, split: str) -> int:
    return len(reader.load(str(folder), split))


def test_an_image_folder_is_read_with_and_without_splits(tmp_path: Path) -> None:
    for split in ("train", "test"):
        lines = []
        for i in range(3):
            picture(tmp_path / "two" / split / f"{i}.png")
            lines.append(json.dumps({"file_name": f"{i}.png", "question": f"{i}?", "answer": "1"}))
        (tmp_path / "two" / split / "metadata.jsonl").write_text("\n".join(lines))
    assert [count(tmp_path / "two", split) for split in ("train", "val", "test")] == [3, 3, 3]
    assert len(reader.load(str(tmp_path / "two"), "train")[0].images) == 1
    one = tmp_path / "one"
    shutil.copytree(tmp_path / "two" / "train", one)
    assert [count(one, split) for split in ("train", "test")] == [2, 1]


def test_what_save_to_disk_writes_is_read(tmp_path: Path) -> None:
    import datasets

    made = datasets.Dataset.from_list(ROWS)
    made.save_to_disk(tmp_path / "one")
    assert [count(tmp_path / "one", split) for split in ("train", "test")] == [3, 1]
    datasets.DatasetDict({"train": made, "test": made.select([0])}).save_to_disk(tmp_path / "two")
    assert [count(tmp_path / "two", split) for split in ("train", "test")] == [4, 1]


def test_splits_are_found_in_folders_and_in_parts_of_names(tmp_path: Path) -> None:
    for name in ("hub/train/0000.jsonl", "hub/train/0001.jsonl", "hub/test/0000.jsonl"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(LINES)
    assert [count(tmp_path / "hub", split) for split in ("train", "test")] == [8, 4]
    (tmp_path / "named").mkdir()
    for name in ("geo_train.json", "geo_test.json", "settings.json"):
        (tmp_path / "named" / name).write_text(json.dumps(ROWS) if "geo" in name else "{}")
    assert [count(tmp_path / "named", split) for split in ("train", "test")] == [4, 4]
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "whatever.csv").write_text(text_table(","))
    assert [count(tmp_path / "only", split) for split in ("train", "test")] == [3, 1]
    (tmp_path / "only" / "another.csv").write_text(text_table(","))
    with pytest.raises(UserError, match=r"several data files and no split .*: another.csv, what"):
        count(tmp_path / "only", "train")


# ---- pictures are looked at once ----


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MSSR_CACHE", str(tmp_path / "cache"))
    return tmp_path


def png(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGBA", (40, 30), colour).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_picture_is_decoded_once_and_then_known_by_its_hash(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = [png("red"), png("#ff000080"), b"no picture", png("blue")]
    first = seen.looked_at(contents)
    assert [bool(look.fault) for look in first] == [False, False, True, False]
    assert first[0].content is contents[0]
    assert first[1].content != contents[1]  # half transparent: now on white
    decoded: list[bytes] = []
    real = seen._look
    monkeypatch.setattr(seen, "_look", lambda c: (decoded.append(c), real(c))[1])
    assert seen.looked_at(contents) == first
    assert decoded == [contents[1]]  # made again, because only what it looks like is kept
    asked = {seen.digest(content): content for content in (first[1].content, contents[0])}
    assert set(seen.thumbnails(asked)) == set(asked)
    assert len(decoded) == 1


@pytest.mark.parametrize("spoilt", [b"", b"no database" * 100])
def test_a_cache_that_cannot_be_used_is_done_without(own_cache: Path, spoilt: bytes) -> None:
    seen.database().parent.mkdir(parents=True)
    seen.database().write_bytes(spoilt)
    (look,) = seen.looked_at([png("red")])
    assert not look.fault


def test_a_cache_folder_that_cannot_be_made_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MSSR_CACHE", str(tmp_path / "file"))
    assert not seen.looked_at([png("red")])[0].fault
