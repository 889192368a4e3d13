"""More than one batch a step, initial rollouts, problems drawn by weight: and what they cost."""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from mssr_rl.algos import dapo
from mssr_rl.config import Config
from mssr_rl.engine.regroup import joined, picked, side_by_side
from mssr_rl.engine_protocol import Engine, Rollouts
from mssr_rl.envs.environment import Graded
from mssr_rl.errors import UserError
from mssr_rl.grading.verify import Verdict
from mssr_rl.planning.plan import schedule
from mssr_rl.problem import Problem
from mssr_rl.run import trainer
from mssr_rl.run.gather import _comparable
from mssr_rl.run.samples import Sample

pytestmark = pytest.mark.slow

Configure = Callable[..., Config]
MakeEngine = Callable[[Config], Engine]


def rows(folder: Path, stream: str = "metrics") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{stream}.jsonl").read_text().splitlines()]


def untimed(folder: Path) -> list[dict[str, Any]]:
    timed = ("timing_s/", "budget/seconds")
    return [{k: v for k, v in row.items() if not k.startswith(timed)} for row in rows(folder)]


def ledger(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "summary.json").read_text())["ledger"]
    return found


# ---- dynamic sampling ----


def test_dropped_groups_are_replaced_and_charged(
    configure: Configure, make_engine: MakeEngine
) -> None:
    folder = trainer.run(configure("algo=dapo", "rollout.group_size=4"), make_engine)
    metrics, spent = rows(folder), ledger(folder)
    assert max(row["sampling/batches"] for row in metrics) > 1
    assert spent["rollouts"] == metrics[-1]["budget/rollouts"] <= 384
    assert spent["rollouts"] == 64 * sum(row["sampling/batches"] for row in metrics)
    dropped = [row["sampling/dropped_fraction"] * 64 * row["sampling/batches"] for row in metrics]
    assert spent["discarded_rollouts"] == pytest.approx(sum(dropped))
    assert spent["trained_tokens"] < spent["generated_tokens"]
    full = [row for row in metrics if row["sampling/dropped_fraction"] < 1]
    assert all(0 < row["reward/mean"] < 1 for row in full)


def test_resampling_ends_with_what_there_is(configure: Configure, make_engine: MakeEngine) -> None:
    words = ("algo=dapo", "algo.max_resample=1", "rollout.group_size=4")
    metrics = rows(trainer.run(configure(*words), make_engine))
    assert all(row["sampling/batches"] == 1 for row in metrics)
    assert any(row["sampling/dropped_fraction"] > 0 for row in metrics)
    assert len(metrics) == 6


def test_no_step_generates_more_than_the_budget_holds(
    configure: Configure, make_engine: MakeEngine
) -> None:
    words = ("algo=dapo", "algo.max_resample=50", "budget.rollouts=130", "rollout.group_size=2")
    spent = ledger(trainer.run(configure(*words), make_engine))
    assert spent["rollouts"] == 128


def test_without_dynamic_sampling_every_group_is_trained_on(
    configure: Configure, make_engine: MakeEngine
) -> None:
    folder = trainer.run(configure("algo=dapo", "algo.dynamic_sampling=false"), make_engine)
    assert ledger(folder)["discarded_rollouts"] == 0
    assert "sampling/batches" not in rows(folder)[0]


def test_a_resumed_run_draws_the_same(configure: Configure, make_engine: MakeEngine) -> None:
    words = ("algo=dapo", "algo.max_resample=2", "rollout.group_size=4", "checkpoint.every=1")
    whole = trainer.run(configure(*words, "name=whole"), make_engine)
    trainer.run(configure(*words, "name=half", "budget.rollouts=256"), make_engine)
    half = trainer.run(configure(*words, "name=half", "resume=true"), make_engine)
    assert untimed(whole) == untimed(half)
    assert len(untimed(whole)) >= 3


# ---- initial rollouts ----


@pytest.mark.parametrize(
    ("words", "initial"),
    [
        (("algo=mvsr_released",), 60),
        (("algo=mssr", "algo.prior=rollouts", "algo.n_init=2"), 120),
        (("algo=spo", "algo.n_init=3"), 180),
    ],
)
def test_initial_rollouts_are_charged_before_the_first_step(
    configure: Configure, make_engine: MakeEngine, words: tuple[str, ...], initial: int
) -> None:
    folder = trainer.run(configure(*words), make_engine)
    metrics, spent = rows(folder), ledger(folder)
    assert metrics[0]["budget/rollouts"] == initial + 64
    assert spent["initial_rollouts"] == initial
    assert spent["rollouts"] == initial + 64 * len(metrics) <= 384
    assert 384 - spent["rollouts"] < 64
    known = json.loads((folder / "run.json").read_text())
    assert known["initial_rollouts"] == initial
    assert known["steps"] == len(metrics)


