"""runfiles: whatever a run left behind can be read, and what cannot is named."""

import json
from pathlib import Path

import pytest

from mssr_rl.errors import UserError
from mssr_rl.report.runfiles import read_run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.yaml").write_text("seed: 0\n")
    (tmp_path / "run.json").write_text("{}")
    return tmp_path


def test_a_run_that_has_only_begun_is_empty(folder: Path) -> None:
    found = read_run(folder)
    assert (found.metrics, found.evaluations, found.samples) == ((), (), ())
    assert (found.last_step, dict(found.summary)) == (0, {})


def test_a_line_cut_short_is_left_out_and_said(folder: Path) -> None:
    (folder / "metrics.jsonl").write_text('{"step": 1}\n{"step": 2, "rew')
    found = read_run(folder)
    assert found.last_step == 1
    assert found.skipped == ("1 line of metrics.jsonl could not be read and is left out",)


def test_lines_that_are_no_step_are_left_out(folder: Path) -> None:
    lines = ["[1]", "{}", '{"step": "x"}', "null", "[" * 100_000, "", '{"step": 3}']
    (folder / "eval.jsonl").write_text("\n".join(lines))
    found = read_run(folder)
    assert [row["step"] for row in found.evaluations] == [3]
    assert found.skipped[0].startswith("5 lines of eval.jsonl")


def test_a_step_that_was_run_twice_counts_once(folder: Path) -> None:
    rows = [{"step": 1, "x": 1}, {"step": 2, "x": 1}, {"step": 2, "x": 9}]
    (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert [row["x"] for row in read_run(folder).metrics] == [1, 9]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere does not exist; (runs here: |no run is in runs)"):
        read_run(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["config.yaml", "run.json"])
def test_a_folder_that_is_no_run_is_told_what_it_lacks(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(UserError, match=f"has no {name}, so it is not a run directory"):
        read_run(folder)


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_a_damaged_run_json_is_named(folder: Path, text: str) -> None:
    (folder / "run.json").write_text(text)
    with pytest.raises(UserError, match=r"run\.json"):
        read_run(folder)
