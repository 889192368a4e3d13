"""What is shown: plain lines off a terminal, a live display on one, no markup from outside."""

import io
import re
import time

import pytest
from rich.console import Console

from mssr_rl.run.progress import LiveDisplay, PlainDisplay, RunProgress, display
from mssr_rl.run.scoring import Score

METRICS = {
    "step": 3,
    "reward/mean": 0.25,
    "actor/entropy": 1.5,
    "actor/kl_step": 0.001,
    "actor/grad_norm": 0.75,
    "response_length/mean": 12.0,
    "budget/rollouts": 192,
    "timing_s/step": 0.5,
}
SCORE = Score(3, "vision_r1", "val", 30, 0.5, 0.4, 4)


@pytest.mark.parametrize("forced", ["", "1"])  # as a notebook does
def test_off_a_terminal_a_step_is_one_plain_line(
    forced: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", forced)
    monkeypatch.setenv("TERM", "xterm-256color")
    shown = display(1024)
    assert isinstance(shown, PlainDisplay)
    shown.step(METRICS)
    shown.score(SCORE)
    step, score = capsys.readouterr().err.splitlines()
    assert step.startswith("step 3  reward 0.250  entropy 1.500  kl 0.0010  grad 0.75")
    assert score == (
        "val at step 3: 50.0% greedy, 40.0% mean@4 at temperature 1 (30 problems of vision_r1)"
    )


@pytest.mark.parametrize("color", [False, True])
def test_on_a_terminal_the_budget_and_the_numbers_are_drawn(
    color: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "" if color else "1")
    out = io.StringIO()
    shown = LiveDisplay(1024, Console(file=out, force_terminal=True, width=100))
    shown.step(METRICS)
    shown.score(SCORE)
    shown.say("[bold]not markup[/bold] [link=x]")
    time.sleep(0.6)  # the display draws twice a second
    shown.close()
    drawn = out.getvalue()
    assert "192 of 1,024 rollouts" in drawn
    assert "reward 0.250" in drawn
    assert "val 50.0% greedy" in drawn
    assert "[bold]not markup[/bold] [link=x]" in drawn
    assert drawn.rstrip().endswith("\x1b[?25h") or "\x1b[?25h" in drawn  # the cursor is back
    assert bool(re.search(r"\x1b\[[39]\d", drawn)) == color  # foregrounds, usual or bright


def test_the_time_left_is_paced_from_the_first_step_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    pace = RunProgress(1000)
    pace.at(100)
    assert pace.eta() == "-"
    now[0] += 10
    pace.at(200)
    assert pace.eta() == "1m20s"
    now[0] += 3590
    pace.at(300)
    assert pace.eta() == "3h30m"
