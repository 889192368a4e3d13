"""Pictures from outside: broken, too large, in odd modes; and decoded for use."""

import io

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
    pictures.check(content(kind), whole=True)
    decoded = pictures.decode(content(kind))
    assert (decoded.mode, decoded.size) == ("RGB", (64, 48))


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    assert pictures.decode(content("PNG", mode)).mode == "RGB"


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_picture_that_is_cut_off_is_refused(kind: str, share: float) -> None:
    whole = content(kind)
    cut = whole[: int(len(whole) * share)]
    with pytest.raises(ValueError, match=r"broken|no PNG"):
        pictures.check(cut, whole=True)
    with pytest.raises(ValueError, match=r"broken|no PNG"):
        pictures.decode(cut)


def test_the_header_alone_is_looked_at_when_asked() -> None:
    pictures.check(content("PNG")[:200], whole=False)


@pytest.mark.parametrize(
    "text", [b"", b"<svg/>", b"GIF8", b"\x89PNG\r\n\x1a\n", b"%PDF-1.4", b"\0" * 99]
)
def test_what_is_no_picture_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="no PNG"):
        pictures.check(text, whole=False)


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
    pictures.check(padded, whole=False)
    monkeypatch.setattr(pictures, "MAX_BYTES", 1 << 20)
    pictures.check(found, whole=True)
    for use in (lambda: pictures.check(padded, whole=False), lambda: pictures.decode(padded)):
        with pytest.raises(ValueError, match="its 2 MiB are more than 1 MiB"):
            use()
