"""What is shown while a comparison trains."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from mssr_rl.sweep import matrix, settings
from mssr_rl.sweep.progress_board import LiveBoard, PlainBoard, Tally, board, picture
from mssr_rl.sweep.standing import RunStanding


@pytest.fixture
def tally() -> Tally:
    own = settings.Settings(seeds=2)
    found = matrix.spell_out({"algo": "grpo,mssr", "budget.rollouts": "1024"}, own, Path("runs"))
    return Tally(found, {found.runs[0]: RunStanding("done", rollouts=1024, accuracy=0.5)})


def drawn(tally: Tally) -> str:
    out = io.StringIO()
    Console(file=out, width=100).print(picture(tally))
    return out.getvalue()


def test_the_table_has_a_row_an_arm_and_a_mark_a_run(tally: Tally) -> None:
    runs = tally.matrix.runs
    tally.take(
        {runs[1]: RunStanding("busy", rollouts=512, reward=0.25), runs[3]: RunStanding("failed")}
    )
    grpo, mssr = (line for line in drawn(tally).splitlines() if "grpo" in line or "mssr" in line)
    assert "●·" in grpo
    assert "50.0%" in grpo
    assert "◐!" in mssr
    assert "0.250" in mssr
    assert "1 of 4 runs finished, 1,536 of 4,096 rollouts" in drawn(tally)


def test_off_a_terminal_there_are_plain_lines(tally: Tally, capsys: pytest.CaptureFixture) -> None:
    shown = board(tally)
    assert isinstance(shown, PlainBoard)
    shown.show(dict)
    shown.show(dict)  # not due yet
    shown.finished(tally.matrix.runs[1], RunStanding("collapsed", "a NaN", 512, None, 0.25, 9.0))
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("1 of 4 runs finished")
    assert second == "collapsed vision_r1-mssr-s0, val 25.0% greedy, 9 s: a NaN"


def test_on_a_terminal_the_table_is_redrawn_and_lines_scroll(tally: Tally) -> None:
    out = io.StringIO()
    shown = LiveBoard(tally, Console(file=out, force_terminal=True, width=100))
    shown.show(dict)
    shown.say("[bold]not markup")
    shown.close()
    assert "[bold]not markup" in out.getvalue()
    assert "rollouts" in out.getvalue()
