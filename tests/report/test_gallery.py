"""gallery: rollouts spread over the run, inside a limit, from inside the folder only."""

import io
import os
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mssr_rl.report.gallery import MAX_BYTES, MAX_CARDS, data_uri, gallery, spread


def sample(step: int, **more: Any) -> dict[str, Any]:
    usual = {
        "step": step,
        "split": "train",
        "key": f"p{step}",
        "prompt": "<image>How many?",
        "image": None,
        "answer": "7",
        "response": "<think>3 and 4</think>\\boxed{7}",
        "extracted": "7",
        "reward": 1.0,
        "reason": "correct",
    }
    return {**usual, **more}


def save_picture(path: Path, side: int = 8, noisy: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.effect_noise((side, side), 90) if noisy else Image.new("RGB", (side, side))
    picture.save(path, "PNG")


@given(st.integers(1, 200))
def test_spread_visits_everything_once_with_the_ends_first(count: int) -> None:
    order = spread(count)
    assert sorted(order) == list(range(count))
    assert order[0] == count - 1
    assert count == 1 or order[1] == 0


def test_cards_cover_the_run_from_first_to_last_step(tmp_path: Path) -> None:
    shown = gallery([sample(step) for step in range(1, 1001)], tmp_path)
    assert len(shown.cards) == MAX_CARDS
    assert (shown.steps[0], shown.steps[-1]) == (1, 1000)
    assert max(b - a for a, b in zip(shown.steps, shown.steps[1:], strict=False)) <= 16
    assert shown.recorded == 1000


def test_texts_and_pictures_stay_within_the_limit(tmp_path: Path) -> None:
    rows = [sample(s, prompt="?" * 5_000, response="\u202e" * 10**5) for s in range(1, 300)]
    shown = gallery(rows, tmp_path)
    assert sum(card.weight for card in shown.cards) <= MAX_BYTES


def test_a_picture_becomes_a_data_uri(tmp_path: Path) -> None:
    save_picture(tmp_path / "samples/a.png")
    (card,) = gallery([sample(1, image="samples/a.png")], tmp_path).cards
    assert card.pictures[0].startswith("data:image/png;base64,")
    assert card.question.text == "How many?"


def test_several_pictures_are_all_shown(tmp_path: Path) -> None:
    names = ["samples/a.png", "samples/a_1.png"]
    for name in names:
        save_picture(tmp_path / name)
    (card,) = gallery([sample(1, image=names[0], images=names)], tmp_path).cards
    assert len(card.pictures) == 2


def test_a_large_picture_is_made_small(tmp_path: Path) -> None:
    save_picture(tmp_path / "big.png", side=900, noisy=True)
    uri = data_uri(tmp_path / "big.png")
    assert uri is not None
    assert uri.startswith("data:image/jpeg")
    assert len(uri) < 200_000 < (tmp_path / "big.png").stat().st_size


def test_a_picture_outside_the_run_is_not_shown(tmp_path: Path) -> None:
    save_picture(tmp_path / "secret.png")
    run = tmp_path / "run"
    run.mkdir()
    (run / "link.png").symlink_to(tmp_path / "secret.png")
    for name in ("../secret.png", str(tmp_path / "secret.png"), "link.png", "a\x00b"):
        (card,) = gallery([sample(1, image=name)], run).cards
        assert (card.pictures, card.missing) == ((), 1), name


def test_what_is_no_picture_is_counted_as_missing(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("<svg onload=alert(1)>")
    cut = io.BytesIO()
    Image.new("RGB", (64, 64)).save(cut, "PNG")
    (tmp_path / "b.png").write_bytes(cut.getvalue()[:40])
    assert data_uri(tmp_path / "a.png") is None
    assert data_uri(tmp_path / "b.png") is None
    assert data_uri(tmp_path / "none.png") is None


def test_a_pipe_or_a_huge_file_is_missing_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with (tmp_path / "huge.png").open("wb") as file:
        file.truncate(1 << 40)  # takes no room on the disk
    names = ["pipe.png", "huge.png", "."]
    (card,) = gallery([sample(1, images=names)], tmp_path).cards
    assert (card.pictures, card.missing) == ((), 3)


def test_problems_that_were_answered_twice_can_be_followed(tmp_path: Path) -> None:
    rows = [sample(1, key="a"), sample(2, key="b"), sample(3, key="a")]
    assert gallery(rows, tmp_path).repeated == ["a"]


def test_a_verdict_is_said_in_words_and_kept_as_a_reason(tmp_path: Path) -> None:
    rows = [sample(1), sample(2, reason="no_answer", extracted=None, reward=0.0)]
    right, none = gallery(rows, tmp_path).cards
    assert (right.right, right.verdict) == (True, "right")
    assert (none.right, none.verdict, none.extracted) == (False, "no answer found", None)


def test_a_sample_with_half_its_fields_is_still_a_card(tmp_path: Path) -> None:
    (card,) = gallery([{"step": 4}], tmp_path).cards
    assert card.verdict == "not graded"
