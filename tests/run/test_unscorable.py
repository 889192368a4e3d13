"""Responses that get no reward: refused with their row, or left out as if they were not there."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mssr_rl.advantage import Batch, chain, state_tensors, stateless, to_tokens
from mssr_rl.algos import algorithms
from mssr_rl.budget import Ledger
from mssr_rl.comparison import accuracy
from mssr_rl.comparison.evidence import ComparedRun
from mssr_rl.config import Config
from mssr_rl.engine_protocol import Engine, Rollouts, UpdatePlan
from mssr_rl.envs.environment import Graded, ProblemEnv
from mssr_rl.errors import RunFailed
from mssr_rl.grading.verify import Verdict
from mssr_rl.lens.lines import open_recording
from mssr_rl.report.runfiles import read_run
from mssr_rl.run import initial, step, trainer
from mssr_rl.run.arm import TrainingSetup, assemble
from mssr_rl.run.marking import graded
from mssr_rl.run.sameness import rows as timeless_rows

Configure = Callable[..., Config]
MakeEngine = Callable[[Config], Engine]
every = pytest.mark.parametrize("name", algorithms.names())
LEAVE_OUT = "fault.unscorable=leave_out"


def poll(_: str) -> None:
    """Nothing ends the step."""


class Silent:
    """An environment that gives no reward for some of the answers of its first batch."""

    def __init__(self, env: ProblemEnv, without: Sequence[int]) -> None:
        self._env, self._without = env, without

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env, name)

    def grade(self, rows: Sequence[int], responses: Sequence[str]) -> list[Any]:
        marks: list[Any] = list(self._env.grade(rows, responses))
        for place in self._without:
            marks[place] = Graded(None, marks[place].verdict)  # type: ignore[arg-type]
        return marks


def posing(arm: TrainingSetup, env: Any) -> TrainingSetup:
    """The arm with another environment to train on."""
    return arm._replace(splits=arm.splits._replace(train=env))


class Watched:
    """An engine that keeps what it was told to update with."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def update(
        self, rollouts: Rollouts, advantage_BT: Tensor, reference_BT: Tensor, plan: UpdatePlan
    ) -> Any:
        self.told = (rollouts, advantage_BT, reference_BT, plan)
        return self.engine.update(rollouts, advantage_BT, reference_BT, plan)


def arm_of(name: str, configure: Configure, make_engine: MakeEngine, *words: str) -> TrainingSetup:
    made = algorithms.make(name)
    group = max(made.default_group_size, 3) if made.min_group_size > 1 else 1
    group = next((int(w.partition("=")[2]) for w in words if "group_size" in w), group)
    resampled = "dynamic_sampling" in algorithms.options(name)
    whole = ("algo.dynamic_sampling=false",) * resampled
    # A loss that draws among tokens draws other ones in another update: here it takes them all.
    whole += ("algo.fraction=1.0",) * ("fraction" in algorithms.options(name))
    size = 4 * group
    sizes = (f"train.rollouts_per_step={size}", f"train.samples_per_update={size}")
    words = ("budget.rollouts=1024", *words)
    config = configure(f"algo={name}", f"rollout.group_size={group}", *sizes, *whole, *words)
    arm = assemble(config, make_engine)
    return arm._replace(engine=Watched(plainly(arm.engine)))  # type: ignore[arg-type]


def plainly(engine: Any) -> Any:
    """With steps as long as their gradients: AdamW's are as long where a gradient is about 0."""
    engine.optimiser = torch.optim.SGD([engine.logits], lr=1.0)
    return engine


def without(batch: Batch, place: int) -> Batch:
    """The batch without one rollout, made independently of the trainer."""
    there = [i for i in range(len(batch.reward_B)) if i != place]
    cut = {name: x[there] if isinstance(x, Tensor) else x for name, x in batch._asdict().items()}
    groups = torch.arange(len(batch.reward_B)) // batch.group_size
    if batch.group_size == 1:
        return Batch(**cut)
    return Batch(**{**cut, "group_size": 0, "group_B": groups[there]})


def test_an_algorithm_that_cuts_groups_itself_is_told_that_they_are_unequal(
    configure: Configure, make_engine: MakeEngine
) -> None:
    """Four of 32 are lost: 28 could be cut into groups of 4 that mix problems."""
    arm = arm_of("grpo", configure, make_engine, LEAVE_OUT, "rollout.group_size=4")
    own = stateless("own", "rollout", "rollout", lambda a, b: a.view(-1, b.group_size).flatten())
    made = replace(arm.algorithm, advantage=chain(own, to_tokens()))
    silent = posing(arm._replace(algorithm=made), Silent(arm.train, [0, 5, 9, 14]))
    with pytest.raises(RunFailed, match="cannot take groups that have lost a rollout"):
        step.train_step(silent, step.first_state(silent), poll)


