"""The numbers of a comparison, from folders whose answer is known."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mssr_rl.comparison.comparison_page import write
from mssr_rl.comparison.document import plain
from mssr_rl.comparison.evidence import read_evidence
from mssr_rl.comparison.findings import findings
from mssr_rl.comparison.tables import markdown, tabular


def document(folder: Path) -> dict[str, Any]:
    return plain(findings(read_evidence(folder)))


def found(folder: Path) -> dict[str, Any]:
    return document(folder)["envs"][0]


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_planted_difference_is_called_better_with_the_planted_size(make_comparison: Any) -> None:
    on = found(make_comparison({"grpo": 0.4, "mssr": 0.6}))
    (pair,) = on["pairs"]
    assert (pair["a"], pair["b"], pair["verdict"]) == ("grpo", "mssr", "worse")
    assert pair["difference"]["value"] == pytest.approx(-0.2)
    assert pair["differences"] == pytest.approx([-0.2] * 3)
    assert pair["sign_flip"]["floor"] == 0.25
    assert on["verdict"].startswith("On vision_r1, grpo is worse than mssr at 768 rollouts")


def test_the_leaderboard_is_computed_from_the_problems_of_the_test(make_comparison: Any) -> None:
    on = found(make_comparison({"grpo": 0.4, "mssr": 0.6}))
    first, second = on["leaderboard"]
    assert (on["split"], on["questions"], first["arm"], second["arm"]) == (
        "test",
        80,
        "mssr",
        "grpo",
    )
    assert first["by_seed"] == pytest.approx({"0": 0.575, "1": 0.6, "2": 0.625})
    assert first["accuracy"]["value"] == pytest.approx(0.6)
    assert first["sampled"] == pytest.approx(0.3)  # two of four drawn answers to what greedy knows
    assert first["val_start"] == pytest.approx(0.3)
    assert first["val_best_checkpoint"] == pytest.approx(0.6)


def test_one_seed_never_gives_a_verdict(make_comparison: Any) -> None:
    on = found(make_comparison({"grpo": 0.3, "mssr": 0.9}, seeds=1))
    (pair,) = on["pairs"]
    assert pair["verdict"] == "inconclusive"
    assert pair["difference"] == {"value": pytest.approx(-0.6), "low": None, "high": None}
    assert len(pair["checkpoints"]) == 1  # these two checkpoints can still be told apart


@pytest.mark.slow
def test_several_arms_are_summed_up_in_one_sentence(make_comparison: Any) -> None:
    on = found(make_comparison({"grpo": 0.3, "mssr": 0.6, "rloo": 0.3}))
    assert "mssr is better than grpo and rloo" in on["verdict"]
    assert on["in_front"].startswith("The two best arms: mssr")


def test_a_run_that_collapsed_stays_in_with_its_last_evaluation(make_comparison: Any) -> None:
    folder = make_comparison({"grpo": 0.5, "mssr": 0.5})
    run = folder / "runs/vision_r1-mssr-s0"
    edit(run / "run.json", status="collapsed", exit_reason="step 5: gradient is not finite")
    lines = (run / "eval.jsonl").read_text().splitlines()
    (run / "eval.jsonl").write_text("\n".join(lines[:2]) + "\n")  # never tested
    on = found(folder)
    assert on["split"] == "val"
    (mssr,) = (row for row in on["leaderboard"] if row["arm"] == "mssr")
    assert mssr["by_seed"]["0"] == pytest.approx(0.35)
    assert (mssr["runs"], mssr["collapsed"]) == (3, 1)
    (card,) = (row for row in on["stability"] if row["arm"] == "mssr")
    assert card["collapsed"] == 1
    assert card["collapse_rate"]["high"] == pytest.approx(0.9057, abs=1e-4)  # 1 of 3
    assert any("Collapsed" in line and "mssr-s0" in line for line in on["cautions"])
    assert any("Decided on val" in line for line in on["cautions"])


def test_a_missing_run_is_named_and_its_seed_left_unpaired(make_comparison: Any) -> None:
    folder = make_comparison({"grpo": 0.5, "mssr": 0.5})
    shutil.rmtree(folder / "runs/vision_r1-mssr-s2")
    on = found(folder)
    assert on["pairs"][0]["seeds"] == [0, 1]
    assert on["pairs"][0]["unpaired"] == [2]
    assert any("Missing" in line and "mssr-s2" in line for line in on["cautions"])


def test_nothing_finished_is_a_report_too(make_comparison: Any) -> None:
    folder = make_comparison({"grpo": 0.5, "mssr": 0.5})
    shutil.rmtree(folder / "runs")
    said = write(folder).sentences
    assert said == ("No run on vision_r1 has finished, so there is no verdict yet.",)
    assert "No run has finished yet" in (folder / "report.html").read_text()


def test_runs_that_did_not_get_the_same_are_found_out_afterwards(make_comparison: Any) -> None:
    folder = make_comparison({"grpo": 0.5, "mssr": 0.5})
    run = folder / "runs/vision_r1-mssr-s1"
    edit(run / "run.json", model={"hash": "other"}, problem_order="another")
    rows = {row["name"]: row for row in found(folder)["as_run"]}
    assert not rows["initial weights"]["same"]
    assert rows["initial weights"]["values"] == {"grpo": "m", "mssr": "m / other"}
    assert not rows["order of problems, by seed"]["same"]
    assert rows["training problems"]["same"]


def test_updates_lost_to_dropped_groups_are_no_secret(make_comparison: Any) -> None:
    folder = make_comparison({"grpo": 0.5, "dapo": 0.5})
    for seed in range(3):
        path = folder / f"runs/vision_r1-dapo-s{seed}/summary.json"
        ledger = json.loads(path.read_text())["ledger"]
        edit(path, ledger={**ledger, "updates": 9, "discarded_rollouts": 640})
    (row,) = (row for row in found(folder)["as_run"] if row["name"] == "updates spent")
    assert row["values"] == {"grpo": "48", "dapo": "9"}
    assert (row["same"], row["note"]) == (False, "DIFFERS: rollouts were dropped")


def test_collapses_are_held_against_each_other(make_comparison: Any) -> None:
    folder = make_comparison({"grpo": 0.5, "mssr": 0.5})
    for seed in range(3):
        run = folder / f"runs/vision_r1-mssr-s{seed}/summary.json"
        edit(run, stability={"verdict": "collapsed", "events": []})
    rows = {row["arm"]: row for row in found(folder)["stability"]}
    assert rows["mssr"]["against"]["grpo"] == pytest.approx(0.1)  # 3 of 3 and 0 of 3


def test_a_baseline_without_a_finished_run_is_said(make_comparison: Any) -> None:
    folder = make_comparison({"grpo": 0.5, "mssr": 0.6})
    rule = json.loads((folder / "compare.json").read_text())["rule"]
    edit(folder / "compare.json", rule={**rule, "baseline": "rloo"})
    cautions = found(folder)["cautions"]
    assert any("Without a finished run" in said and "rloo" in said for said in cautions)


def test_the_target_is_what_the_weakest_arm_ends_at(make_comparison: Any) -> None:
    on = found(make_comparison({"grpo": 0.4, "mssr": 0.6}, seeds=1))
    speed = {row["axis"]: row for row in on["speed"]}
    assert set(speed) == {"rollouts", "prompts", "updates", "generated_tokens", "trained_tokens"}
    over = speed["rollouts"]
    assert over["target"] == pytest.approx(0.375)
    # mssr: .35 at 256 rollouts, .4625 at 512
    assert over["to_target"]["mssr"]["mean_of_those"] == pytest.approx(256 + 256 * 0.025 / 0.1125)
    assert over["to_target"]["grpo"]["mean_of_those"] == pytest.approx(768)
    assert speed["updates"]["to_target"]["grpo"]["mean_of_those"] == pytest.approx(48)


def test_a_kind_of_problem_has_an_interval_over_seeds(make_comparison: Any) -> None:
    kinds = found(make_comparison({"grpo": 0.4, "mssr": 0.6}))["kinds"]["family"]["even"]
    assert kinds["accuracy"]["grpo"] == pytest.approx(0.4)
    # Three seeds 2.5 points apart: t of two degrees, 4.3027, times 2.5 / sqrt(3).
    assert kinds["interval"]["grpo"]["high"] == pytest.approx(0.4 + 0.025 * 4.302653 / 3**0.5)


def test_one_seed_has_a_kind_without_an_interval(make_comparison: Any) -> None:
    kinds = found(make_comparison({"grpo": 0.4}, seeds=1))["kinds"]["family"]["even"]
    assert kinds["interval"]["grpo"] == {"value": pytest.approx(0.375), "low": None, "high": None}


def test_stability_events_are_passed_on(make_comparison: Any) -> None:
    folder = make_comparison({"grpo": 0.5, "mssr": 0.5})
    event = {"event": "grad_spike", "level": "warn", "step": 7, "evidence": "11x", "advice": "less"}
    stability = {"verdict": "warned", "events": [event]}
    edit(folder / "runs/vision_r1-grpo-s1/summary.json", stability=stability)
    (card,) = (row for row in found(folder)["stability"] if row["arm"] == "grpo")
    assert (card["stable"], card["warned"]) == (2, 1)
    assert card["events"] == [{"seed": 1, **event}]


def test_all_four_files_say_the_same(make_comparison: Any) -> None:
    folder = make_comparison({"grpo": 0.4, "mssr": 0.6})
    write(folder)
    page = (folder / "report.html").read_text()
    for name in ("report.md", "table.tex"):
        assert "60.00" in (folder / name).read_text()
    assert "60.0\u00a0%" in page
    assert json.loads((folder / "report.json").read_text())["verdict"] in page


def test_several_environments_are_summed_up_beside_their_own_verdicts(make_comparison: Any) -> None:
    folder = make_comparison({"grpo": 0.4, "mssr": 0.6})
    compare = json.loads((folder / "compare.json").read_text())
    for run in list(compare["runs"]):
        name = run["name"].replace("vision_r1", "two")
        shutil.copytree(folder / "runs" / run["name"], folder / "runs" / name)
        compare["runs"].append({**run, "name": name, "env": "two"})
    edit(folder / "compare.json", runs=compare["runs"], envs=["vision_r1", "two"])
    write(folder)
    overall = json.loads((folder / "report.json").read_text())["overall"]
    assert overall["improvement"] == [{"a": "grpo", "b": "mssr", "probability": 0.0}]
    assert overall["iqm_of_gains"] == {"grpo": pytest.approx(0.1), "mssr": pytest.approx(0.3)}
    assert "grpo against mssr 0.0\u00a0%." in (folder / "report.html").read_text()


def test_names_cannot_break_a_table(make_comparison: Any) -> None:
    named = document(make_comparison({"a_b": 0.4, "c|d": 0.6}))
    assert r"c\|d" in markdown(named)
    assert "a\\_b &" in tabular(named)
