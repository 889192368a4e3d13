"""Rows in the columns of Vision-R1-RL become problems, and what is wrong with a row is said."""

import base64
import io
import json
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mssr_rl.data import reader, row_faults, sources, table_files
from mssr_rl.errors import UserError
from mssr_rl.problem import Problem

REAL = Path(__file__).parents[3] / "shared" / "real_mini"

Row = dict[str, Any]


def png(colour: str = "red", size: tuple[int, int] = (4, 3)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


def row(**changed: Any) -> Row:
    usual: Row = {"problem": "<image>How many?", "images": [{"bytes": png(), "path": None}]}
    return {**usual, "answer": "5", **changed}


def problems(*rows: Mapping[str, Any], folder: Path | None = None) -> list[Problem]:
    """The problems of rows in memory, as a hub's data set hands them over."""
    return reader.problems(
        sources.Source("rows", "train", False, folder, lambda: iter(rows)), "train"
    )


def jsonl(path: Path, *rows: Row) -> str:
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return str(path)


def refusal(*rows: Row, folder: Path | None = None) -> str:
    with pytest.raises(UserError) as caught:
        problems(*rows, folder=folder)
    return str(caught.value)


def test_a_row_becomes_a_problem() -> None:
    (problem,) = problems(
        row(id="clock-1", family="clock", level=2, subject=None, choices=["4", "5"], other="x")
    )
    assert problem == Problem(
        key="clock-1",
        prompt="<image>How many?\nChoices:\n(A) 4\n(B) 5",
        answer="5",
        images=(png(),),
        choices=("4", "5"),
        tags={"family": "clock", "level": "2"},
    )


@pytest.mark.parametrize(
    "images",
    [
        [{"bytes": png(), "path": None}],
        {"bytes": png(), "path": "elsewhere.png"},
        [png()],
        png(),
        [Image.open(io.BytesIO(png()))],
        Image.open(io.BytesIO(png())),
        ["pictures/red.png"],
        "pictures/red.png",
        [{"bytes": None, "path": "pictures/red.png"}],
    ],
    ids=[
        "list of a dict",
        "dict",
        "list of bytes",
        "bytes",
        "list of an image",
        "image",
        "list of a path",
        "path",
        "dict with a path",
    ],
)
def test_a_picture_may_come_in_every_shape(images: Any, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "red.png").write_bytes(png())
    (problem,) = problems(row(images=images), folder=tmp_path)
    with Image.open(io.BytesIO(problem.images[0])) as picture:
        assert (picture.size, picture.convert("RGB").getpixel((0, 0))) == ((4, 3), (255, 0, 0))


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("<answer>5</answer>", "5"), (" <answer> \\frac{1}{2}\n</answer> ", "\\frac{1}{2}"),
        (" A ", "A"), (5, "5"), (2.5, "2.5"), ("<answer>5", "<answer>5"),
    ],
)  # fmt: skip
def test_the_answer_comes_out_of_its_tags(answer: Any, text: str) -> None:
    assert problems(row(answer=answer))[0].answer == text


def test_a_prompt_without_tags_gets_one_for_each_picture_in_front() -> None:
    (problem,) = problems(row(problem="Which?", images=[png(), png("blue")]))
    assert problem.prompt == "<image><image>Which?"


@pytest.mark.parametrize("images", [None, [], "no column"])
def test_a_row_without_pictures_is_text_only(images: Any) -> None:
    plain = row(problem="2 + 3?", images=images)
    if images == "no column":
        del plain["images"]
    assert problems(plain)[0].images == ()


def test_rows_without_an_id_go_by_split_and_position() -> None:
    assert [p.key for p in problems(row(), row())] == ["train-0", "train-1"]


def test_no_choices_and_an_empty_list_are_the_same() -> None:
    assert [p.choices for p in problems(row(choices=[]), row(choices=None))] == [None, None]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"answer": ""}, "rows row 1 (id train-1) has an empty answer"),
        ({"answer": "<answer> </answer>"}, "has an empty answer"),
        ({"answer": None}, "has an empty answer"),
        ({"answer": float("nan")}, "has an empty answer"),
        ({"problem": " "}, "has an empty problem"),
        ({"problem": 7}, "has an empty problem"),
        ({"problem": "<image><image>?"}, "has 2 <image> tags but 1 pictures"),
        ({"images": None}, "has 1 <image> tags but 0 pictures"),
        ({"images": [b"no picture"]}, "picture 0 cannot be used, it is not a PNG"),
        ({"images": [png()[:60]]}, "picture 0 cannot be used"),
        ({"images": [{"bytes": None, "path": None}]}, "neither bytes, a path"),
        ({"images": [17]}, "neither bytes, a path"),
        ({"images": ["missing.png"]}, "'missing.png' cannot be read"),
        ({"images": ["../secret.png"]}, "leads out of"),
        ({"images": ["/etc/passwd"]}, "leads out of"),
        ({"images": ["link.png"]}, "leads out of"),
        ({"images": ["https://example.org/a.png"]}, "pictures are never downloaded"),
        ({"images": ["file:///etc/passwd"]}, "leads out of"),
        ({"images": ["a\0b"]}, "picture 0 cannot be used"),
        ({"choices": "A;B"}, "has choices that are not a list of texts"),
        ({"id": ""}, "row 1 has no id"),
        ({"id": None}, "row 1 has no id"),
    ],
)
def test_what_is_wrong_with_a_row_is_said_with_its_name(
    changed: Row, says: str, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "secret.png").write_bytes(png())
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    message = refusal(row(), row(**changed), folder=folder)
    assert says in message
    assert message.startswith("rows row 1 ")