@every
def test_a_step_is_for_the_others_what_it_is_without_the_rollout(
    name: str, configure: Configure, make_engine: MakeEngine
) -> None:
    whole = arm_of(name, configure, make_engine)
    state = step.first_state(whole)
    full = step.train_step(whole, state, poll)
    assert full.recorded is not None
    arm, place = arm_of(name, configure, make_engine, LEAVE_OUT), 1
    silent = posing(arm, Silent(arm.train, [place]))
    found = step.train_step(silent, state, poll)

    expected = arm.algorithm.advantage.update
    alone = without(full.recorded.batch, place)
    credit = expected(alone.reward_B, alone, state.algorithm)
    rollouts, advantage_BT, _, plan = arm.engine.told  # type: ignore[attr-defined]
    counted_B = plan.counted_B
    if arm.group_size == 1:  # the problem is gone
        assert counted_B is None
        assert torch.equal(advantage_BT, credit.advantage)
        assert len(rollouts.problems) == 3
    else:
        assert counted_B.tolist() == [i != place for i in range(4 * arm.group_size)]
        assert torch.equal(advantage_BT[counted_B], credit.advantage)
        assert not advantage_BT[place].any()
    # The memory, and the policy: an engine that is given the others one by one, as single rollouts.
    one, two = state_tensors(found.state.algorithm), state_tensors(credit.state)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert_updated_as_alone(arm, make_engine, place)
    # What is measured, and what is charged.
    assert found.metrics["reward/mean"] == pytest.approx(alone.reward_B.mean().item())
    charged = 4 * arm.group_size + arm.greedy_per_step
    assert found.metrics["reward/unscorable_fraction"] == 1 / charged
    assert found.state.ledger.unscorable_rollouts == 1
    assert found.state.ledger.discarded_rollouts == 1 + arm.greedy_per_step
    assert found.state.ledger.rollouts == charged
    assert found.state.ledger.trained_tokens == int(alone.mask_BT.sum())
    assert "reward/unscorable_fraction" not in full.metrics


def assert_updated_as_alone(arm: TrainingSetup, make_engine: MakeEngine, place: int) -> None:
    rollouts, advantage_BT, reference_BT, plan = arm.engine.told  # type: ignore[attr-defined]
    other: Any = plainly(make_engine(arm.config))
    keep = torch.ones(len(rollouts.mask_BT), dtype=torch.bool)
    if plan.counted_B is not None:
        keep[place] = False
    problems = [p for p in rollouts.problems for _ in range(rollouts.group_size)]
    single = rollouts._replace(
        problems=tuple(p for p, kept in zip(problems, keep.tolist(), strict=True) if kept),
        responses=tuple(r for r, k in zip(rollouts.responses, keep.tolist(), strict=True) if k),
        group_size=1,
        token_BT=rollouts.token_BT[keep],
        mask_BT=rollouts.mask_BT[keep],
        logprob_BT=rollouts.logprob_BT[keep],
        entropy_BT=rollouts.entropy_BT[keep],
        truncated_B=rollouts.truncated_B[keep],
    )
    anchor_BTK = None if plan.anchor_BTK is None else plan.anchor_BTK[keep]
    whole = {"samples_per_update": len(keep), "seed": 0, "anchor_BTK": anchor_BTK}
    alone = UpdatePlan(loss=plan.loss, extras=plan.extras, **whole)
    stats = other.update(single, advantage_BT[keep], reference_BT[keep], alone)
    assert stats.trained_tokens == plan.tokens(rollouts.mask_BT)
    ours, theirs = (e.logits.detach() for e in (arm.engine.engine, other))  # type: ignore[attr-defined]
    assert (ours - theirs).abs().max() < 1e-6


@every
def test_a_problem_that_nothing_can_score_is_no_part_of_the_step(
    name: str, configure: Configure, make_engine: MakeEngine
) -> None:
    arm = arm_of(name, configure, make_engine, LEAVE_OUT)
    gone = range(arm.group_size, 2 * arm.group_size)
    silent = posing(arm, Silent(arm.train, gone))
    state = step.first_state(arm)
    found = step.train_step(silent, state, poll)
    rollouts, _, _, plan = arm.engine.told  # type: ignore[attr-defined]
    assert len(rollouts.problems) == 3
    assert plan.counted_B is None
    assert found.state.ledger.unscorable_rollouts == arm.group_size
    assert len(found.samples) == 4 * arm.group_size  # those that are shown


def test_where_nothing_can_be_scored_the_run_ends(
    configure: Configure, make_engine: MakeEngine
) -> None:
    arm = arm_of("grpo", configure, make_engine, LEAVE_OUT)
    silent = posing(arm, Silent(arm.train, range(4 * arm.group_size)))
    with pytest.raises(RunFailed, match="gave no reward for any of the 32 responses"):
        step.train_step(silent, step.first_state(arm), poll)