def test_the_tracker_starts_from_what_the_initial_policy_could(
    configure: Configure, make_engine: MakeEngine
) -> None:
    even = rows(trainer.run(configure("algo=mvsr", "name=even"), make_engine))
    taught = rows(
        trainer.run(
            configure("algo=mvsr", "algo.prior=rollouts", "algo.n_init=2", "name=taught"),
            make_engine,
        )
    )
    assert even[0]["tracker/mean"] == 0.5
    assert taught[0]["tracker/mean"] == pytest.approx(taught[0]["reward/mean"], abs=0.1)


def test_a_resumed_run_does_not_draw_them_twice(
    configure: Configure, make_engine: MakeEngine
) -> None:
    words = ("algo=mvsr_released", "checkpoint.every=1")
    whole = trainer.run(configure(*words, "name=whole"), make_engine)
    trainer.run(configure(*words, "name=half", "budget.rollouts=192"), make_engine)
    half = trainer.run(configure(*words, "name=half", "resume=true"), make_engine)
    assert untimed(whole) == untimed(half)


def test_a_budget_that_only_pays_for_the_beginning_is_refused(
    configure: Configure, make_engine: MakeEngine
) -> None:
    with pytest.raises(UserError, match=r"is too small for one step: .* after 60 initial rollouts"):
        trainer.run(configure("algo=mvsr_released", "budget.rollouts=100"), make_engine)


# ---- greedy responses, changed pictures ----


def test_greedy_responses_are_charged_and_not_trained_on(
    configure: Configure, make_engine: MakeEngine
) -> None:
    words = ("algo=remax", "rollout.group_size=2", "lens.every=1", "checkpoint.every=1")
    config = configure(*words, "name=whole")
    folder = trainer.run(config, make_engine)
    metrics, spent = rows(folder), ledger(folder)
    assert [row["budget/rollouts"] for row in metrics] == [96, 192, 288, 384]
    assert [row["budget/prompts"] for row in metrics] == [32, 64, 96, 128]
    assert spent["discarded_rollouts"] == 4 * 32
    assert schedule(config).steps == 4
    lines = [json.loads((folder / "lens" / f"step_{n}.jsonl").read_text()) for n in (1, 4)]
    for line in lines:
        assert set(line["greedy"]) <= {0.0, 1.0}
        assert line["greedy"][::2] == line["greedy"][1::2]  # one for a problem
    trainer.run(configure(*words, "name=half", "budget.rollouts=192"), make_engine)
    half = trainer.run(configure(*words, "name=half", "resume=true"), make_engine)
    assert untimed(folder) == untimed(half)


def test_a_problem_whose_greedy_response_has_no_reward_is_left_out() -> None:
    reward = [1.0, 0.0, 1.0, 1.0]
    samples = [
        Sample(Problem(key="k", prompt="", answer=""), "", Graded(r, Verdict("correct", None)))
        for r in reward
    ]
    left = _comparable(samples, [1.0, float("nan")])
    assert [sample.scored for sample in left] == [True, True, False, False]
    assert _comparable(samples, [1.0, 0.0]) == samples


def test_some_rollouts_see_a_changed_picture_and_all_are_trained_on_with_the_true_one(
    configure: Configure, make_engine: MakeEngine
) -> None:
    words = ("algo=noisy_rollout", "rollout.group_size=4", "checkpoint.every=1")
    seen: list[tuple[int, bytes]] = []

    def watched(config: Config) -> Engine:
        engine = make_engine(config)
        rollout = engine.rollout

        def note(problems: Any, group_size: int, *rest: Any) -> Rollouts:
            seen.append((group_size, problems[0].images[0]))
            return rollout(problems, group_size, *rest)

        engine.rollout = note  # type: ignore[method-assign]
        return engine

    whole = trainer.run(configure(*words, "name=whole", "eval.limit=2"), watched)
    pairs = [two for two in pairwise(seen) if two[0][0] == two[1][0] == 2]
    assert len(pairs) >= 6
    assert all(one[1] != two[1] for one, two in pairs[::2])
    assert ledger(whole)["discarded_rollouts"] == 0
    assert rows(whole)[-1]["budget/rollouts"] == 384
    trainer.run(configure(*words, "name=half", "eval.limit=2"), make_engine)
    assert untimed(whole) == untimed(whole.parent / "half")


