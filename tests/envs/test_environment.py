"""One episode is one problem: posing, grading, ending, and the batched call of the trainer."""

import io
from typing import Any

import gymnasium
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mssr_rl.envs.environment import Graded, ProblemEnv, Rules, environments, good_golds
from mssr_rl.errors import UserError
from mssr_rl.grading.verify import Verdict, gold_response
from mssr_rl.problem import Problem


def png(side: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (side, side), "white").save(buffer, "PNG")
    return buffer.getvalue()


def problem(n: int, **changed: Any) -> Problem:
    usual = {
        "key": f"p{n}",
        "prompt": f"<image>{n} + 1?",
        "answer": str(n + 1),
        "images": (png(n + 1),),
    }
    return Problem(**{**usual, **changed})


def env(count: int = 4, **options: Any) -> ProblemEnv:
    return ProblemEnv([problem(n) for n in range(count)], name="plus", split="val", **options)


def said(answer: object) -> str:
    return f"<think>so</think>\\boxed{{{answer}}}"


def test_gymnasium_finds_nothing_to_object_to(recwarn: pytest.WarningsRecorder) -> None:
    check_env(env(), skip_render_check=True)
    assert [str(w.message) for w in recwarn if "obs" in str(w.message)] == []


def test_reset_poses_the_problem_that_was_asked_for() -> None:
    observation, info = env(instruction="none").reset(options={"index": 2})
    assert observation["prompt"] == "<image>2 + 1?"
    assert [(p.mode, p.size) for p in observation["images"]] == [("RGB", (3, 3))]
    assert info == {"key": "p2"}


def test_the_seed_decides_which_problem_is_posed() -> None:
    keys = [[env(50).reset(seed=seed)[1]["key"] for _ in range(3)] for seed in (1, 1, 2)]
    assert keys[0] == keys[1] != keys[2]


def test_a_right_answer_pays_one_and_ends_the_episode() -> None:
    posed = env()
    posed.reset(options={"index": 2})
    observation, reward, terminated, truncated, info = posed.step(said(3))
    assert (reward, terminated, truncated) == (1.0, True, False)
    assert info == {"verdict": Verdict("correct", "3"), "key": "p2"}
    assert observation in posed.observation_space


def test_a_wrong_answer_pays_nothing_and_says_why() -> None:
    posed = env()
    posed.reset(options={"index": 2})
    _, reward, _, _, info = posed.step("3")
    assert (reward, info["verdict"].reason) == (0.0, "bad_format")


def test_a_step_needs_a_reset_before_it_each_time() -> None:
    posed = env()
    with pytest.raises(ResetNeeded, match=r"call reset\(\) before every step\(\)"):
        posed.step("x")
    posed.reset()
    posed.step("x")
    with pytest.raises(ResetNeeded):
        posed.step("x")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"index": 4}, "no problem 4: there are 4"),
        ({"index": -1}, "no problem -1"),
        ({"i": 1}, "'i'"),
    ],
)
def test_reset_refuses_options_that_mean_nothing(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        env().reset(options=options)


def test_every_row_and_every_response_lies_in_the_declared_spaces() -> None:
    posed = env()
    for index in range(4):
        assert posed.reset(options={"index": index})[0] in posed.observation_space
    for response in ("", said("\\frac{1}{2}"), "a b", "é\n", "\ud800"):
        assert response in posed.action_space


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), max_size=20))
@settings(deadline=None, max_examples=30)
def test_a_batch_comes_back_in_its_order_and_length(asked: list[tuple[int, int]]) -> None:
    graded = ENV.grade([row for row, _ in asked], [said(answer) for _, answer in asked])
    assert [g.reward for g in graded] == [float(answer == row + 1) for row, answer in asked]
    assert [g.verdict.extracted for g in graded] == [str(answer) for _, answer in asked]


ENV = env()