def test_groups_are_worth_another_try_by_the_rewards_they_have(
    configure: Configure, make_engine: MakeEngine
) -> None:
    """A group whose only other reward is missing is a decided one."""
    from mssr_rl.run.gather import _Lot, _worth_it

    resampling = algorithms.make("dapo").resampling
    assert resampling is not None
    nan = math.nan
    rewards = [[1, 0, 0], [1, nan, 1], [nan, nan, nan], [nan, 1, 0], [0, 0, nan]]
    marks = [Graded(r, Verdict("correct", None)) for row in rewards for r in row]
    samples = [Sample_of(mark) for mark in marks]
    lot = _Lot(list(range(5)), None, samples, [0.0] * 5, Ledger())  # type: ignore[arg-type]
    assert list(_worth_it(lot, resampling)) == [0, 3]


def Sample_of(mark: Graded) -> Any:
    from mssr_rl.run.samples import Sample

    return Sample(None, "", mark)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["spo", "mvsr_released"])
def test_what_is_learnt_before_step_1_leaves_them_out_too(
    name: str, configure: Configure, make_engine: MakeEngine
) -> None:
    words = (f"algo={name}", "algo.n_init=4", "budget.rollouts=1024")
    arms = [assemble(configure(*words, *more), make_engine) for more in ((), (LEAVE_OUT,))]
    at_once = 4 * (64 // 4)  # responses of a batch
    silent = Silent(arms[1].train, [0, 1, 2, 3, 5])  # the first problem has none left
    arms[1] = posing(arms[1], silent)
    states = [initial.initialised(arm, step.first_state(arm), poll) for arm in arms]
    before = state_tensors(step.first_state(arms[0]).algorithm)
    full, cut = (state_tensors(state.algorithm) for state in states)
    alpha = next(key for key in full if "alpha" in key)
    assert cut[alpha].isfinite().all()
    assert cut[alpha][0] == before[alpha][0]
    assert states[1].ledger.unscorable_rollouts == 5 * math.ceil(60 * 4 / at_once)
    batches = set(range(0, 60, 16))
    touched = {start + place for start in batches for place in (0, 1)}
    same = [row for row in range(60) if row not in touched]
    assert torch.equal(full[alpha][same], cut[alpha][same])


# ---- a whole run ----


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers of two digits get no reward."""
    before = ProblemEnv._grade

    def grade(self: ProblemEnv, problem: Any, response: str) -> Graded:
        mark = before(self, problem, response)
        two = mark.verdict.extracted is not None and len(mark.verdict.extracted) == 2
        return Graded(None, mark.verdict) if two else mark  # type: ignore[arg-type]

    monkeypatch.setattr(ProblemEnv, "_grade", grade)


@pytest.mark.usefixtures("forgetful")
@pytest.mark.parametrize("name", ["grpo", "mssr"])
def test_a_run_counts_them_everywhere_and_resumes_to_the_same(
    name: str, configure: Configure, make_engine: MakeEngine
) -> None:
    words = (LEAVE_OUT, f"algo={name}", "lens.every=1")
    folder = trainer.run(configure("name=run", *words), make_engine)
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert all(0 < row["reward/unscorable_fraction"] < 1 for row in rows)
    assert all(math.isfinite(value) for row in rows for value in row.values())
    ledger = json.loads((folder / "summary.json").read_text())["ledger"]
    counted = sum(row["reward/unscorable_fraction"] * 64 for row in rows)
    assert ledger["unscorable_rollouts"] == pytest.approx(counted)
    samples = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
    left_out = [one for one in samples if one["reward"] is None]
    assert left_out
    assert {one["reason"] for one in left_out} == {"unscorable"}
    evaluations = [json.loads(line) for line in (folder / "eval.jsonl").read_text().splitlines()]
    for row in evaluations:
        assert row["n"] == len(row["per_problem"]) < 30
        assert row["n"] + row["unscorable"] == (30 if row["split"] == "val" else 20)
        assert row["accuracy"] == sum(row["per_problem"].values()) / row["n"]
    # The lens reads what was kept of its batches.
    for file in sorted((folder / "lens").glob("*.jsonl")):
        (line,) = open_recording(file).lines()
        made = algorithms.make(name).advantage
        credit = made.update(line.batch.reward_B, line.batch, made.init(60))
        assert credit.advantage.isfinite().all()
    # Broken off and gone on with, it is the same run.
    trainer.run(configure("name=two", *words, "budget.rollouts=128"), make_engine)
    two = trainer.run(configure("name=two", "resume=true", *words), make_engine)
    assert timeless_rows(two, "metrics") == timeless_rows(folder, "metrics")


@pytest.mark.usefixtures("forgetful")
def test_by_default_the_first_ends_the_run_and_names_its_row(
    configure: Configure, make_engine: MakeEngine
) -> None:
    with pytest.raises(RunFailed) as failed:
        trainer.run(configure("name=run"), make_engine)
    said = str(failed.value)
    assert "the environment vision_r1 gave no reward ('None') for an answer to" in said
    assert "problem 'val/0' (row 0 of val, counted from 0)" in said
    assert "fault.unscorable=leave_out" in said


# ---- what an environment may give ----


class Odd:
    """Gives what it was told to for the answer to the second problem."""

    def __init__(self, env: ProblemEnv, mark: Any) -> None:
        self._env, self._mark = env, mark

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env, name)

    def grade(self, rows: Sequence[int], responses: Sequence[str]) -> Any:
        if callable(self._mark):
            return self._mark(rows)
        right = Verdict("correct", "1")
        return [self._mark if row == 1 else Graded(1.0, right) for row in rows]


def fails_on_row_1(rows: Sequence[int]) -> Any:
    if 1 in rows:
        raise KeyError("answer")
    return [Graded(1.0, Verdict("correct", "1")) for _ in rows]


FINE = Verdict("correct", "1")


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        (Graded("high", FINE), "gave the reward \"'high'\", which is not a finite number,"),  # type: ignore[arg-type]
        (Graded(math.inf, FINE), "gave the reward 'inf', which is not a finite number,"),
        (Graded(1j, FINE), "which is not a finite number"),  # type: ignore[arg-type]
        (Graded([1.0], FINE), "which is not a finite number"),  # type: ignore[arg-type]
        (Graded(None, FINE), "gave no reward ('None')"),  # type: ignore[arg-type]
        (Graded(math.nan, FINE), "gave no reward ('nan')"),
        (Graded(torch.tensor(math.nan), FINE), "gave no reward"),  # type: ignore[arg-type]
        (Graded(1.0, None), "which is not a Verdict"),  # type: ignore[arg-type]
        (0.5, "which is not a Graded(reward, verdict)"),
        (None, "which is not a Graded(reward, verdict)"),
        (fails_on_row_1, "raised KeyError: 'answer'"),
    ],
)
def test_what_is_no_reward_is_named_with_its_row(
    mark: Any, said: str, configure: Configure, make_engine: MakeEngine
) -> None:
    arm = assemble(configure(), make_engine)
    rollouts = arm.engine.rollout(arm.train.problems[:3], 2, arm.sampling, seed=1)
    with pytest.raises(RunFailed) as failed:
        graded(Odd(arm.train, mark), range(3), rollouts)  # type: ignore[arg-type]
    assert said in str(failed.value)
    assert "problem 'train/1' (row 1 of train, counted from 0)" in str(failed.value)


def test_too_few_verdicts_are_not_stretched(configure: Configure, make_engine: MakeEngine) -> None:
    arm = assemble(configure(), make_engine)
    rollouts = arm.engine.rollout(arm.train.problems[:3], 1, arm.sampling, seed=1)
    for short, said in ((lambda rows: [], "0 verdicts for 3"), (lambda rows: None, "NoneType")):
        with pytest.raises(RunFailed, match=said):
            graded(Odd(arm.train, short), range(3), rollouts)  # type: ignore[arg-type]


@pytest.mark.parametrize("reward", [1, True, 0.5, torch.tensor(0.5), np.float32(1)])
def test_any_kind_of_number_is_a_reward(
    reward: Any, configure: Configure, make_engine: MakeEngine
) -> None:
    arm = assemble(configure(), make_engine)
    rollouts = arm.engine.rollout(arm.train.problems[:2], 1, arm.sampling, seed=1)
    found = graded(Odd(arm.train, Graded(reward, FINE)), range(2), rollouts)  # type: ignore[arg-type]
    assert found[1].graded.reward == float(reward)


# ---- in a comparison ----


def test_a_verdict_is_on_the_problems_that_every_run_could_score(tmp_path: Path) -> None:
    def run(arm: str, answers: dict[str, int], **more: Any) -> ComparedRun:
        folder = tmp_path / arm
        folder.mkdir()
        row = {"step": 1, "split": "test", "n": len(answers), "per_problem": answers, **more}
        (folder / "eval.jsonl").write_text(json.dumps(row) + "\n")
        (folder / "config.yaml").write_text("")
        (folder / "run.json").write_text("{}")
        return ComparedRun(arm, arm, "e", 0, "done", read_run(folder))

    runs = [run("a", {"x": 1, "y": 0, "z": 1}), run("b", {"x": 1, "z": 0}, unscorable=1)]
    assert accuracy.scores(runs, ["a", "b"], "test") == {
        "a": {0: {"x": 1, "z": 1}},
        "b": {0: {"x": 1, "z": 0}},
    }
