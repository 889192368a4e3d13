"""Whole comparisons: real processes, a real folder, and everything that can end them on the way."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from mssr_rl.comparison.verify_report import verify
from mssr_rl.errors import RunFailed, UserError
from mssr_rl.run.interrupt import Interrupted
from mssr_rl.sweep import compare_verb, time_trial
from mssr_rl.sweep.process import Launch
from mssr_rl.sweep.standing import look

pytestmark = pytest.mark.slow

Slowly = Callable[[float], Launch]
DRIVER = """
import sys
sys.path.insert(0, {here!r})
from conftest import tabular
from mssr_rl.sweep import compare_verb
compare_verb.compare(sys.argv[2:], tabular(float(sys.argv[1])))
"""


def place(words: list[str], name: str = "two") -> Path:
    (parent,) = (word.partition("=")[2] for word in words if word.startswith("comparisons_dir="))
    return Path(parent) / name


def report(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return found


def untimed(tree: Any) -> Any:
    """A report without what may differ when the same comparison is made again.

    That is time, and the revision, where somebody commits while the tests run.
    """
    if isinstance(tree, dict):
        left_out = ("seconds", "sources", "command")
        return {key: untimed(value) for key, value in tree.items() if key not in left_out}
    if isinstance(tree, list):
        return [untimed(item) for item in tree if not is_revision(item)]
    return tree


def is_revision(item: Any) -> bool:
    return isinstance(item, dict) and item.get("name") == "revision"


def starts(folder: Path) -> int:
    """How often a process was started for any run, by their own first lines."""
    logs = "".join(path.read_text() for path in (folder / "logs").iterdir())
    return len(re.findall(r"^algo  ", logs, re.MULTILINE))


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, Any]:
    """The report of a comparison that nothing happened to, made once."""
    return {}


def undisturbed_report(words: list[str], launch: Launch, kept: dict[str, Any]) -> dict[str, Any]:
    if not kept:
        compare_verb.compare(
            [w for w in words if not w.startswith("name=")] + ["name=whole"], launch
        )
        kept["report"] = untimed(report(place(words, "whole")))
    found: dict[str, Any] = kept["report"]
    return found


def test_a_comparison_ends_with_a_verdict_and_a_folder_that_can_be_verified(
    words: list[str], launch: Launch
) -> None:
    two = [word for word in words if not word.startswith("seeds=")] + ["seeds=2"]
    compare_verb.compare(words, launch)
    said = compare_verb.compare(two, launch)  # one seed more: what is there is kept
    folder = place(words)
    assert said.splitlines()[0].startswith("On vision_r1, grpo and mssr: ")
    assert {path.name for path in folder.iterdir()} >= {
        "report.html", "report.md", "report.json", "table.tex", "compare.json"
    }  # fmt: skip
    found = report(folder)["envs"][0]
    assert {row["arm"] for row in found["leaderboard"]} == {"grpo", "mssr"}
    assert all(set(row["by_seed"]) == {"0", "1"} for row in found["leaderboard"])
    assert "verified" in verify(folder)
    # Planned with one seed: two give no word yet, and both looks are on record.
    seen = report(folder)["looks"]
    assert (seen["planned"], seen["complete"], seen["newest"]) == (1, 2, None)
    assert [one["seeds"] for one in seen["recorded"]] == [1, 2]
    # Again: nothing is left to do.
    assert compare_verb.compare(two, launch) == said
    assert starts(folder) == 4


@pytest.mark.slow
def test_after_ctrl_c_the_same_command_does_only_what_is_missing(
    words: list[str], launch: Launch, slowly: Slowly, undisturbed: dict[str, Any]
) -> None:
    whole = undisturbed_report(words, launch, undisturbed)
    child = drive(words, pause=0.15)
    wait_for(lambda: steps(place(words)) >= 3)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=60)
    assert "the same command continues from here" in said
    assert {look(folder).state for folder in runs(place(words))} <= {"interrupted", "done"}
    compare_verb.compare(words, launch)
    assert untimed(report(place(words))) == whole


@pytest.mark.slow
def test_after_kill_9_no_run_goes_on_and_the_same_command_does_the_rest(
    words: list[str], launch: Launch, undisturbed: dict[str, Any]
) -> None:
    whole = undisturbed_report(words, launch, undisturbed)
    child = drive(words, pause=0.15)
    wait_for(lambda: steps(place(words)) >= 3)
    children = psutil.Process(child.pid).children(recursive=True)
    child.kill()
    child.wait()
    assert psutil.wait_procs(children, timeout=60)[1] == []
    compare_verb.compare(words, launch)
    assert untimed(report(place(words))) == whole


@pytest.mark.slow
def test_a_run_killed_with_its_comparison_is_taken_up_too(
    words: list[str], launch: Launch, undisturbed: dict[str, Any]
) -> None:
    whole = undisturbed_report(words, launch, undisturbed)
    child = drive(words, pause=0.15)
    wait_for(lambda: steps(place(words)) >= 3)
    for process in (*psutil.Process(child.pid).children(recursive=True), psutil.Process(child.pid)):
        process.kill()
    child.wait()
    compare_verb.compare(words, launch)
    assert untimed(report(place(words))) == whole


@pytest.mark.slow
def test_a_run_that_crashes_once_is_tried_again(
    words: list[str], launch: Launch, undisturbed: dict[str, Any], capsys: Any
) -> None:
    whole = undisturbed_report(words, launch, undisturbed)
    crashed: list[str] = []

    def flaky(given: Any, log: Path, threads: int) -> Any:
        child = launch(given, log, threads)
        if not crashed:
            crashed.append(log.stem)
            child.kill()
        return child

    compare_verb.compare(words, flaky)
    assert f"crashed   {crashed[0]}" in capsys.readouterr().err
    assert untimed(report(place(words))) == whole


@pytest.mark.slow
def test_a_run_that_always_crashes_is_reported_and_the_others_are_compared(
    words: list[str], launch: Launch, capsys: Any
) -> None:
    def broken(given: Any, log: Path, threads: int) -> Any:
        bad = [*given, "train.lr=1e999"] if "mssr-s0" in log.stem else given
        return launch(bad, log, threads)

    with pytest.raises(RunFailed, match=r"1 of 2 runs failed .*mssr-s0.*given twice"):
        compare_verb.compare(words, broken)
    found = report(place(words))["envs"][0]
    assert "vision_r1-mssr-s0" in " ".join(found["cautions"])
    assert [row["arm"] for row in found["leaderboard"]] == ["grpo"]
    assert report(place(words))["looks"]["complete"] == 1  # nothing more is waited for
    assert "report" in capsys.readouterr().out


def test_a_planted_confounder_stops_the_launch_and_is_named(
    words: list[str], launch: Launch
) -> None:
    with pytest.raises(UserError) as caught:
        compare_verb.compare([*words, "mssr.train.samples_per_update=8"], launch)
    said = str(caught.value)
    assert re.search(r"train\.samples_per_update +16 +8 +UNDECLARED", said)
    assert re.search(r"updates per step +4 +8 +UNDECLARED, follows from train", said)
    assert "varies=[train.samples_per_update]" in said
    assert not place(words).exists()


@pytest.mark.slow
def test_test_rows_that_are_trained_on_stop_the_launch_before_a_run_is_made(
    words: list[str], launch: Launch, tmp_path: Path
) -> None:
    rows = [{"id": f"r{i}", "problem": f"{i} + 1 = ?", "answer": str(i + 1)} for i in range(20)]
    for split, some in (("train", rows), ("val", rows[:3]), ("test", rows[3:5])):
        text = "".join(json.dumps(row) + "\n" for row in some)
        (tmp_path / f"{split}.jsonl").write_text(text.replace('"r', f'"{split}'))
    leaking = [word for word in words if not word.startswith("env.data=")]
    with pytest.raises(UserError, match=r"2 of 2 test rows are also in train \(2 the same\)"):
        compare_verb.compare([*leaking, f"env.data={tmp_path}"], launch)
    assert not place(words).exists()


def test_a_confounder_can_be_declared_or_reported_in_red(
    words: list[str], launch: Launch, capsys: Any
) -> None:
    compare_verb.compare([*words, "mssr.train.samples_per_update=8", "fair=report"], launch)
    page = (place(words) / "report.html").read_text()
    assert "NOT FAIR on vision_r1" in capsys.readouterr().err
    assert 'class="alarm"' in page
    assert '<tr class="undeclared"><th scope="row">train.samples_per_update' in page
    declared = [*words, "mssr.train.samples_per_update=8", "varies=[train.samples_per_update]"]
    fair = compare_verb.prepare([w for w in declared if not w.startswith("name=")]).fair[0]
    assert fair.confounders == ()


@pytest.mark.slow
def test_a_folder_with_other_settings_is_not_continued(words: list[str], launch: Launch) -> None:
    compare_verb.compare(words, launch)
    with pytest.raises(UserError, match=r"train\.lr=0\.1 \(was 0\.05\)"):
        compare_verb.compare([w for w in words if "train.lr" not in w] + ["train.lr=0.1"], launch)


@pytest.mark.slow
def test_a_loser_is_dropped_from_the_race_and_its_other_seeds_are_not_trained(
    words: list[str], launch: Launch, capsys: Any
) -> None:
    taken = ("algo=", "seeds=", "train.lr=", "budget.rollouts=", "eval.every=")
    race = [word for word in words if not word.startswith(taken)]
    race += ["algo=grpo", "train.lr=0.2,1e-9", "varies=[train.lr]", "budget.rollouts=256"]
    race += ["baseline=grpo train.lr=0.2", "race=true", "seeds=9", "eval.every=0"]
    compare_verb.compare(race, launch)
    found = report(place(words))
    one = found["race"]["grpo train.lr=1e-9"]
    assert one["e_value"] >= one["threshold"] == 40
    trained = [run for run in runs(place(words)) if "1e-9" in run.name]
    assert 6 <= one["out_after"] <= len(trained) < 9  # one that was at work came to its end
    assert re.search(r"dropped +vision_r1-grpo-train.lr-1e-9-s8", capsys.readouterr().err)
    assert "verified" in verify(place(words))


@pytest.mark.slow
def test_a_finished_map_can_be_extended_and_its_cells_are_not_trained_again(
    words: list[str], launch: Launch, capsys: Any
) -> None:
    taken = ("algo=", "train.lr=", "budget.rollouts=", "eval.every=")
    small = [word for word in words if not word.startswith(taken)]
    small += ["algo=grpo", "train.epochs=1,2", "budget.rollouts=128", "eval.every=0"]
    small += ["varies=[train.lr,train.epochs]"]
    compare_verb.compare([*small, "train.lr=0.05,0.1"], launch)
    first = {run: (run / "metrics.jsonl").stat().st_mtime_ns for run in runs(place(words))}
    compare_verb.compare([*small, "train.lr=0.05,0.1,0.2"], launch)
    assert len(first) == 4
    assert len(runs(place(words))) == 6
    assert (
        first.items()
        <= {run: (run / "metrics.jsonl").stat().st_mtime_ns for run in runs(place(words))}.items()
    )
    assert "kept      4 finished runs" in capsys.readouterr().err
    (drawn,) = report(place(words))["maps"]["maps"]
    assert (drawn["across"], drawn["columns"]) == ("train.lr", ["0.05", "0.1", "0.2"])
    assert "verified" in verify(place(words))


def test_arms_of_a_map_that_take_equally_long_are_timed_once(words: list[str]) -> None:
    taken = ("algo=", "train.lr=", "train.samples_per_update=")
    swept = [word for word in words if not word.startswith(taken)]
    swept += ["algo=grpo,mssr", "train.lr=0.1,0.2", "train.samples_per_update=16,32"]
    task = compare_verb.prepare([*swept, "varies=[train.lr,train.samples_per_update]"])
    kinds = {time_trial._kind(run) for run in task.matrix.runs}
    assert len(task.matrix.arms) == 8
    assert len(kinds) == 4


def test_a_race_needs_somebody_to_run_against_and_seeds_to_save(words: list[str]) -> None:
    with pytest.raises(UserError, match=r"race=true needs baseline=ARM, .* from grpo, mssr"):
        compare_verb.prepare([*words, "race=true"])
    few = [*words, "race=true", "baseline=grpo"]
    with pytest.raises(UserError, match=r"2 arms and seeds=1: .* before it has lost 6 seeds"):
        compare_verb.prepare(few)


@pytest.mark.slow
def test_the_plan_measures_the_pace_and_starts_nothing(
    words: list[str], launch: Launch, capsys: Any
) -> None:
    said = compare_verb.plan(words, launch)
    assert re.search(r"in all +about [\d.]+.(s|min)", said)
    assert "2 runs" in said
    assert "rollout.group_size" in said
    assert "trial" in capsys.readouterr().err
    assert not place(words).exists()


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_saves_and_exits_as_asked(
    words: list[str], slowly: Slowly, signum: signal.Signals
) -> None:
    child = drive(words, pause=0.15)
    wait_for(lambda: steps(place(words)) >= 1)
    child.send_signal(signum)
    _, said = child.communicate(timeout=60)
    assert f"{Interrupted.__name__}" in said  # the driver below has no command line to catch it
    assert f"ended by {signum.name}; the same command continues from here" in said
    assert {look(folder).state for folder in runs(place(words))} == {"interrupted"}


# ---- a comparison in a process of its own, to be ended from outside ----


def drive(words: list[str], pause: float) -> "subprocess.Popen[str]":
    script = DRIVER.format(here=str(Path(__file__).parent))
    return subprocess.Popen(
        [sys.executable, "-c", script, str(pause), *words],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def runs(folder: Path) -> list[Path]:
    return sorted((folder / "runs").glob("*")) if (folder / "runs").exists() else []


def steps(folder: Path) -> int:
    return sum(look(run).rollouts // 64 for run in runs(folder))


def wait_for(condition: Callable[[], bool], patience: float = 120.0) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