def test_two_lots_of_the_same_problems_become_larger_groups() -> None:
    one, two = lot(3, "ab"), lot(5, "ab")
    both = side_by_side(one, two._replace(responses=tuple(f"{r}!" for r in two.responses)))
    assert both.responses == ("a0", "a1", "a0!", "a1!", "b0", "b1", "b0!", "b1!")
    assert [problem.key for problem in both.problems] == ["a", "b"]
    assert both.group_size == 4
    assert both.mask_BT.sum(1).tolist() == [3, 3, 5, 5, 3, 3, 5, 5]
    assert both.prompt_tokens == 20


# ---- prioritised sampling, ablations ----


def test_prioritised_sampling_draws_without_replacement(
    configure: Configure, make_engine: MakeEngine
) -> None:
    words = ("algo=spo", "algo.prior=uniform", "train.rollouts_per_step=32", "eval.every=0")
    drawn = trainer.run(configure(*words, "algo.sampling=prioritised", "name=drawn"), make_engine)
    in_turn = trainer.run(configure(*words, "name=in_turn"), make_engine)
    lines = [json.loads((f / "lens" / "step_1.jsonl").read_text()) for f in (drawn, in_turn)]
    assert len(set(lines[0]["problem"])) == 32
    assert lines[0]["problem"] != lines[1]["problem"]


def test_more_problems_than_there_are_cannot_be_drawn(
    configure: Configure, make_engine: MakeEngine
) -> None:
    words = ("algo=spo", "algo.prior=uniform", "algo.sampling=prioritised")
    with pytest.raises(UserError, match=r"draws the 64 problems .* the training set has 60"):
        trainer.run(configure(*words), make_engine)


@pytest.mark.parametrize("algo", ["mvsr_cross_modal", "mvsr_entropy_loss"])
def test_the_ablations_change_what_is_learned(
    configure: Configure, make_engine: MakeEngine, algo: str
) -> None:
    plain = rows(trainer.run(configure("algo=mvsr", "name=plain"), make_engine))
    other = rows(trainer.run(configure(f"algo={algo}", "name=other"), make_engine))
    assert other[0]["actor/pg_loss"] == pytest.approx(plain[0]["actor/pg_loss"], abs=1e-3)
    assert other[-1]["actor/entropy"] != plain[-1]["actor/entropy"]
    assert ("actor/text_kl" in other[0]) == (algo == "mvsr_cross_modal")


# ---- rollouts cut and joined ----


def lot(width: int, names: str) -> Rollouts:
    b = 2 * len(names)
    ramp = torch.arange(b * width, dtype=torch.float32).view(b, width)
    return Rollouts(
        problems=tuple(Problem(key=n, prompt=n, answer=n) for n in names),
        group_size=2,
        responses=tuple(f"{n}{g}" for n in names for g in range(2)),
        token_BT=ramp.long(),
        mask_BT=torch.ones(b, width),
        logprob_BT=-ramp,
        entropy_BT=ramp,
        truncated_B=torch.zeros(b, dtype=torch.bool),
        prompt_tokens=10,
        image_tokens=1,
    )


def test_lots_of_different_widths_become_one() -> None:
    whole = joined([picked(lot(3, "abc"), [2, 0]), lot(5, "d")])
    assert [problem.key for problem in whole.problems] == ["c", "a", "d"]
    assert whole.responses == ("c0", "c1", "a0", "a1", "d0", "d1")
    assert whole.token_BT[0].tolist() == [12, 13, 14, 0, 0]
    assert whole.mask_BT.sum(1).tolist() == [3, 3, 3, 3, 5, 5]
    assert whole.prompt_tokens == 20


def test_where_no_group_is_worth_it_nothing_is_learned(
    configure: Configure, make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The overlong penalty would make something of answers that are all wrong."""
    monkeypatch.setattr(dapo, "undecided", lambda reward_PG: torch.zeros(len(reward_PG)) > 0)
    words = ("algo=dapo", "algo.max_resample=1", "rollout.group_size=4")
    metrics = rows(trainer.run(configure(*words), make_engine))
    assert all(row["sampling/dropped_fraction"] == 0 for row in metrics)  # trained on, and charged
    assert all(row["critic/advantages/max"] == row["actor/pg_loss"] == 0 for row in metrics)
