"""What fails on a row is found before anything starts, and the row is named."""

import io
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest
from PIL import Image

from mssr_rl import cli
from mssr_rl.config import Config
from mssr_rl.engine_protocol import Engine
from mssr_rl.envs.environment import Graded, ProblemEnv, environments, register
from mssr_rl.errors import RunFailed, UserError
from mssr_rl.grading.verify import Verdict
from mssr_rl.models.encode import PromptEncoder
from mssr_rl.models.load import load_processor
from mssr_rl.problem import Problem, unusable
from mssr_rl.run import rehearsal, trainer
from mssr_rl.run.rehearsal import rehearse

Configure = Callable[..., Config]
MakeEngine = Callable[[Config], Engine]


def problems(count: int = 5, **odd: Any) -> list[Problem]:
    """Problems of which the third is odd."""
    made = [Problem(key=f"p{i}", prompt=f"what follows {i}", answer=str(i)) for i in range(count)]
    made[2] = Problem(**{**made[2].__dict__, **odd})
    return made


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment of somebody's own."""

    def own(*, split: str = "test") -> ProblemEnv:
        return Own(problems(), split)

    monkeypatch.setattr(environments, "_entries", dict(environments._entries))
    environments._entries.pop("own", None)
    register("own")(own)


def again(make: Callable[..., ProblemEnv]) -> None:
    """The same, made otherwise."""
    environments._entries.pop("own")
    register("own")(make)


class Own(ProblemEnv):
    """Somebody's own environment."""

    def __init__(self, found: Sequence[Problem], split: str = "train") -> None:
        super().__init__(found, name="own", split=split)


class Poses(Own):
    def __init__(self, what: Callable[[int, Any], Any]) -> None:
        super().__init__(problems())
        self.what = what

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        observation, info = super().reset(seed=seed, options=options)
        return self.what((options or {})["index"], observation), info


def raises(error: Exception) -> Callable[..., NoReturn]:
    def f(row: int, observation: Any) -> Any:
        if row == 2:
            raise error
        return observation

    return f


POSED: list[tuple[Callable[[int, Any], Any], str]] = [
    (raises(KeyError("question")), "raised while it posed problem 'p2' (row 2 of train"),
    (raises(ZeroDivisionError()), "ZeroDivisionError"),
    (lambda row, o: {"images": ()} if row == 2 else o, "without a text under `prompt`"),
    (lambda row, o: None if row == 2 else o, "without a text under `prompt`"),
    (lambda row, o: {**o, "prompt": None} if row == 2 else o, "without a text under `prompt`"),
    (lambda row, o: {**o, "prompt": "else"} if row == 2 else o, "as 'else', but the policy is"),
]


@pytest.mark.parametrize(("what", "said"), POSED)
def test_a_row_that_cannot_be_posed_is_named(what: Callable[[int, Any], Any], said: str) -> None:
    with pytest.raises(RunFailed) as failed:
        rehearse(Poses(what), "own", "stop")
    assert said in str(failed.value)
    assert "problem 'p2' (row 2 of train, counted from 0)" in str(failed.value)
    assert "resume=true" not in str(failed.value)  # there is no run yet


class Grades(Own):
    def __init__(self, reward: Any) -> None:
        super().__init__(problems())
        self.odd = reward
        self.asked = 0

    def _grade(self, problem: Problem, response: str) -> Graded:
        self.asked += 1
        if problem.key != "p2":
            return Graded(1.0, Verdict("correct", problem.answer))
        if isinstance(self.odd, Exception):
            raise self.odd
        return Graded(self.odd, Verdict("correct", problem.answer))


@pytest.mark.parametrize("odd", [None, float("nan"), float("inf"), "1", [1], ValueError("no key")])
def test_a_row_that_cannot_be_graded_is_named_before_a_response_is(odd: Any) -> None:
    with pytest.raises(RunFailed) as failed:
        rehearse(Grades(odd), "own", "stop")
    assert "problem 'p2' (row 2 of train, counted from 0)" in str(failed.value)


def test_what_may_be_left_out_is_no_reason_to_stop() -> None:
    rehearse(Grades(None), "own", "leave_out")
    with pytest.raises(RunFailed, match="not a finite number"):
        rehearse(Grades("1"), "own", "leave_out")


