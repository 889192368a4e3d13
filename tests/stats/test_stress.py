"""The words where people look twice, ask often and noise is odd: short forms, and the document."""

import re
from pathlib import Path

import pytest

from mssr_rl.stats import stress
from mssr_rl.stats.power import Truth, exaggeration
from mssr_rl.stats.sentences import MISLED
from mssr_rl.stats.stress import SHAPES

DOCUMENT = Path(__file__).parents[2] / "docs" / "statistics.md"


def test_looking_until_decided_is_held_below_5_percent_and_plain_tests_are_not() -> None:
    plain, ours = stress.until_decided((3, 10), 2, 1_000)
    assert plain.share.low > 0.10
    assert 0 < ours.share.value <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize("schedule", stress.SCHEDULES)
def test_no_schedule_of_five_arms_gets_above_5_percent(schedule: tuple[int, int]) -> None:
    plain, ours = stress.until_decided(schedule, 5, 400)
    assert plain.share.low > 0.10
    assert ours.share.low <= 0.05
    assert ours.share.value <= 0.065


def test_nine_environments_are_one_family() -> None:
    alone, together = stress.on_environments(9, 5, 60)
    assert alone.share.low > 0.15
    assert together.share.low <= 0.05


@pytest.mark.parametrize("planned", [3, 5, 10])
def test_a_planned_look_loses_less_than_a_tenth_of_its_power(planned: int) -> None:
    for effect in (1.0, 2.0):
        power = stress.found(planned, planned, effect, 20_000)
        assert power.ours >= 0.9 * power.plain


def test_looks_find_more_than_their_alternatives_until_the_second() -> None:
    power = stress.found(5, 10, 1.0, 10_000)
    assert power.ours > power.level
    assert power.ours > power.e_value


def test_two_seeds_whose_runs_fall_into_two_groups_agree_by_accident() -> None:
    """Why two seeds get no word; three of the same shape are below 5 %."""
    both = SHAPES["two groups, both arms"]
    assert stress.shaped(both, 2, 10_000).share.low > 0.07
    assert stress.shaped(both, 3, 10_000).share.value < 0.05


@pytest.mark.parametrize("seeds", [3, 10])
def test_decided_differences_read_as_much_too_large_as_is_computed(seeds: int) -> None:
    _, ratio = stress.read_too_large(1.0, seeds, 40_000)
    assert exaggeration(Truth(1.0, 1.0), seeds, 0.046) == pytest.approx(ratio, abs=0.02)


def test_the_range_of_needed_seeds_holds_the_truth() -> None:
    found = stress.needed(3, 15, 4_000)
    assert found.low <= 4
    assert found.high >= 40
    assert found.held.share.value == pytest.approx(0.95, abs=0.02)
    assert found.enough.share.value < 0.02


def test_what_the_page_says_of_odd_noise_is_what_the_document_has() -> None:
    document = DOCUMENT.read_text(encoding="utf-8")
    names = ("two groups in one arm", "one bad run of ten in one arm", "skewed in one arm")
    for place, name in enumerate(names):
        row = re.findall(rf"^\| {name} \|(.*)\|$", document, re.MULTILINE)[0]
        said = [float(cell.strip(" %")) / 100 for cell in row.split("|")]
        assert said[1:] == pytest.approx([MISLED[seeds][place] for seeds in stress.FEW_SEEDS])
