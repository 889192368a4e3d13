"""Pictures from outside: broken, too large, in odd modes; and decoded for use."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mssr_rl.data import pictures


def content(kind: str, mode: str = "RGB", size: tuple[int, int] = (64, 48)) -> bytes:
    buffer = io.BytesIO()
    noise = Image.effect_noise(size, 90).convert(mode)
    noise.save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF"])
def test_a_whole_picture_is_accepted_and_decoded(kind: str) -> None:
    whole = content(kind)
    assert pictures.as_seen(whole) == whole
    decoded = pictures.decode(whole)
    assert (decoded.mode, decoded.size) == ("RGB", (64, 48))


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    assert pictures.decode(content("PNG", mode)).mode == "RGB"


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_picture_that_is_cut_off_is_refused(kind: str, share: float) -> None:
    whole = content(kind)
    cut = whole[: int(len(whole) * share)]
    with pytest.raises(ValueError, match=r"broken|not a PNG"):
        pictures.as_seen(cut)
    with pytest.raises(ValueError, match=r"broken|not a PNG"):
        pictures.decode(cut)


@pytest.mark.parametrize(
    "text", [b"", b"<svg/>", b"GIF8", b"\x89PNG\r\n\x1a\n", b"%PDF-1.4", b"\0" * 99]
)
def test_what_is_no_picture_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="not a PNG"):
        pictures.as_seen(text)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "F", "RGBA", "I"])
def test_an_image_in_memory_becomes_bytes_whatever_its_mode(mode: str) -> None:
    image = Image.new(mode, (3, 2))
    assert pictures.decode(pictures.encoded(image, None)).size == (3, 2)


def test_a_path_needs_a_folder() -> None:
    with pytest.raises(ValueError, match=r"'a\.png' has no folder to be relative to"):
        pictures.encoded("a.png", None)


def test_bytes_in_a_row_are_limited_as_files_are(monkeypatch: pytest.MonkeyPatch) -> None:
    found = content("PNG")
    padded = found + bytes(2 << 20)
    assert pictures.as_seen(padded) == padded
    monkeypatch.setattr(pictures, "MAX_BYTES", 1 << 20)
    assert pictures.as_seen(found) == found
    for use in (pictures.as_seen, pictures.decode):
        with pytest.raises(ValueError, match="its 2 MiB are more than 1 MiB"):
            use(padded)


# ---- as people see them ----


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def transparent(mode: str) -> Image.Image:
    """A black square on nothing."""
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (2, 2, 4, 4))
    return image.convert(mode)


def palette() -> bytes:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 0, 0, 0])  # both black: nothing but transparency tells them apart
    image.paste(0, (2, 2, 4, 4))
    return saved(image, transparency=1)


@pytest.mark.parametrize(
    "content",
    [saved(transparent("RGBA")), saved(transparent("LA")), saved(transparent("RGBA"), "WEBP",
     lossless=True), palette(), saved(Image.new("RGB", (8, 8)), transparency=(0, 0, 0))],
    ids=["RGBA", "LA", "WEBP", "palette", "one colour"],
)  # fmt: skip
def test_a_transparent_ground_is_white(content: bytes) -> None:
    kept = pictures.as_seen(content)
    for image in (pictures.decode(content), Image.open(io.BytesIO(kept))):
        assert image.mode == "RGB"
        assert image.getpixel((7, 7)) == (255, 255, 255)
    assert pictures.as_seen(kept) == kept


def test_half_transparent_is_half_white_and_full_alpha_changes_nothing() -> None:
    grey = pictures.decode(saved(Image.new("RGBA", (4, 4), (0, 0, 0, 128)))).getpixel((0, 0))
    assert grey == (127, 127, 127)
    opaque = saved(Image.new("RGBA", (4, 4), (10, 20, 30, 255)))
    assert pictures.as_seen(opaque) == opaque


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_stands_upright(kind: str, orientation: int) -> None:
    upright = Image.new("L", (32, 16), 255)
    upright.paste(0, (0, 0, 16, 8))  # dark at the top left only
    turned = [None, 0, 3, 1, 5, 4, 6, 2][orientation - 1]  # how a camera stores it
    undo = {4: 2, 2: 4}
    stored = upright
    if turned is not None:
        stored = upright.transpose(Image.Transpose(undo.get(turned, turned)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = saved(stored.convert("RGB"), kind, exif=exif)
    for data in (content, pictures.as_seen(content)):
        shown = pictures.decode(data).convert("L")
        assert shown.size == (32, 16)
        corners = [shown.getpixel(xy) for xy in ((2, 2), (29, 2), (2, 13), (29, 13))]
        assert [level > 128 for level in corners] == [False, True, True, True]


def test_metadata_that_cannot_be_read_is_ignored_as_viewers_do() -> None:
    content = saved(Image.new("RGB", (4, 3), "red"), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert pictures.decode(content).size == (4, 3)


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_sixteen_bits_are_scaled(kind: type) -> None:
    ramp = Image.fromarray(np.linspace(0, 65535, 256).astype(kind).reshape(1, 256))
    content = pictures.encoded(ramp, None)
    for data in (content, pictures.as_seen(content)):
        shown = np.asarray(pictures.decode(data))[0, :, 0]
        assert np.abs(shown.astype(int) - np.arange(256)).max() <= 1


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_every_frame_of_an_animation_is_decoded(kind: str) -> None:
    frames = [Image.effect_noise((40, 30), 90).convert("RGB") for _ in range(4)]
    whole = saved(frames[0], kind, save_all=True, append_images=frames[1:])
    assert pictures.as_seen(whole) == whole
    assert pictures.decode(whole).size == (40, 30)
    with pytest.raises(ValueError, match=r"broken|not a PNG"):
        pictures.as_seen(whole[: int(len(whole) * 0.9)])


def test_an_animation_of_many_pixels_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MAX_FRAME_PIXELS", 5000)
    frames = [Image.effect_noise((40, 30), 90).convert("RGB") for _ in range(5)]
    with pytest.raises(ValueError, match="its 5 frames of 40 x 30 pixels are more than"):
        pictures.as_seen(saved(frames[0], "GIF", save_all=True, append_images=frames[1:]))


def test_a_path_that_was_written_on_windows_is_found(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(whole := content("PNG"))
    assert pictures.encoded("images\\a.png", tmp_path) == whole
    with pytest.raises(ValueError, match="leads out of"):
        pictures.encoded("..\\..\\a.png", tmp_path)