def test_a_slow_environment_is_not_asked_about_every_row(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(Grades):
        def _grade(self, problem: Problem, response: str) -> Graded:
            time.sleep(0.02)
            return super()._grade(problem, response)

    monkeypatch.setattr(rehearsal, "PATIENCE", 0.05)
    env = Slow(1.0)
    env.problems = tuple(Problem(key=str(i), prompt="what", answer="1") for i in range(500))
    rehearse(env, "own", "stop")
    assert env.asked < 30


def test_a_key_that_stands_twice_is_refused() -> None:
    env = Own(problems(key="p1"))
    with pytest.raises(UserError, match=r"'p1' \(row 2 of train.* has the same key as row 1"):
        rehearse(env, "own", "stop")


LONE = "ab\ud800c"


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        ({"prompt": LONE}, "has a prompt that holds half of a surrogate pair (U+D800 at char"),
        ({"key": LONE}, "has a key that holds half of a surrogate pair"),
        ({"answer": LONE}, "has a answer that holds half of a surrogate pair"),
        ({"choices": ("a", LONE)}, "has a choice 1 that holds half of a surrogate pair"),
        ({"tags": {"level": LONE}}, "has a tag 'level' that holds half"),
        ({"prompt": None}, "has a prompt that is NoneType, not text"),
        ({"prompt": " "}, "has a prompt that is empty"),
        ({"key": 7}, "has a key that is int, not text"),
        ({"answer": 3.0}, "has a answer that is float, not text"),
        ({"images": ("a.png",)}, "has images that are not the bytes of encoded pictures"),
    ],
)
def test_a_problem_that_is_none_is_named_when_its_environment_is_made(
    odd: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError) as refused:
        Own(problems(**odd))
    assert "environment own: row 2 of its train split, counted from 0," in str(refused.value)
    assert said in str(refused.value)


def test_what_is_no_problem_at_all_is_told_apart() -> None:
    assert unusable("a question") == "is str, no Problem"
    assert unusable(problems()[0]) is None


# ---- in a run ----


def test_a_run_does_not_start_its_engine_for_a_row_that_fails(configure: Configure) -> None:
    def must_not(_: Config) -> Engine:
        raise AssertionError("an engine was started")

    def make(*, split: str = "test") -> ProblemEnv:
        if split == "test":
            return Grades(None)
        return Own(
            [Problem(key=f"{split}{i}", prompt=f"{split} {i}", answer="1") for i in range(5)]
        )

    again(make)
    data = {"env": "own", "env.data": None}
    config = own_config(configure, data)
    with pytest.raises(RunFailed, match=r"'p2' \(row 2 of train"):
        trainer.run(config, must_not)
    assert not (Path(config.runs_dir) / "run").exists()  # the name is free


def own_config(configure: Configure, changed: dict[str, Any]) -> Config:
    from dataclasses import replace

    from mssr_rl.config import Selection

    return replace(configure("name=run"), env=Selection(name=changed["env"], options={}))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda split: {}[split], "raised while it made its train split: KeyError: 'train'"),
        (lambda split: 3, "environment own makes a int, but a run needs a list of problems"),
    ],
)
def test_an_environment_that_cannot_be_made_is_a_sentence(
    make: Callable[[str], Any], said: str, configure: Configure
) -> None:
    def own(*, split: str = "test") -> ProblemEnv:
        found: ProblemEnv = make(split)
        return found

    again(own)
    with pytest.raises(UserError) as refused:
        trainer.run(own_config(configure, {"env": "own"}), lambda _: None)  # type: ignore[arg-type,return-value]
    assert said in str(refused.value)


@pytest.mark.parametrize("column", ["problem", "id", "answer"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_half_a_surrogate_pair_in_a_file_is_named_with_its_row(
    column: str, split: str, counting_data: Path, tmp_path: Path, capsys: Any
) -> None:
    import shutil

    data = tmp_path / "data"
    shutil.copytree(counting_data, data)
    rows = [json.loads(line) for line in (data / f"{split}.jsonl").read_text().splitlines()]
    rows[3][column] += "\ud83d"
    (data / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    code = cli.main(
        ["train", "env=vision_r1", f"env.data={data}", f"runs_dir={tmp_path}", "name=a"]
    )
    said = capsys.readouterr().err
    assert code == 2, said
    assert "row 3" in said
    assert "half of a surrogate pair (U+D83D" in said
    assert not (tmp_path / "a").exists()


def test_a_picture_that_the_model_cannot_take_is_named_where_it_is_encoded() -> None:
    content = io.BytesIO()
    Image.new("RGB", (3000, 10)).save(content, "PNG")
    encoder = PromptEncoder(load_processor("tiny"), 1024)
    for data, said in ((content.getvalue(), "aspect ratio"), (content.getvalue()[:60], "broken")):
        problem = Problem(key="k7", prompt="<image>what", answer="1", images=(data,))
        with pytest.raises(UserError, match=f"problem k7: its picture cannot be used, .*{said}"):
            encoder.block([problem])
