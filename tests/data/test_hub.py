"""Data sets by hub id, with the real `datasets` library and without a network."""

import io
import socket
import time
from pathlib import Path
from typing import Any, NoReturn

import pytest
from PIL import Image

from mssr_rl.data import hub, reader
from mssr_rl.errors import UserError

datasets = pytest.importorskip("datasets")


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> NoReturn:
        raise socket.gaierror("Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    for name in hub._PROXIES:
        monkeypatch.delenv(name, raising=False)


def picture() -> Image.Image:
    image = Image.new("RGB", (5, 4), "red")
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return Image.open(buffer)


def rows(count: int) -> dict[str, list[Any]]:
    return {
        "problem": [f"<image>{i}?" for i in range(count)],
        "images": [[picture()] for _ in range(count)],
        "answer": [f"<answer>{i}</answer>" for i in range(count)],
    }


def image_set(count: int) -> Any:
    features = datasets.Features(
        {
            "problem": datasets.Value("string"),
            "images": datasets.List(datasets.Image()),
            "answer": datasets.Value("string"),
        }
    )
    return datasets.Dataset.from_dict(rows(count), features=features)


def test_rows_with_image_features_keep_their_pictures_encoded() -> None:
    (first, _) = hub.dataset_rows(image_set(2))
    assert first["images"][0]["bytes"].startswith(b"\x89PNG")


@pytest.mark.usefixtures("no_network")
def test_a_data_set_by_id_is_loaded_and_its_test_split_validates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """`load_dataset` takes a folder of the id's name for the data set itself: no network needed."""
    folder = tmp_path / "owner" / "name"
    folder.mkdir(parents=True)
    for split, count in (("train", 6), ("test", 3)):
        image_set(count).to_parquet(folder / f"{split}.parquet")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    problems = reader.problems(hub.hub_source("owner/name", "val"), "val")
    assert [(p.key, p.answer) for p in problems] == [
        ("test-0", "0"),
        ("test-1", "1"),
        ("test-2", "2"),
    ]
    assert "owner/name has no val split: its test split is used instead" in caplog.text
    assert len(reader.problems(hub.hub_source("owner/name", "train"), "train")) == 6


@pytest.mark.usefixtures("no_network")
def test_without_a_network_an_id_is_refused_at_once_with_the_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    started = time.process_time()
    with pytest.raises(UserError) as caught:
        reader.load("owner/missing", "train")
    assert time.process_time() - started < 3
    for part in ("no file or folder owner/missing", "connect or set HF_HOME", "env.data=mini"):
        assert part in str(caught.value)
    assert not datasets.config.HF_HUB_OFFLINE
