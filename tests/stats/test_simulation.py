"""The method where the truth is known: the short form of docs/statistics.md, and its table.

The full form is `python -m mssr_rl.stats.simulation`; the seeds are fixed, so nothing here is luck.
"""

import re
from pathlib import Path

import numpy as np
import pytest

from mssr_rl.stats import simulation
from mssr_rl.stats.questions import COVERAGE, SAYS
from mssr_rl.stats.simulation import PLANTED, answers, called, coverage, merit_of, verdicts

pytestmark = pytest.mark.slow

DOCUMENT = Path(__file__).parents[2] / "docs" / "statistics.md"
SETTING = (5, 300)
SIMULATIONS = 400


def test_equal_arms_are_called_better_in_at_most_5_percent() -> None:
    apart = verdicts((0.0, 0.0), SETTING, SIMULATIONS)
    assert called(apart, SETTING[1], ["better"]).share.value <= 0.05
    found = called(apart, SETTING[1], ["better", "worse"])
    assert found.share.low <= 0.05
    assert found.share.value <= 0.075
    assert found.times > 0  # a method that never calls anything would pass, too


def test_among_five_equal_arms_any_pair_is_called_different_in_5_percent() -> None:
    found = called(verdicts((0.0,) * 5, SETTING, 100), SETTING[1], ["better", "worse"])
    assert found.share.low <= 0.05


def test_eight_points_are_found_at_five_seeds_in_80_percent() -> None:
    apart = verdicts((merit_of(PLANTED), 0.0), SETTING, SIMULATIONS)
    assert called(apart, SETTING[1], ["better"]).share.value >= 0.80


def test_the_interval_that_decides_covers_and_those_that_do_not_decide_do_not() -> None:
    found = coverage(merit_of(PLANTED), PLANTED, SETTING, SIMULATIONS)
    decides, one_seed, *others = found.values()
    assert 0.93 <= decides.share.value <= 0.97
    assert one_seed.share.value < 0.93
    assert found[SAYS["questions"]].share.value < 0.93
    assert found[SAYS["seeds"]].share.value < 0.93
    assert len(others) == len(SAYS)


def test_a_planted_gain_is_the_gain_of_simulated_answers() -> None:
    right_AKN = answers(np.random.default_rng(0), (merit_of(PLANTED), 0.0), 400, 400)
    gain = right_AKN[0].mean() - right_AKN[1].mean()
    assert gain == pytest.approx(PLANTED, abs=0.005)  # 400 runs: a standard error of 0.002
    assert merit_of(0.0) == pytest.approx(0.0, abs=1e-9)


def test_the_coverage_that_is_printed_beside_an_opinion_is_that_of_the_document() -> None:
    document = DOCUMENT.read_text(encoding="utf-8")
    for kind, says in SAYS.items():
        (row,) = re.findall(rf"^\| {re.escape(says)} \|(.*)\|$", document, re.MULTILINE)
        assert [float(cell) / 100 for cell in row.split("|")] == pytest.approx(COVERAGE[kind])


def test_the_documented_command_prints_the_tables(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "python -m mssr_rl.stats.simulation\n" in DOCUMENT.read_text(encoding="utf-8")
    monkeypatch.setattr(simulation, "SIMULATED", ((3, 300),))
    simulation.main(["simulations=2"])
    printed = capsys.readouterr().out.splitlines()
    assert [line.count("|") for line in printed[:11]] == [6, 6, 6, 0, 3, 3, *[3] * 5]
    for said in ("until decided", "environments", "two groups", "skewed", "a truth of"):
        assert said in "\n".join(printed[11:])
