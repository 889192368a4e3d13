"""The generated data set and its cache: drawn once, never read stale, never half written."""

import logging
import time
from pathlib import Path

import pytest

from mssr_rl.data import reader
from mssr_rl.envs import mini
from mssr_rl.errors import UserError


@pytest.fixture(autouse=True)
def small_and_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own and splits of sixty problems."""
    monkeypatch.setenv("MSSR_CACHE", str(tmp_path))
    monkeypatch.setattr(mini, "COUNTS", dict.fromkeys(mini.COUNTS, 60))
    return tmp_path


def test_the_usual_sizes_are_those_of_the_laptop_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert mini.COUNTS == {"train": 2048, "val": 512, "test": 1024}


def test_problems_from_the_cache_equal_those_just_drawn() -> None:
    drawn = mini.mini_problems("val")
    assert mini.cache_file("val").is_file()
    assert mini.mini_problems("val") == drawn
    assert len(drawn) == 60


def test_the_tags_hold_family_and_level_and_no_working_is_kept() -> None:
    found = mini.mini_problems("val", 30)
    assert {(p.tags["family"], p.tags["level"]) for p in found} >= {("clock", "0"), ("frac", "2")}
    assert all(set(p.tags) == {"family", "level"} for p in found)
    mini.mini_problems("val")
    (row, *_) = reader.load(str(mini.cache_file("val")), "train", limit=1)
    assert row.answer
    assert {"steps", "hunch"} & set(mini._COLUMNS) == set()


def test_a_few_problems_are_drawn_without_filling_the_cache() -> None:
    few = mini.mini_problems("train", 7)
    assert not mini.cache_file("train").exists()
    assert mini.mini_problems("train")[:7] == few == mini.mini_problems("train", 7)


def test_no_problem_is_in_two_splits() -> None:
    seen = [{(p.images, p.prompt) for p in mini.mini_problems(s)} for s in ("train", "val", "test")]
    assert len(set.union(*seen)) == sum(map(len, seen)) == 180


@pytest.mark.parametrize("package", mini._DRAWING)
def test_another_version_of_a_drawing_library_has_another_cache(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = mini.cache_file("val")
    monkeypatch.setattr(mini, "version", lambda name: "0" if name == package else "1")
    other = mini.cache_file("val")
    monkeypatch.setattr(mini, "version", lambda name: "1")
    assert len({before, other, mini.cache_file("val")}) == 3


def test_a_changed_generator_has_another_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = mini.cache_file("val")
    families = tmp_path / "families"
    families.mkdir()
    for file in (Path(mini.__file__).parent / "families").glob("*.py"):
        (families / file.name).write_bytes(file.read_bytes())
    monkeypatch.setattr(mini, "__file__", str(tmp_path / "mini.py"))
    assert mini.cache_file("val") == before
    (families / "clock.py").write_text((families / "clock.py").read_text() + "# changed\n")
    assert mini.cache_file("val") != before


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_cut_off_cache_is_drawn_again_and_said_so(
    share: float, caplog: pytest.LogCaptureFixture
) -> None:
    drawn = mini.mini_problems("val")
    whole = mini.cache_file("val").read_bytes()
    mini.cache_file("val").write_bytes(whole[: int(share * len(whole))])
    with caplog.at_level(logging.WARNING):
        assert mini.mini_problems("val") == drawn
    assert "the cache is drawn again" in caplog.text
    assert mini.cache_file("val").read_bytes() == whole


def test_a_cache_that_cannot_be_written_is_done_without(
    small_and_apart: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (small_and_apart / "file").write_text("no folder")
    monkeypatch.setenv("MSSR_CACHE", str(small_and_apart / "file"))
    assert len(mini.mini_problems("val")) == 60
    assert "problems are drawn anew" in caplog.text


def test_drawing_is_quick_enough_for_a_first_run(monkeypatch: pytest.MonkeyPatch) -> None:
    started = time.process_time()
    mini.mini_problems("test")
    assert time.process_time() - started < 3  # 60 problems; some 0.2 s on a free core


def test_another_split_is_refused() -> None:
    with pytest.raises(UserError, match="no split 'dev'; choose from train, val, test"):
        mini.mini_problems("dev")
