"""The environment of the default recipe, on generated problems and on files of one's own."""

import json
from pathlib import Path

import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env

from mssr_rl.envs import environments
from mssr_rl.envs.environment import ProblemEnv
from mssr_rl.errors import UserError
from mssr_rl.grading.algebra.compare import equivalent
from mssr_rl.grading.answers import read_off_or
from mssr_rl.grading.verify import gold_response

REAL = Path(__file__).parents[3] / "shared" / "real_mini"
HACKS = [
    "", "<think></think>", "<think></think>\\boxed{}", "\\boxed{5}", "<think></think>\\boxed{None}",
    "<think></think>\\boxed{correct}", "<think></think>\\boxed{A or B or C or D or E}",
    "<think></think>\\boxed{0 or 1 or 2 or 3 or 4 or 5}", "<think></think>\\boxed{x}",
    "<think></think>\\boxed{\\text{the answer}}", "<think></think>\\boxed{0,1,2,3,4,5,6,7,8,9}",
]  # fmt: skip


@pytest.fixture(scope="module")
def env() -> ProblemEnv:
    return environments.make("vision_r1", split="val", limit=150)


def test_the_default_is_the_generated_data(env: ProblemEnv) -> None:
    assert (env.name, env.split, len(env.problems)) == ("vision_r1", "val", 150)
    assert set(environments.options("vision_r1")) == {
        "split",
        "data",
        "instruction",
        "limit",
        "reward",
        "blind",
        "columns",
        *("families", "levels", "scene"),  # of the generated problems
        *("bad_rows", "long_prompts", "overlap", "format", "shots"),  # of every environment
        *("train_limit", "reward_flip", "picture_noise"),
    }
    assert environments.options("vision_r1")["data"].default == "mini"


def test_every_gold_pays_and_no_hack_does(env: ProblemEnv) -> None:
    rows = range(len(env.problems))
    golds = env.grade(rows, [gold_response(p.answer) for p in env.problems])
    assert {graded.reward for graded in golds} == {1.0}
    for hack in HACKS:
        assert {graded.reward for graded in env.grade(rows, [hack] * len(rows))} == {0.0}, hack


def test_no_two_answers_of_a_family_grade_equal(env: ProblemEnv) -> None:
    for family in {p.tags["family"] for p in env.problems}:
        answers = sorted({p.answer for p in env.problems if p.tags["family"] == family})
        pairs = [(a, b) for i, a in enumerate(answers) for b in answers[i + 1 :]]
        same = read_off_or(equivalent)
        assert [pair for pair in pairs if same(*pair)] == [], family


def test_gymnasium_makes_it_by_its_id_and_finds_nothing_to_object_to() -> None:
    made = gymnasium.make("mssr_rl/VisionR1-v0", split="val", limit=3)
    check_env(made.unwrapped)
    observation, info = made.reset(seed=0)
    assert observation["prompt"].startswith("<image>")
    assert info["key"]


def test_a_misspelt_id_is_answered_with_the_right_one() -> None:
    with pytest.raises(gymnasium.error.NameNotFound, match="Did you mean: `VisionR1`"):
        gymnasium.make("mssr_rl/VisionR2-v0")


def test_the_instruction_is_behind_every_problem() -> None:
    posed = environments.make("vision_r1", split="val", limit=2, instruction="paper")
    assert all("You FIRST think" in posed.reset(options={"index": i})[0]["prompt"] for i in (0, 1))


def test_a_gold_that_does_not_grade_itself_right_is_refused_with_its_row(tmp_path: Path) -> None:
    rows = [
        {"id": f"r{i}", "problem": "?", "answer": a}
        for i, a in enumerate(["5", "\\frac{1}{2", "6"])
    ]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "test.jsonl").write_text(json.dumps(rows[0]) + "\n")
    with pytest.raises(UserError, match=r"the answer of r1, .* does not grade itself right"):
        environments.make("vision_r1", split="train", data=str(tmp_path))
    assert len(environments.make("vision_r1", split="test", data=str(tmp_path)).problems) == 1


@pytest.mark.skipif(not REAL.is_dir(), reason="the real problems are not at hand")
@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_the_real_problems_can_be_posed_and_their_golds_pay(split: str) -> None:
    env = environments.make("vision_r1", split=split, data=str(REAL))
    golds = [gold_response(p.answer) for p in env.problems]
    assert {graded.reward for graded in env.grade(range(len(golds)), golds)} == {1.0}
    for index in range(0, len(env.problems), 7):
        assert env.reset(options={"index": index})[0] in env.observation_space


@pytest.mark.skipif(not REAL.is_dir(), reason="the real problems are not at hand")
def test_every_option_of_the_real_choices_is_told_from_the_others() -> None:
    env = environments.make("vision_r1", split="train", data=str(REAL))
    for row, problem in enumerate(env.problems):
        letters = "ABCDE"[: len(problem.choices or ())]
        graded = env.grade([row] * len(letters), [gold_response(letter) for letter in letters])
        assert sum(g.reward for g in graded) == bool(letters)
        texts = [gold_response(choice) for choice in problem.choices or ()]
        assert sum(g.reward for g in env.grade([row] * len(texts), texts)) == bool(texts)