def test_a_batch_of_unequal_lengths_is_refused() -> None:
    with pytest.raises(ValueError, match="2 rows but 1 responses"):
        env().grade([0, 1], ["x"])


def test_the_batched_call_and_the_step_agree() -> None:
    posed = env()
    for response in (said(2), said(3), "", "\0"):
        posed.reset(options={"index": 1})
        _, reward, _, _, info = posed.step(response)
        assert posed.grade([1], [response]) == [Graded(reward, info["verdict"])]


def test_a_verifier_and_a_reward_of_ones_own_are_used() -> None:
    posed = env(
        rules=Rules(verify=lambda response, *_: Verdict("wrong", response[::-1])),
        reward=lambda verdict, response: -1.0,
    )
    assert posed.grade([0], ["abc"]) == [Graded(-1.0, Verdict("wrong", "cba"))]


@pytest.mark.parametrize(
    "changed",
    [
        {"key": "q"},
        {"prompt": "<image>1?"},
        {"answer": "9"},
        {"images": (png(7),)},
        {"choices": ("1",)},
    ],
    ids=str,
)
def test_the_fingerprint_tells_any_change_of_the_data(changed: dict[str, Any]) -> None:
    other = ProblemEnv([problem(0, **changed)], name="plus", split="val")
    assert env(1).fingerprint() == env(1).fingerprint() != other.fingerprint()
    assert (
        ProblemEnv([problem(1), problem(0)], name="p", split="val").fingerprint()
        != env(2).fingerprint()
    )


def test_an_environment_without_problems_or_with_an_unknown_instruction_is_refused() -> None:
    with pytest.raises(UserError, match="environment plus has no problems in its val split"):
        env(0)
    with pytest.raises(UserError, match="did you mean paper"):
        env(instruction="papper")


@pytest.mark.parametrize(
    ("answer", "reason"), [(r"\frac{1}{2", "no_answer"), ("1/0", "wrong"), ("5" * 5000, "timeout")]
)
def test_a_gold_that_does_not_pay_itself_is_refused_with_its_key(answer: str, reason: str) -> None:
    with pytest.raises(UserError, match=rf"rows\.jsonl: the answer of p1, .* \({reason}\)"):
        good_golds([problem(0), problem(1, answer=answer)], "rows.jsonl")


def test_a_picture_that_breaks_later_is_named_by_its_problem() -> None:
    broken = ProblemEnv([problem(0, images=(png(90)[:60],))], name="plus", split="val")
    with pytest.raises(UserError, match="problem p0: its picture cannot be used"):
        broken.reset()


def test_several_copies_run_as_one_vector_environment() -> None:
    from gymnasium.vector import AutoresetMode, SyncVectorEnv

    mode = AutoresetMode.DISABLED
    copies = SyncVectorEnv([env, env], observation_mode="same", autoreset_mode=mode)
    observation, _ = copies.reset(options={"index": 1})
    assert [prompt[:13] for prompt in observation["prompt"]] == ["<image>1 + 1?"] * 2
    _, rewards, *_ = copies.step([said(2), said(3)])
    assert rewards.tolist() == [1.0, 0.0]


def test_every_registered_environment_is_a_gymnasium_one() -> None:
    for name in environments.names():
        few = {"limit": 3} if "limit" in environments.options(name) else {}
        made = environments.make(name, split="test", **few)
        assert isinstance(made, gymnasium.Env)
        check_env(made, skip_render_check=True)


def test_a_reward_in_parts_is_spelled_out() -> None:
    made = environments.make("vision_r1", split="val", limit=2, reward="0.9*accuracy+0.1*format")
    wrong, right = "<think></think>\\boxed{none}", gold_response(made.problems[1].answer)
    graded = made.grade([0, 1], [wrong, right])
    assert [one.reward for one in graded] == [pytest.approx(0.1), pytest.approx(1.0)]
    assert [one.verdict.correct for one in graded] == [False, True]