@pytest.mark.parametrize("size", [(10_000, 5_001), (20_000, 20_000)])
def test_a_picture_over_fifty_megapixels_is_refused_by_its_header(size: tuple[int, int]) -> None:
    small = png()
    bomb = small[:16] + struct.pack(">II", *size) + small[24:29]  # signature, length, IHDR, size
    bomb += struct.pack(">I", zlib.crc32(bomb[12:29])) + small[33:]
    assert "more than 50 megapixels" in refusal(row(images=[bomb]))


def test_an_id_that_occurs_twice_is_refused() -> None:
    assert refusal(row(id="a"), row(id="b"), row(id="a")) == "rows rows 0 and 2 have the same id a"


def test_a_data_set_without_rows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text("\n")
    with pytest.raises(UserError, match=r"train\.jsonl has no rows in its train split"):
        reader.load(str(tmp_path), "train")


def test_a_limit_takes_the_first_rows_and_must_leave_some(tmp_path: Path) -> None:
    jsonl(tmp_path / "train.jsonl", *(row(images=None, problem=f"{i}?", id=i) for i in range(5)))
    jsonl(tmp_path / "test.jsonl", row(images=None, problem="?"))
    assert [p.key for p in reader.load(str(tmp_path), "train", limit=2)] == ["0", "1"]
    with pytest.raises(UserError, match="limit=0 leaves no rows"):
        reader.load(str(tmp_path), "train", limit=0)


def test_parquet_and_json_lines_give_the_same_problems(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png())
    table_files.write_parquet(
        tmp_path / "rows.parquet", [row(id=f"r{i}", level=i) for i in range(4)]
    )
    jsonl(tmp_path / "rows.jsonl", *(row(id=f"r{i}", level=i, images=["a.png"]) for i in range(4)))
    listed = [row(id=f"r{i}", level=i, images="a.png") for i in range(4)]
    (tmp_path / "rows.json").write_text(json.dumps(listed))
    loaded = [
        reader.load(str(tmp_path / f"rows.{end}"), "train") for end in ("parquet", "jsonl", "json")
    ]
    assert len(loaded[0]) == 3
    assert loaded[0] == loaded[1] == loaded[2]


def test_text_in_base64_is_a_picture_as_it_is_and_as_a_data_uri() -> None:
    text = base64.b64encode(png()).decode()
    wrapped = base64.encodebytes(png()).decode()
    for item in (text, wrapped, f"data:image/png;base64,{text}"):
        assert problems(row(images=[item]))[0].images == (png(),)
    for item in (text[:-9] + "!", "data:image/svg+xml,<svg/>", f"data:image/png;base64,{text}*"):
        assert "picture 0 cannot be used" in refusal(row(images=[item]))


def test_a_name_is_looked_for_beside_the_table_and_in_its_folder_of_pictures(
    tmp_path: Path,
) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(png())
    (tmp_path / "b c.png").write_bytes(png("blue"))
    names = ["a.png", "images/a.png", f"file://{tmp_path}/b%20c.png", str(tmp_path / "b c.png")]
    found = [problems(row(images=[name]), folder=tmp_path)[0].images[0] for name in names]
    assert found == [png(), png(), png("blue"), png("blue")]


def test_a_name_that_is_nothing_here_says_what_could_be_used() -> None:
    with pytest.raises(UserError, match=r"no file or folder /no/such; env\.data takes mini"):
        reader.load("/no/such", "train")
    with pytest.raises(UserError, match="no split 'dev'; choose from train, val, test"):
        reader.load("anything", "dev")


@pytest.mark.skipif(not REAL.is_dir(), reason="the real problems are not at hand")
def test_the_real_problems_load_from_every_format() -> None:
    train, test = reader.load(str(REAL), "train"), reader.load(str(REAL), "test")
    assert (len(train), len(test)) == (80, 40)
    assert reader.load(str(REAL), "val") == test
    parts = [reader.load(str(REAL / "test.jsonl"), split) for split in ("train", "val")]
    assert {p.key: p for part in parts for p in part} == {p.key: p for p in test}
    assert sum(p.choices is not None for p in train) == 40
    assert all(p.prompt.count("<image>") == len(p.images) == 1 for p in train + test)


def test_rows_without_a_usable_id_are_listed_and_left_out() -> None:
    rows = [row(id="a"), row(id="a"), row(id=""), row(id="b")]
    with row_faults.listed() as found:
        kept = problems(*rows)
    assert [problem.key for problem in kept] == ["a", "b"]
    assert ["have the same id a" in found[0], "row 2 has no id" in found[1]] == [True, True]
