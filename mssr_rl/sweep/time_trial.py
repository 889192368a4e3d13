"""Measure how long a comparison will take, by training every arm for a few steps.

The first arm is tried alone, with steps of one optimiser update each. If its real steps, which have
several updates, are likely to be short, every arm is tried with real steps. Otherwise small steps
must do, and the time of a real step is taken as proportional to its updates: this is too long where
large batches are faster per rollout. Trials run in parallel like the real runs, so they share the
machine in the same way. Their folder is deleted.
"""

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from mssr_rl import untrusted
from mssr_rl.algos import algorithms
from mssr_rl.config import Config
from mssr_rl.errors import UserError
from mssr_rl.metric_names import STEP_SECONDS
from mssr_rl.planning.plan import problems_by_split, schedule
from mssr_rl.run.arm import initial_rollouts
from mssr_rl.run_streams import whole_rows
from mssr_rl.sweep import process
from mssr_rl.sweep.matrix import PlannedRun, in_turn
from mssr_rl.sweep.process import Launch
from mssr_rl.sweep.runner import NAP, Share

STEPS = 3  # the first step is slower, and is not counted
SHORT_STEP = 5.0  # a real step that takes no longer is tried as it is [s]


class TrialSize(NamedTuple):
    """The size of a trial's steps and evaluation."""

    whole_steps: bool  # or of one update each
    problems: int  # of an evaluation


SMALL = TrialSize(whole_steps=False, problems=16)
REAL = TrialSize(whole_steps=True, problems=128)

# Keys whose values change the time of a run. The other keys of a map do not, or hardly.
SLOWER = (
    "algo.",
    "budget.",
    "engine.",
    "env.",
    "eval.",
    "model.",
    "rollout.",
    "train.epochs",
    "train.micro",
    "train.rollouts_per_step",
    "train.samples_per_update",
)


class ArmTime(NamedTuple):
    """The measured times of one arm in seconds."""

    start: float  # before the first rollout and after the last one
    step: float
    evaluated: float  # per rollout of an evaluation


class ComparisonTime(NamedTuple):
    """The estimated time of the whole comparison in seconds."""

    by_arm: Mapping[str, float]  # per run
    total: float


def measure(runs: Sequence[PlannedRun], share: Share, launch: Launch) -> ComparisonTime:
    """Train one run of each arm and environment for a few steps; return the estimated times.

    Of the arms of a map that differ in no key of `SLOWER`, one is tried for all. `share.jobs`
    trials run at once. An arm with initial rollouts for every problem is not tried,
    because that would take too long. It is assumed to be as slow as the slowest other arm. Raise
    `UserError` if no arm can be tried.
    """
    # The first run of each kind stands for all.
    kinds = {_kind(run): run for run in reversed(runs)}
    chosen = list(reversed(kinds.values()))
    first = {run: _initial(run.config) for run in chosen}
    tried = [run for run in chosen if not first[run]]
    if not tried:
        raise UserError(
            "no arm can be measured in a short trial: all answer every problem before step 1; omit "
            "--plan, or add an arm that does not"
        )
    paces = _try_all(tried, share, launch)
    slowest = max(paces.values(), key=lambda pace: pace.step)
    seconds = {
        kind: run_seconds(run.config, paces.get(run, slowest), first[run])
        for kind, run in kinds.items()
    }
    return ComparisonTime(
        {f"{run.arm.label} on {run.env}": seconds[_kind(run)] for run in chosen},
        makespan([seconds[_kind(run)] for run in in_turn(runs)], share.jobs),
    )


def _kind(run: PlannedRun) -> tuple[str, ...]:
    """Return what decides how long a run takes; runs of one kind are timed together."""
    slower = [f"{key}={value}" for key, value in run.arm.swept if key.startswith(SLOWER)]
    return (run.arm.group or run.arm.label, *slower, run.env)


