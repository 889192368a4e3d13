"""Streams that grow: only complete lines count, each once; a file written again is read again."""

import json
import os
from pathlib import Path

import pytest

from mssr_rl.view import follow
from mssr_rl.view.follow import FollowedRun, MetricColumns
from mssr_rl.view.glance import Glances
from mssr_rl.view.rollout_search import RolloutFilter, search


def line(step: int, **more: object) -> bytes:
    return json.dumps({"step": step, "reward/mean": 0.5 * step, **more}).encode() + b"\n"


def append(folder: Path, *parts: bytes) -> None:
    with (folder / "metrics.jsonl").open("ab") as file:
        file.write(b"".join(parts))


def test_an_incomplete_last_line_is_read_once_it_is_complete(tmp_path: Path) -> None:
    columns = MetricColumns(tmp_path)
    append(tmp_path, line(1), line(2)[:9])
    columns.update()
    assert list(columns.steps) == [1]
    append(tmp_path, line(2)[9:])
    columns.update()
    columns.update()
    assert list(columns.steps) == [1, 2]
    assert columns.bad == 0


def test_a_stream_that_was_cut_back_and_grew_again_is_read_again(tmp_path: Path) -> None:
    columns = MetricColumns(tmp_path)
    append(tmp_path, line(1), line(2), line(3))
    columns.update()
    os.truncate(tmp_path / "metrics.jsonl", len(line(1)))
    append(tmp_path, line(2, other=7.0), line(3, other=8.0), line(4, other=9.0))
    columns.update()
    assert list(columns.steps) == [1, 2, 3, 4]
    assert list(columns.columns["other"])[1:] == [7, 8, 9]


def test_a_step_that_was_made_again_replaces_the_older_rows(tmp_path: Path) -> None:
    columns = MetricColumns(tmp_path)
    append(tmp_path, line(1), line(2), line(3), line(2, again=1.0))
    columns.update()
    assert list(columns.steps) == [1, 2]
    assert columns.newest()["again"] == 1.0


def test_a_deleted_stream_is_empty_and_a_new_one_is_read(tmp_path: Path) -> None:
    columns = MetricColumns(tmp_path)
    append(tmp_path, line(1))
    columns.update()
    (tmp_path / "metrics.jsonl").unlink()
    columns.update()
    assert list(columns.steps) == []
    append(tmp_path, line(5))
    columns.update()
    assert list(columns.steps) == [5]


@pytest.mark.parametrize(
    "bad",
    [b"\n", b"[]\n", b"{}\n", b'{"step": "1"}\n', b'{"step": 1, "x": "<b>"}\n', b"\xff\xfe\n",
     b'{"step": 1e99}\n', b'{"step": NaN}\n', b"[" * 5000 + b"\n"],
)  # fmt: skip
def test_a_line_that_training_did_not_write_is_left_out_and_counted(
    tmp_path: Path, bad: bytes
) -> None:
    run = FollowedRun(tmp_path)
    append(tmp_path, line(1), bad, line(2))
    run.update()
    assert list(run.metrics.steps) == [1, 2]
    assert run.complaints() == ["1 lines of metrics.jsonl could not be read"]


def test_a_run_with_thousands_of_metrics_keeps_a_few_hundred(tmp_path: Path) -> None:
    columns = MetricColumns(tmp_path)
    append(tmp_path, line(1, **{f"z{i}": i for i in range(5000)}), line(2))
    columns.update()
    assert len(columns.columns) == follow.KEPT_COLUMNS
    assert list(columns.columns["reward/mean"]) == [0.5, 1.0]


def test_a_very_long_stream_is_read_in_pieces_from_its_newest_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "LONGEST", 600)
    monkeypatch.setattr(follow, "PIECE", 100)
    append(tmp_path, *(line(step) for step in range(1, 101)))
    run = FollowedRun(tmp_path)
    run.update()
    assert len(run.metrics.steps) < 5
    for _ in range(20):
        run.update()
    assert run.metrics.steps[-1] == 100
    assert run.metrics.steps[0] > 80
    assert "are left out" in run.complaints()[0]


def test_a_pipe_or_a_link_that_leads_out_is_not_read(tmp_path: Path) -> None:
    inside = tmp_path / "run"
    inside.mkdir()
    (tmp_path / "secret").write_bytes(line(1))
    (inside / "metrics.jsonl").symlink_to(tmp_path / "secret")
    with pytest.raises(follow.untrusted.Unusable, match="leads out"):
        MetricColumns(inside).update()
    (inside / "metrics.jsonl").unlink()
    os.mkfifo(inside / "metrics.jsonl")
    with pytest.raises(follow.untrusted.Unusable, match="a pipe"):
        MetricColumns(inside).update()
    assert Glances().at(inside).rewards == ()


def test_many_steps_are_drawn_as_means_of_several(tmp_path: Path) -> None:
    columns = MetricColumns(tmp_path)
    append(tmp_path, *(line(step, **{"budget/rollouts": 8 * step}) for step in range(1, 11)))
    columns.update()
    rows = columns.binned(4)
    assert [row["step"] for row in rows] == [3, 6, 9, 10]
    assert [row["budget/rollouts"] for row in rows] == [24, 48, 72, 80]
    assert [row["reward/mean"] for row in rows] == [1.0, 2.5, 4.0, 5.0]
    assert columns.binned(10)[2]["reward/mean"] == 1.5


def test_the_sparkline_covers_the_whole_run_and_sees_new_steps(tmp_path: Path) -> None:
    append(tmp_path, *(line(step, **{"reward/mean": step / 9000}) for step in range(1, 9001)))
    glances = Glances()
    rewards = glances.at(tmp_path).rewards
    assert 16 <= len(rewards) <= 40
    assert rewards[0] < 0.02
    assert rewards[-1] > 0.95
    assert list(rewards) == sorted(rewards)
    append(tmp_path, *(line(step, **{"reward/mean": 9.0}) for step in range(9001, 9400)))
    assert glances.at(tmp_path).rewards[-1] > 8


def test_every_part_of_a_filter_selects_and_texts_are_searched_in_all_languages(
    make_run: object,
) -> None:
    folder = make_run(  # type: ignore[operator]
        samples=[
            {"step": 30, "reason": "wrong", "response": "Größe ΣΦ", "flipped": True, "tags": 3},
            {"step": 31, "reason": "timeout", "response": "x", "tags": {"family": "<b>"}},
        ]
    )
    run = FollowedRun(folder)
    run.update()

    def count(**asked: str) -> int:
        return search(run, RolloutFilter.of(asked), asked).matching

    assert count() == 26
    assert count(text="grösse σφ") == 1
    assert count(text="GRÖßE") == 1
    assert count(text="Σ Φ") == 0
    assert count(family="dice") == 24
    assert count(family="<b>") == 1
    assert count(verdict="right") == 12
    assert count(reason="timeout") == 1
    assert count(step="31") == 1
    assert count(flipped="yes") == 1
    assert count(split="val") == 0
    assert count(page="-1", nothing="x") == 26
    last = search(run, RolloutFilter.of({}), {"page": "999"})
    assert (last.page, last.pages, len(last.cards)) == (3, 3, 2)
