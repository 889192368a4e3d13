"""The race: the report drops an arm where the runner did, whatever else lies in the folder."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from mssr_rl.comparison import race
from mssr_rl.comparison.comparison_page import write
from mssr_rl.comparison.document import plain
from mssr_rl.comparison.evidence import read_evidence
from mssr_rl.comparison.findings import findings
from mssr_rl.comparison.race import settled
from mssr_rl.comparison.verify_report import verify
from mssr_rl.stats.racing import RaceStanding
from mssr_rl.stats.verdict import Rule, compare_values

Make = Callable[..., Path]
LATE = ("vision_r1-mssr-s6", "vision_r1-mssr-s7", "vision_r1-mssr-s8")


def racing(folder: Path) -> Path:
    path = folder / "compare.json"
    document = json.loads(path.read_text())
    document["rule"] |= {"baseline": "grpo", "race": True, "alpha": 0.025}
    path.write_text(json.dumps(document))
    return folder


def test_an_arm_that_loses_every_seed_is_out_after_six_and_worse(make_comparison: Make) -> None:
    found = plain(
        findings(
            settled(read_evidence(racing(make_comparison({"grpo": 0.6, "mssr": 0.3}, seeds=9))))
        )
    )
    (env,) = found["envs"]
    (pair,) = env["pairs"]
    assert (pair["a"], pair["b"], pair["verdict"]) == ("mssr", "grpo", "worse")
    assert pair["why"].startswith("out of the race after 6 seeds (e-value 130, 40 required;")
    assert {row["arm"]: row["runs"] for row in env["leaderboard"]} == {"grpo": 9, "mssr": 6}
    (caution,) = [line for line in env["cautions"] if "race" in line]
    out = "mssr was out of the race after 6 seeds (e-value 130, 40 required)"
    assert caution == f"{out}, 3 later runs not counted."
    assert found["rule"]["alpha"] == 0.025  # the other half of 5 % is the race's
    assert not any("Missing" in line for line in env["cautions"])


def test_runs_that_came_to_their_end_after_the_arm_was_out_change_nothing(
    make_comparison: Make,
) -> None:
    folder = racing(make_comparison({"grpo": 0.6, "mssr": 0.3}, seeds=9))
    trained = plain(findings(settled(read_evidence(folder))))
    write(folder)
    for name in LATE:
        shutil.rmtree(folder / "runs" / name)
    assert plain(findings(settled(read_evidence(folder)))) == trained
    assert verify(folder).startswith("verified")


def test_only_seeds_without_a_gap_before_them_are_read(make_comparison: Make) -> None:
    """In the order of the seeds, not in that of their ends, which nobody could repeat."""
    folder = racing(make_comparison({"grpo": 0.6, "mssr": 0.3}, seeds=9))
    shutil.rmtree(folder / "runs/vision_r1-grpo-s4")
    assert race.standings(read_evidence(folder))["mssr"].out_after is None


def test_a_winner_and_an_equal_arm_go_on(make_comparison: Make) -> None:
    folder = racing(make_comparison({"grpo": 0.4, "mssr": 0.6, "rloo": 0.4}, seeds=9))
    assert all(one.out_after is None for one in race.standings(read_evidence(folder)).values())


def test_of_one_environment_among_several_the_race_says_nothing(make_comparison: Make) -> None:
    """It is run on their mean: an arm that is out may be the better one on one of them."""
    found = compare_values(
        {"grpo": dict.fromkeys(range(6), 0.5), "mssr": dict.fromkeys(range(6), 0.6)},
        0.01,
        Rule(baseline="grpo"),
    )
    out = {"mssr": RaceStanding(130.0, 40.0, 6)}
    (alone,) = race.decided(found, out).pairs
    (one_of_two,) = race.decided(found, out, envs=2).pairs
    assert alone.verdict == "worse"
    assert one_of_two.verdict == "inconclusive"
    assert "says nothing about this one alone" in one_of_two.why


def test_a_comparison_made_before_there_were_races_can_be_read(make_comparison: Make) -> None:
    folder = make_comparison({"grpo": 0.6, "mssr": 0.3})
    path = folder / "compare.json"
    document = json.loads(path.read_text())
    document["rule"] = {"margin": 0.01, "baseline": None}
    path.write_text(json.dumps(document))
    write(folder)
    assert verify(folder).startswith("verified")


def test_without_a_race_nobody_is_dropped(make_comparison: Make) -> None:
    found = plain(
        findings(settled(read_evidence(make_comparison({"grpo": 0.6, "mssr": 0.3}, seeds=9))))
    )
    assert found["race"] == {}
    assert {row["runs"] for row in found["envs"][0]["leaderboard"]} == {9}
