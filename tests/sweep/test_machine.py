"""How many runs at once, and how long that takes."""

from pathlib import Path

import pytest

from mssr_rl.sweep import machine, matrix, time_trial
from mssr_rl.sweep.machine import Machine
from mssr_rl.sweep.matrix import PlannedRun
from mssr_rl.sweep.settings import Settings
from mssr_rl.sweep.time_trial import ArmTime


def runs(*words: str) -> tuple[PlannedRun, ...]:
    given = dict(word.split("=", 1) for word in ("algo=grpo,mssr", "env.limit=8", *words))
    return matrix.spell_out(given, Settings(seeds=2), Path("runs")).runs


PLENTY = 1e12  # bytes


@pytest.mark.slow
def test_together_they_do_not_exceed_the_cores() -> None:
    nodes = [Machine(8, PLENTY)]
    for threads, jobs in ((1, 4), (2, 4), (3, 2), (8, 1), (9, 1)):
        share = machine.share(Settings(), runs(f"engine.threads={threads}"), nodes)
        assert (share.jobs, share.threads) == (jobs, threads)


def test_the_cores_are_divided_among_few_runs() -> None:
    nodes = [Machine(8, PLENTY)]
    assert machine.threads(Settings(), 2, nodes) == "4"
    assert machine.threads(Settings(), 20, nodes) == "1"
    assert machine.threads(Settings(jobs=2), 20, nodes) == "4"


def test_no_run_has_more_threads_than_the_smallest_machine_has_cores() -> None:
    assert machine.threads(Settings(), 2, [Machine(8, PLENTY), Machine(2, PLENTY)]) == "2"


def test_together_they_do_not_exceed_the_memory_of_any_machine() -> None:
    some = runs("engine.threads=1")
    need = max(machine._needs(some)) / machine.SPARE
    nodes = [Machine(64, 2.5 * need), Machine(64, 0.9 * need), Machine(1, PLENTY)]
    assert machine.share(Settings(), some, nodes[:1]).jobs == 2
    assert machine.share(Settings(), some, nodes).jobs == 3
    assert machine.share(Settings(), some, nodes[1:2]).jobs == 1  # one is always started


def test_the_time_of_all_runs_is_that_of_the_longest_place() -> None:
    assert time_trial.makespan([3, 2, 2, 1], 2) == 4
    assert time_trial.makespan([3, 2, 2, 1], 1) == 8
    assert time_trial.makespan([3.0], 4) == 3


def test_the_time_of_a_run_is_its_steps_and_its_evaluations() -> None:
    (run, *_) = runs("budget.rollouts=1024", "eval.every=2", "eval.samples=4")
    # 4 steps; val at 0, 2 and 4 and test once, 8 problems each, 5 answers a problem
    assert (
        time_trial.run_seconds(run.config, ArmTime(10.0, 2.0, 0.5)) == 10 + 4 * 2 + 4 * 8 * 5 * 0.5
    )


def test_an_arm_that_rolls_out_before_step_1_takes_that_much_longer() -> None:
    (run, *_) = runs("budget.rollouts=1024", "eval.every=0", "eval.samples=4")
    pace = ArmTime(start=10.0, step=2.0, evaluated=0.5)
    more = time_trial.run_seconds(run.config, pace, 256) - time_trial.run_seconds(run.config, pace)
    assert more == 256 * 0.5 - 2.0  # and a step less is left in the budget