def run_seconds(config: Config, pace: ArmTime, initial: int = 0) -> float:
    """Return the time of one whole run in seconds: initial rollouts, steps and evaluations."""
    plan = schedule(config, initial)
    sizes = {split: len(problems) for split, problems in problems_by_split(config).items()}
    val, test = (min(sizes[split], config.eval.limit or sizes[split]) for split in ("val", "test"))
    drawn = initial + (plan.evaluations * val + test) * (1 + config.eval.samples)
    return pace.start + plan.steps * pace.step + drawn * pace.evaluated


def _initial(config: Config) -> int:
    algorithm = algorithms.make(config.algo.name, **config.algo.options)
    return initial_rollouts(algorithm, len(problems_by_split(config)["train"]))


def _try_all(runs: Sequence[PlannedRun], share: Share, launch: Launch) -> dict[PlannedRun, ArmTime]:
    probed, *others = runs
    paces = _trials([probed], SMALL, share, launch)
    if paces[probed].step > SHORT_STEP:
        return paces | _trials(others, SMALL, share, launch)
    return _trials(runs, REAL, share, launch)


def _trials(
    runs: Sequence[PlannedRun], size: TrialSize, share: Share, launch: Launch
) -> dict[PlannedRun, ArmTime]:
    paces: dict[PlannedRun, ArmTime] = {}
    with tempfile.TemporaryDirectory(prefix="mssr_rl-trial-") as folder:
        for first in range(0, len(runs), share.jobs):
            some = runs[first : first + share.jobs]
            measured = _side_by_side(some, size, Path(folder), share, launch)
            paces |= dict(zip(some, measured, strict=True))
    return paces


def makespan(seconds: Sequence[float], jobs: int) -> float:
    """Return the seconds until the last run ends, if runs start in order and `jobs` run at once."""
    free = [0.0] * jobs
    for spent in seconds:
        place = free.index(min(free))
        free[place] += spent
    return max(free)


def _side_by_side(
    runs: Sequence[PlannedRun], size: TrialSize, folder: Path, share: Share, launch: Launch
) -> list[ArmTime]:
    begun = time.monotonic()
    children = [
        launch(_words(run, size, folder), folder / f"{run.name}.log", share.threads) for run in runs
    ]
    ended: dict[int, float] = {}
    try:
        while len(ended) < len(runs):
            for i, child in enumerate(children):
                if i not in ended and child.poll() is not None:
                    ended[i] = time.monotonic() - begun
            time.sleep(NAP / 5)
    finally:
        for child in children:
            if child.poll() is None:
                child.terminate()
                child.wait()
    return [_pace(run, size, folder, ended[i]) for i, run in enumerate(runs)]


def _rollouts_per_step(run: PlannedRun, size: TrialSize) -> int:
    train = run.config.train
    return train.rollouts_per_step if size.whole_steps else train.samples_per_update


def _words(run: PlannedRun, size: TrialSize, folder: Path) -> list[str]:
    rollouts = _rollouts_per_step(run, size)
    short = {
        "eval.every": "0",
        "eval.limit": str(min(size.problems, run.config.eval.limit or size.problems)),
        "checkpoint.every": "0",
        "train.rollouts_per_step": str(rollouts),
        "budget.rollouts": str(STEPS * rollouts),
    }
    arguments = [word for word in run.words if word.partition("=")[0] not in short]
    return [
        *arguments,
        *(f"{key}={value}" for key, value in short.items()),
        f"name={run.name}",
        f"runs_dir={folder}",
    ]


def _pace(run: PlannedRun, size: TrialSize, folder: Path, wall: float) -> ArmTime:
    path = folder / run.name
    if not (path / "summary.json").exists():
        why = process.last_words(folder / f"{run.name}.log")
        raise UserError(f"the trial of {run.arm.label} ended early: {why}")
    ledger = untrusted.read_object(path / "summary.json")["ledger"]
    rows = list(whole_rows(path, "metrics"))
    evaluating = ledger["seconds_by_phase"]["evaluate"]
    share_of_step = _rollouts_per_step(run, size) / run.config.train.rollouts_per_step
    return ArmTime(
        start=max(0.0, wall - ledger["seconds"] - evaluating),
        step=median(row[STEP_SECONDS] for row in rows[1:] or rows) / share_of_step,
        evaluated=evaluating / ledger["evaluation_rollouts"],
    )
