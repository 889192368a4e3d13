"""Noise on training, on purpose: flipped and random rewards, noisy pictures, and twins in words."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from mssr_rl.config import Config
from mssr_rl.data.pictures import decode
from mssr_rl.engine_protocol import Engine
from mssr_rl.envs import Graded, ProblemEnv, environments
from mssr_rl.envs.mini import mini_problems
from mssr_rl.envs.visits import paid_in_training, posed_for_training
from mssr_rl.errors import UserError
from mssr_rl.exporters import Scorer
from mssr_rl.grading.verify import Verdict
from mssr_rl.run import trainer
from mssr_rl.run.verify_resume import verify

RIGHT, WRONG = Verdict("correct", "1"), Verdict("wrong", "2")


def made(split: str = "train", **options: object) -> ProblemEnv:
    return environments.make("vision_r1", split=split, limit=6, **options)


def test_flipped_rewards_are_the_asked_share_and_leave_verdicts_alone():
    env = made(reward_flip=0.1)
    graded = [Graded(1.0, RIGHT), Graded(0.0, WRONG)] * 5000
    paid = paid_in_training(env, graded, seed=7)
    flipped = sum(a.reward != b.reward for a, b in zip(graded, paid, strict=True)) / len(graded)
    # Within four standard errors of a tenth.
    assert flipped == pytest.approx(0.1, abs=4 * math.sqrt(0.09 / len(graded)))
    assert [one.verdict for one in paid] == [one.verdict for one in graded]
    assert paid == paid_in_training(env, graded, seed=7) != paid_in_training(env, graded, seed=8)


def test_a_random_reward_does_not_depend_on_the_answer_and_leaves_missing_ones_missing():
    env = made(reward="random")
    paid = paid_in_training(env, [Graded(0.0, WRONG)] * 2000 + [Graded(1.0, RIGHT)] * 2000, seed=1)
    shares = [sum(one.reward for one in half) / 2000 for half in (paid[:2000], paid[2000:])]
    assert shares == pytest.approx([0.5, 0.5], abs=4 * math.sqrt(0.25 / 2000))
    (lost,) = paid_in_training(env, [Graded(math.nan, WRONG)], seed=1)
    assert math.isnan(lost.reward)


def test_outside_of_training_a_noisy_environment_pays_for_right_answers():
    env = made(reward="random", reward_flip=0.5, split="val")
    rows = range(len(env.problems))
    answers = [env.rules.respond(problem.answer) for problem in env.problems]
    assert [one.reward for one in env.grade(list(rows), answers)] == [1.0] * 6


def test_picture_noise_is_new_at_each_visit_and_the_same_for_a_seed():
    env = made(picture_noise=30.0)
    first, again, later = (posed_for_training(env, [0, 0, 1], seed=s) for s in (1, 1, 2))
    assert first == again != later
    assert first[0].images != first[1].images
    assert first[0].prompt == env.problems[0].prompt
    assert decode(first[0].images[0]).size == decode(env.problems[0].images[0]).size
    assert posed_for_training(made(), [2], seed=1) == [made().problems[2]]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"reward_flip": 0.7}, "env.reward_flip=0.7 must be from 0 to 0.5"),
        ({"picture_noise": -1.0}, "env.picture_noise=-1.0 must be from 0 to 255"),
        ({"train_limit": 0}, "env.train_limit=0 must be at least 1"),
        ({"families": ("clocks",)}, "env.families=clocks must be some of count,digits"),
        ({"levels": (0, 0)}, "env.levels=0,0 must be some of 0,1,2, each once"),
        ({"reward": "0.9*accuracy+0.1*random"}, "there is no part random"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options, says):
    with pytest.raises(UserError, match=says):
        made(**options)


def test_options_of_the_generated_problems_need_them(tmp_path):
    with pytest.raises(UserError, match=r"must be mini with env\.families"):
        environments.make("vision_r1", data=str(tmp_path), scene="words")


def test_other_trainers_cannot_draw_the_noise():
    with pytest.raises(UserError, match=r"export without env\.reward=random"):
        Scorer("vision_r1", {"limit": 6, "reward": "random"})


def test_fewer_training_problems_leave_val_and_test_whole():
    assert len(made(train_limit=4).problems) == 4
    assert len(made("val", train_limit=4).problems) == 6


def test_families_and_levels_are_chosen_and_take_turns():
    env = made(families=("clock", "dice"), levels=(0, 2))
    assert {p.tags["family"] for p in env.problems} == {"clock", "dice"}
    assert {p.tags["level"] for p in env.problems} == {"0", "2"}
    assert len(env.problems) == 6


def test_the_text_twin_asks_the_same_questions_with_the_same_answers_without_a_picture():
    words = made(scene="words").problems
    drawn = made().problems
    assert [p.answer for p in words] == [p.answer for p in drawn]
    assert [p.key for p in words] == [p.key for p in drawn]
    for told, seen in zip(words, drawn, strict=True):
        assert told.images == ()
        assert "<image>" not in told.prompt
        assert told.prompt.endswith(seen.prompt.removeprefix("<image>"))
        assert len(told.prompt) > len(seen.prompt)


@pytest.mark.slow
def test_the_words_of_a_picture_and_its_question_decide_the_answer():
    """A twin that left something out would have two answers to one text."""
    answers: dict[str, set[str]] = {}
    for split in ("val", "test"):
        for problem in made_twins(split):
            answers.setdefault(problem.prompt, set()).add(problem.answer)
    assert {len(found) for found in answers.values()} == {1}


def made_twins(split: str) -> list:
    from mssr_rl.envs.mini import MiniOptions

    return mini_problems(split, 150, MiniOptions(scene="words"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [("env.reward_flip=0.1", "env.picture_noise=30"), ("env.reward=random",)]
)
def test_a_run_with_noise_resumes_bit_for_bit(
    configure: Callable[..., Config],
    make_engine: Callable[[Config], Engine],
    words: tuple[str, ...],
):
    folder = trainer.run(configure("algo=mvsr", "checkpoint.every=2", *words), make_engine)
    assert "6 steps are 4 and 2 more, bit for bit" in verify(folder, make_engine)
    assert Path(folder, "config.yaml").read_text().count(words[0].split(".")[1].split("=")[0])
