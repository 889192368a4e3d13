"""Pictures and paths of a data set: bombs, addresses, traversal, links, pipes; named by row."""

import json
import os
import shutil
import socket
import struct
import time
import tracemalloc
import zlib
from pathlib import Path

import pytest

from mssr_rl.data import reader
from mssr_rl.errors import UserError


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Every socket that is opened."""
    opened: list[object] = []

    def refuse(*arguments: object, **options: object) -> None:
        opened.append(arguments)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return opened


def png(width: int, height: int) -> bytes:
    """A sound header and a few bytes of deflated nothing: small on disk, huge in memory."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(100_000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def data_with(folder: Path, image: object) -> str:
    """A data set with one row whose picture is `image`."""
    folder.mkdir()
    row = {"id": "r7", "problem": "how many?", "answer": "1", "images": [image]}
    (folder / "train.jsonl").write_text(json.dumps(row) + "\n" + json.dumps({**row, "id": "r8"}))
    return str(folder)


def refusal(folder: Path, image: object) -> str:
    with pytest.raises(UserError) as caught:
        reader.load(data_with(folder, image), "train")
    assert "(id r7)" in str(caught.value) or "(id r8)" in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("side", [9_000, 13_000, 14_000, 2**31 - 1])
def test_a_decompression_bomb_costs_nothing(tmp_path: Path, side: int) -> None:
    folder = tmp_path / "data"
    tracemalloc.start()
    begun = time.process_time()
    path = tmp_path / "bomb.png"
    path.write_bytes(png(side, side))
    data_with(folder, "bomb.png")
    path.rename(folder / "bomb.png")
    with pytest.raises(UserError, match="megapixels"):
        reader.load(str(folder), "train")
    assert tracemalloc.get_traced_memory()[1] < 50e6
    assert time.process_time() - begun < 5
    tracemalloc.stop()


ADDRESSES = [
    "http://169.254.169.254/latest/meta-data/iam/security-credentials/",
    "http://[fd00:ec2::254]/latest/meta-data/",
    "http://metadata.google.internal/computeMetadata/v1/",
    "http://127.0.0.1:8265/api/jobs",
    "https://example.org/cat.png",
    "ftp://example.org/cat.png",
]


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_is_never_fetched(
    tmp_path: Path, no_network: list[object], address: str, wrapped: bool
) -> None:
    image = {"bytes": None, "path": address} if wrapped else address
    assert "pictures are never downloaded" in refusal(tmp_path / "data", image)
    assert no_network == []


@pytest.mark.parametrize(
    "path",
    [
        *("../../secret.png", "a/../../secret.png", "/etc/passwd", "..", "~/../secret.png/../.."),
        *("file:///etc/passwd", "file://../../secret.png", "file:///%2e%2e/%2e%2e/etc/passwd"),
    ],
)
def test_a_path_out_of_the_data_folder_is_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "secret.png").write_bytes(png(8, 8))
    said = refusal(tmp_path / "data", path)
    assert "leads out of" in said or "cannot be read" in said or "is not a file" in said


def test_a_link_out_of_the_data_folder_is_refused_and_one_in_the_hub_s_cache_is_not(
    tmp_path: Path, counting_data: Path
) -> None:
    outside = tmp_path / "blobs"
    outside.mkdir()
    shutil.copy(counting_data / "dot.png", outside / "0a1b")
    data_with(tmp_path / "data", "link.png")
    (tmp_path / "data" / "link.png").symlink_to(outside / "0a1b")
    with pytest.raises(UserError, match="leads out of"):
        reader.load(str(tmp_path / "data"), "train")
    snapshot = tmp_path / "snapshots" / "revision"
    snapshot.parent.mkdir()
    data_with(snapshot, "link.png")
    (snapshot / "link.png").symlink_to(Path("../../blobs/0a1b"))
    assert len(reader.load(str(snapshot), "train")) == 1


def test_a_pipe_is_not_waited_for_and_a_huge_file_not_read(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    data_with(folder, "picture.png")
    os.mkfifo(folder / "picture.png")
    with pytest.raises(UserError, match="is not a file"):
        reader.load(str(folder), "train")
    (folder / "picture.png").unlink()
    with (folder / "picture.png").open("wb") as file:
        file.truncate(2**33)  # 8 GiB of nothing
    with pytest.raises(UserError, match="8192 MiB are more than 64 MiB"):
        reader.load(str(folder), "train")
