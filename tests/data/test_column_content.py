"""Which columns hold pictures, by what is in them."""

import base64
import io
from typing import Any

import pytest
from PIL import Image

from mssr_rl.data import column_content


def picture(kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((40, 30), 90).convert("RGB").save(buffer, kind)
    return buffer.getvalue()


PICTURES = [
    picture(), picture("JPEG"), picture("BMP"), picture("TIFF"), {"bytes": picture(), "path": None},
    {"bytes": None, "path": "a/b.JPG"}, [picture()], "figures/one two.png", ["a.webp", "b.gif"],
    "https://example.org/a.png?width=3", base64.b64encode(picture()).decode(),
    base64.encodebytes(picture("JPEG")).decode(),
    "data:image/png;base64,iVBORw0KGgo=", "['a.png', 'b.png']", '["a.png"]',
    [{"type": "image", "image": "a.jpeg"}], Image.new("L", (3, 2)), b"<svg xmlns='x'/>",
]  # fmt: skip
OTHERS = [
    None, "", [], [None], "what is in fig.png?\nSay it.", "png", 5, 2.5, True, ["5", "6"], "[1, 2]",
    {"a": 1}, "A" * 200, b"plain bytes", ["a.png", "no picture"], "[broken",
    "VGhpcyBpcyBvbmx5IHNvbWUgdGV4dCBpbiBiYXNlNjQsIG5vdGhpbmcgZWxzZS4=",
]  # fmt: skip


@pytest.mark.parametrize("value", PICTURES)
def test_what_is_a_picture_is_seen_whatever_its_shape(value: Any) -> None:
    assert column_content.are_pictures(value)


@pytest.mark.parametrize("value", OTHERS)
def test_what_is_none_is_not_taken_for_one(value: Any) -> None:
    assert not column_content.are_pictures(value)


def test_a_column_with_pictures_that_nobody_reads_is_named() -> None:
    other = {"bytes": picture("JPEG"), "path": None}
    row = {"problem": "?", "img": "a.png", "thumbnail": other, "answer": "1"}
    assert column_content.unread(row, ()) == ["img", "thumbnail"]
    assert column_content.unread(row, [picture()]) == [
        "thumbnail"
    ]  # a name says where they came from
    assert column_content.unread(row, [other]) == []
    assert column_content.unread(row, (), skip=["img", "thumbnail"]) == []


def test_the_same_picture_in_another_shape_has_been_read() -> None:
    one = picture()
    text = base64.b64encode(one).decode()
    assert column_content.unread({"image": text, "copy": one}, [{"bytes": one}]) == []
