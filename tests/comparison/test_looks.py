"""Every look is on record, words come at fixed looks only, and a bent record is noticed."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mssr_rl.comparison import looks
from mssr_rl.comparison.comparison_page import write
from mssr_rl.comparison.document import plain
from mssr_rl.comparison.evidence import read_evidence
from mssr_rl.comparison.findings import findings
from mssr_rl.comparison.looks import marked
from mssr_rl.comparison.race import settled
from mssr_rl.comparison.verify_report import verify
from mssr_rl.errors import RunFailed, UserError

Make = Callable[..., Path]
Cut = Callable[[int], dict[str, Any]]


@pytest.fixture
def grown(make_comparison: Make) -> tuple[Path, Cut]:
    """A comparison of six seeds, and a way to see it at fewer: the report, after a look."""
    folder = make_comparison({"grpo": 0.4, "mssr": 0.6}, seeds=6)
    path = folder / "compare.json"
    whole = json.loads(path.read_text())

    def cut(seeds: int) -> dict[str, Any]:
        document = {
            **whole,
            "rule": {**whole["rule"], "planned": 3},
            "seeds": whole["seeds"][:seeds],
            "runs": [run for run in whole["runs"] if run["seed"] < seeds],
        }
        path.write_text(json.dumps(document))
        return read_again(folder)

    return folder, cut


def read_again(folder: Path) -> dict[str, Any]:
    """A look without its pages, which take most of the time."""
    evidence = settled(read_evidence(folder))
    looks.record_look(evidence)
    return plain(findings(evidence))


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "looks.jsonl").read_text().splitlines()]


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_reading_the_same_runs_twice_is_one_look(grown: tuple[Path, Cut]) -> None:
    folder, cut = grown
    first = cut(3)
    assert cut(3) == first
    assert [(one["look"], one["planned"], one["seeds"], one["runs"]) for one in lines(folder)] == [
        (1, 3, 3, 6)
    ]
    cut(4)
    assert [one["seeds"] for one in lines(folder)] == [3, 4]


def test_words_come_at_the_planned_seeds_and_at_twice_as_many(grown: tuple[Path, Cut]) -> None:
    _, cut = grown
    early, first, between, second = cut(2), cut(3), cut(5), cut(6)
    levels = [found["looks"]["newest"] for found in (early, first, between, second)]
    assert levels == [
        None,
        {"number": 1, "seeds": 3, "level": pytest.approx(0.046)},
        levels[1],
        {"number": 2, "seeds": 6, "level": pytest.approx(0.002)},
    ]
    words = [f["envs"][0]["pairs"][0]["verdict"] for f in (early, first, between, second)]
    assert words == ["inconclusive", "worse", "worse", "worse"]
    assert early["envs"][0]["pairs"][0]["decision"] is None
    assert between["envs"][0]["pairs"][0]["decision"]["seeds"] == 3
    assert len(between["envs"][0]["pairs"][0]["seeds"]) == 5  # numbers are of all seeds at hand


def test_the_report_says_what_looking_again_does(grown: tuple[Path, Cut]) -> None:
    folder, cut = grown
    says = cut(5)["looks"]["says"]
    assert says in write(folder).sentences
    assert says == (
        "The verdicts are those of look 1, at 3 seeds, although 5 seeds are finished; they need an "
        "adjusted p below 0.046. Each further look is another chance for a wrong verdict. So the "
        "next verdicts are given at 6 seeds and need an adjusted p below 0.002. Until then no "
        "verdict changes."
    )
    assert says in (folder / "report.md").read_text()
    assert says in (folder / "report.html").read_text()
    assert cut(2)["looks"]["says"] == (
        "No verdict yet: verdicts are given when all runs of the first 3 seeds have ended; 2 seeds "
        "have ended so far."
    )


def test_a_look_before_the_planned_seeds_is_said_afterwards(grown: tuple[Path, Cut]) -> None:
    _, cut = grown
    cut(2)
    assert cut(3)["looks"]["cautions"] == [
        "Results were read before all planned seeds were finished, without verdicts: at 2 seeds."
    ]


def test_a_seed_whose_run_failed_is_waited_for_no_longer(grown: tuple[Path, Cut]) -> None:
    folder, cut = grown
    edit(folder / "runs/vision_r1-mssr-s1/run.json", status="running")
    assert cut(3)["looks"]["complete"] == 1
    edit(folder / "runs/vision_r1-mssr-s1/run.json", status="failed")
    found = cut(3)
    assert found["looks"]["complete"] == 3
    assert "fewer than 3 of the first 3 seeds" in found["envs"][0]["pairs"][0]["why"] or (
        found["envs"][0]["pairs"][0]["why"].startswith("two seeds in common")
    )
    assert cut(6)["envs"][0]["pairs"][0]["decision"]["seeds"] == 5


def test_a_run_that_compare_gave_up_is_waited_for_no_longer(grown: tuple[Path, Cut]) -> None:
    folder, cut = grown
    shutil.rmtree(folder / "runs/vision_r1-mssr-s1")
    assert cut(6)["looks"]["complete"] == 1
    edit(folder / "compare.json", given_up=["vision_r1-mssr-s1"])
    found = read_again(folder)
    assert found["looks"]["complete"] == 6
    assert found["envs"][0]["pairs"][0]["decision"]["seeds"] == 5


def test_a_deleted_record_is_noticed(grown: tuple[Path, Cut]) -> None:
    folder, cut = grown
    cut(3), cut(4)
    write(folder)
    edit(folder / "compare.json", looks=marked(folder))
    (folder / "looks.jsonl").unlink()
    with pytest.raises(RunFailed, match="looks"):
        verify(folder)
    assert (
        "The record of looks was changed: looks.jsonl had 2 looks when training last began, and "
        "now has 1."
    ) in read_again(folder)["looks"]["cautions"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"seeds": 3', '"seeds": 6', "line 2 of looks.jsonl does not continue the line before it"),
        ('"look": 1', '"look": 7', "line 1 of looks.jsonl does not continue the line before it"),
        ('"planned": 3, "seeds": 3', '"planned": "x"', "line 1 of looks.jsonl cannot be read"),
        ("{", "\x00\xff", "line 1 of looks.jsonl cannot be read"),
    ],
)
def test_an_edited_record_is_noticed_and_left_as_it_is(
    grown: tuple[Path, Cut], old: str, new: str, says: str
) -> None:
    folder, cut = grown
    cut(3), cut(4)
    write(folder)
    path = folder / "looks.jsonl"
    path.write_text(path.read_text().replace(old, new, 1))
    bent = path.read_text()
    with pytest.raises(RunFailed, match="looks"):
        verify(folder)
    assert f"The record of looks was changed: {says}." in cut(6)["looks"]["cautions"]
    assert path.read_text() == bent


def test_another_plan_after_a_look_is_noticed(grown: tuple[Path, Cut]) -> None:
    folder, cut = grown
    cut(3)
    rule = json.loads((folder / "compare.json").read_text())["rule"]
    edit(folder / "compare.json", rule={**rule, "planned": 2})
    (said,) = read_again(folder)["looks"]["cautions"]
    assert said == (
        "The plan was changed after a look: 3 seeds were planned at the first look, but "
        "compare.json now says 2."
    )


@pytest.mark.parametrize(
    ("odd", "says"),
    [
        ({"rule": {"planned": "many"}}, r"rule\.planned"),
        ({"rule": {"planned": 0}}, r"rule\.planned"),
        ({"looks": "many"}, "looks"),
        ({"looks": {"count": -1}}, r"looks\.count"),
        ({"given_up": [1]}, "given_up"),
    ],
)
def test_a_bent_plan_is_refused_by_name(
    make_comparison: Make, odd: dict[str, Any], says: str
) -> None:
    folder = make_comparison({"grpo": 0.4})
    edit(folder / "compare.json", **odd)
    with pytest.raises(UserError, match=says):
        read_evidence(folder)


def test_a_record_that_is_no_file_is_a_fault_and_no_hang(grown: tuple[Path, Cut]) -> None:
    folder, cut = grown
    os.mkfifo(folder / "looks.jsonl")
    assert (
        "The record of looks was changed: looks.jsonl cannot be read."
        in (cut(3)["looks"]["cautions"])
    )


def test_another_question_after_a_look_is_said(grown: tuple[Path, Cut]) -> None:
    folder, cut = grown
    cut(3)
    rule = json.loads((folder / "compare.json").read_text())["rule"]
    edit(folder / "compare.json", rule={**rule, "margin": 0.05})
    for _ in range(2):
        (said,) = read_again(folder)["looks"]["cautions"]
        assert said == (
            "The rule was changed after a look; that look used margin=0.01, baseline=None, "
            "alpha=0.05."
        )
    assert len(lines(folder)) == 2


def test_a_pause_without_a_look_is_said(grown: tuple[Path, Cut]) -> None:
    folder, cut = grown
    for seed in range(6):
        hour = 1 + (seed > 1) * 5  # the third seed ended five hours after the second
        for arm in ("grpo", "mssr"):
            path = folder / f"runs/vision_r1-{arm}-s{seed}/run.json"
            edit(path, ended=f"2026-01-01T{hour:02d}:0{seed}:00+00:00")
    (said,) = cut(6)["looks"]["cautions"]
    assert said == (
        "Training paused after 2 seeds had ended, and no look is recorded for that time. If "
        "somebody read results then, the verdicts hold only if the 3 seeds had been planned before."
    )


def test_a_comparison_without_a_plan_was_planned_with_what_it_was_first_read_at(
    make_comparison: Make,
) -> None:
    folder = make_comparison({"grpo": 0.4, "mssr": 0.6})
    found = read_again(folder)
    assert (found["looks"]["planned"], found["looks"]["newest"]["number"]) == (3, 1)
    document = json.loads((folder / "compare.json").read_text())
    edit(folder / "compare.json", seeds=[0, 1, 2, 3])
    assert document["rule"].get("planned") is None
    assert read_again(folder)["looks"]["planned"] == 3
