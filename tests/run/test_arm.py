"""An arm: what the recipe completes in an algorithm, and what is said before it starts."""

from collections.abc import Callable

from mssr_rl.config import Config
from mssr_rl.engine_protocol import Engine
from mssr_rl.problem import Problem
from mssr_rl.run import problem_stream
from mssr_rl.run.arm import TrainingSetup, assemble, facts, opening

Configure = Callable[..., Config]
MakeEngine = Callable[[Config], Engine]


def test_a_constant_length_is_the_longest_response_unless_it_is_set(
    configure: Configure, make_engine: MakeEngine
) -> None:
    def constant(*words: str) -> int | None:
        return assemble(configure(*words), make_engine).update_plan(1, 0).loss.length_constant

    assert constant("algo=dr_grpo") == 3
    assert constant("algo=dr_grpo", "algo.length_constant=7") == 7
    assert constant("algo=grpo") is None


def test_initial_rollouts_are_said_and_taken_from_the_steps(
    configure: Configure, make_engine: MakeEngine
) -> None:
    arm = assemble(configure("algo=mvsr_released"), make_engine)
    assert (arm.initial_rollouts, arm.allowance.steps) == (60, 5)
    assert "384 rollouts: 60 initial ones, then 5 steps of 64" in "\n".join(opening(arm))
    assert facts(arm)["initial_rollouts"] == 60


def test_dropped_groups_make_the_number_of_steps_an_upper_bound(
    configure: Configure, make_engine: MakeEngine
) -> None:
    assert "at most 6 steps" in opening(assemble(configure("algo=dapo"), make_engine))[4]


def test_the_engine_is_told_the_problems_as_the_first_epoch_poses_them(
    configure: Configure, make_engine: MakeEngine
) -> None:
    arm = assemble(configure("seed=3"), make_engine)
    problems = arm.train.problems
    posed = [problems[row] for row in problem_stream.rows(3, len(problems), 0, len(problems))]
    told: tuple[Problem, ...] = arm.engine.expected  # type: ignore[attr-defined]
    assert [id(problem) for problem in told] == [id(problem) for problem in posed]


def test_problems_that_are_drawn_have_no_order_to_share(
    configure: Configure, make_engine: MakeEngine
) -> None:
    def order(*words: str) -> object:
        arm: TrainingSetup = assemble(configure(*words, "algo.prior=uniform"), make_engine)
        return facts(arm)["problem_order"]

    assert order("algo=spo", "algo.sampling=prioritised") is None
    assert order("algo=spo") == order("algo=mvsr") is not None


def test_pictures_are_taken_away_only_where_the_loss_asks(
    configure: Configure, make_engine: MakeEngine
) -> None:
    arm = assemble(configure("algo=mvsr_cross_modal"), make_engine)
    (term,) = arm.algorithm.extras.views
    blind = arm.seen(term, 1, [0, 3], [arm.train.problems[row] for row in (0, 3)])
    assert [problem.key for problem in blind] == [arm.train.problems[row].key for row in (0, 3)]
    assert all(problem.images == () for problem in blind)
    assert assemble(configure("algo=mvsr"), make_engine).algorithm.extras.views == ()
