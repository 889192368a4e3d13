"""Which rollouts are shown, and that what models and data files say stays data."""

import io
import math
from pathlib import Path

import pytest
import torch
from PIL import Image

from mssr_rl.envs.environment import Graded
from mssr_rl.grading.verify import Verdict
from mssr_rl.problem import Problem
from mssr_rl.run import samples
from mssr_rl.run.samples import Sample


def picture(kind: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(out, kind)
    return out.getvalue()


def problem(key: str = "clock/1", *images: bytes) -> Problem:
    return Problem(key=key, prompt="<image>?", answer="3", images=images, tags={"level": "1"})


def test_a_record_says_what_was_asked_answered_and_paid() -> None:
    graded = Graded(1.0, Verdict("correct", "3"))
    record = samples.sample_record(
        Sample(problem(), "it is 3", graded), 5, "train", ["samples/a.png"]
    )
    assert record == {
        "step": 5,
        "split": "train",
        "key": "clock/1",
        "tags": {"level": "1"},
        "prompt": "<image>?",
        "image": "samples/a.png",
        "images": ["samples/a.png"],
        "answer": "3",
        "response": "it is 3",
        "extracted": "3",
        "reward": 1.0,
        "reason": "correct",
    }


@pytest.mark.parametrize("key", ["../../out", "a/b", "", "x" * 500, "\ud800", ".", "clock-1"])
def test_pictures_stay_in_the_run_directory_whatever_the_key(tmp_path: Path, key: str) -> None:
    paths = samples.write_pictures(problem(key, picture("PNG"), picture("JPEG")), tmp_path)
    assert len(set(paths)) == 2
    for path in paths:
        assert (tmp_path / path).resolve().is_relative_to(tmp_path / "samples")
        assert (tmp_path / path).read_bytes().startswith(samples.PNG)


def test_a_picture_is_written_once(tmp_path: Path) -> None:
    (path,) = samples.write_pictures(problem("p", picture("PNG")), tmp_path)
    before = (tmp_path / path).stat().st_mtime_ns
    samples.write_pictures(problem("p", picture("PNG")), tmp_path)
    assert (tmp_path / path).stat().st_mtime_ns == before


def test_the_choice_depends_on_seed_and_names_only_and_is_never_too_many() -> None:
    assert samples.choose(4, 100, "train", 3, seed=0) == samples.choose(4, 100, "train", 3, seed=0)
    assert samples.choose(4, 100, "train", 3, seed=0) != samples.choose(4, 100, "train", 4, seed=0)
    assert samples.choose(4, 3, "val", seed=0) == [0, 1, 2]


def test_the_audit_escapes_what_would_move_the_cursor_and_cuts_what_is_long() -> None:
    graded = Graded(0.0, Verdict("no_answer", None))
    line = samples.audit_line(Sample(problem(), "\x1b[2J" + "a" * 1000, graded))
    assert "\x1b" not in line
    assert len(line) < 300
    assert "no_answer" in line
    assert "read nothing, wanted '3'" in line


def test_a_push_is_the_mean_advantage_and_the_share_of_tokens_pushed_up() -> None:
    advantage_BT = torch.tensor([[1.0, -3.0, 9.0], [0.5, 0.5, 0.5]])
    mask_BT = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    assert samples.pushes(advantage_BT, mask_BT) == [(-1.0, 0.5), (0.0, 0.0)]


@pytest.mark.parametrize(
    ("reward", "up", "flipped"),
    [(0.0, 0.1, True), (0.0, 0.0, False), (1.0, 0.9, False), (math.nan, 0.9, False)],
)
def test_a_flip_is_a_response_without_reward_that_was_pushed_up(
    reward: float, up: float, flipped: bool
) -> None:
    graded = Graded(reward, Verdict("wrong", "1"))
    sample = samples.Sample(Problem(key="a", prompt="?", answer="2"), "1", graded)
    assert samples.pushed(sample, samples.Push(-0.25, up)) == {
        "advantage": -0.25,
        "flipped": flipped,
    }
