"""A Gymnasium environment over a fixed list of problems. One episode is one problem.

    env.reset(options={"index": 3})      starts problem 3: {"prompt": text, "images": pictures}
    env.step(response)                   grades the response and ends the episode
    env.grade(rows, responses)           grades a batch for the trainer, outside of any episode

A file beside this one builds a `ProblemEnv` and registers its factory under the name that `env=`
takes. The factory's keyword-only parameters are the options of the environment.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, TypeVar

import gymnasium
from gymnasium.error import ResetNeeded
from PIL import Image

from mssr_rl.data import pictures, row_faults
from mssr_rl.envs.spaces import ImageSpace, UnicodeText
from mssr_rl.errors import UserError
from mssr_rl.grading.reward import RANDOM, Reward, accuracy, parse
from mssr_rl.grading.verify import (
    Verdict,
    gold_response,
    verify,
    with_number_boxed,
    with_think_block,
)
from mssr_rl.options import Option, arguments, options_of, require
from mssr_rl.problem import Example, Problem, unusable
from mssr_rl.prompts import IMAGE, bare_text, posed
from mssr_rl.registry import Registry

Verify = Callable[[str, str, Sequence[str] | None], Verdict]
Observation = dict[str, Any]  # {"prompt": str, "images": tuple of PIL pictures}


ProblemVerify = Callable[[Problem, str], Verdict]
Metrics = Callable[[Sequence[Problem], Sequence[int]], dict[str, float]]

WORKED = "worked"  # in a problem's extras: the way to its answer, ending with it
EXTRACTIONS = {
    "box": "the last box, behind the think block where there is one",
    "number": "the last box or, without one, the last number, behind the think block if any",
}


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The grading rules of an environment, and the score that it reports."""

    extraction: str = "the last box after the think block"
    verify: Verify = verify
    per_problem: ProblemVerify | None = None  # in place of `verify` where a row has its own rule
    respond: Callable[[str], str] = gold_response  # answer -> a response that would be paid
    metric: str = "accuracy"
    metrics: Metrics | None = None  # more metrics, from (problems, 0 or 1 for each)
    format: Literal["think", "box", "number"] = "think"

    def verdict(self, problem: Problem, response: str) -> Verdict:
        """Return the verdict on a response to a problem."""
        response = self.read(response)
        if self.per_problem is not None:
            return self.per_problem(problem, response)
        return self.verify(response, problem.answer, problem.choices)

    def read(self, response: str) -> str:
        """Return the response with its answer in the place where `verify` expects it."""
        if self.format == "number":
            response = with_number_boxed(response)
        return response if self.format == "think" else with_think_block(response)

    def solved(self, problem: Problem) -> Example:
        """Return a problem with a right response, to be shown before other problems.

        Raises:
            UserError: the problem has pictures, or its response is not graded as right.
        """
        if problem.images:
            raise UserError(
                f"env.shots shows solved problems as text, but {problem.key} has a picture; leave"
                " env.shots out"
            )
        example = Example(problem.prompt, self._response(problem))
        if not self.verdict(problem, example.response).correct:
            raise UserError(
                f"env.shots: {example.response!r} is not graded as a right answer to {problem.key};"
                " another env.format may suit these problems"
            )
        return example

    def _response(self, problem: Problem) -> str:
        worked, answer = problem.extras.get(WORKED, ""), problem.answer
        if self.format == "number":
            return worked or answer
        if self.format == "box":
            return f"{worked} \\boxed{{{answer}}}".strip()
        return self.respond(answer).replace("<think></think>", f"<think>{worked}</think>", 1)


@dataclass(frozen=True, kw_only=True)
class Handling:
    """The options that every environment has for its rows and its answers.

    Args:
        bad_rows: stop names rows that cannot be used; leave_out continues without them.
        long_prompts: stop or leave_out, for prompts longer than rollout.max_prompt_tokens.
        overlap: stop where val or test rows are also in train; allow warns and continues.
        format: think needs a think block first; box reads the last box of any response; number
            reads the last box or, without one, the last number.
        shots: solved problems of train shown before each problem; none of them is trained on.
        train_limit: train only on the first problems of train; val and test stay whole.
        reward_flip: share of training rewards r that become 1 - r; evaluations stay right.
        picture_noise: standard deviation of the noise on training pictures, from 0 to 255; it is
            drawn again at each visit.
    """

    bad_rows: Literal["stop", "leave_out"] = "stop"
    long_prompts: Literal["stop", "leave_out"] = "stop"
    overlap: Literal["stop", "allow"] = "stop"
    format: Literal["think", "box", "number"] = "think"
    shots: int = 0
    train_limit: int | None = None
    reward_flip: float = 0.0
    picture_noise: float = 0.0

    def check(self) -> None:
        """Raise `UserError` for a number out of its range."""
        limit, flip, noise = self.train_limit, self.reward_flip, self.picture_noise
        require(limit is None or limit > 0, "env.train_limit", limit, "at least 1, or null")
        require(0 <= flip <= 0.5, "env.reward_flip", flip, "from 0 to 0.5; at 0.5 it is pure noise")
        require(0 <= noise <= 255, "env.picture_noise", noise, "from 0 to 255")


_HANDLING = options_of(Handling)
OF_ALL = (
    *_HANDLING,
    "columns",
    "families",
    "levels",
    "scene",
)  # options that are not shown while they have their defaults


class Graded(NamedTuple):
    """The reward of one response, and the verdict from which it is computed."""

    reward: float
    verdict: Verdict


# (problem, text of every token of a response) -> for every token, whether it has no loss. It is for
# tokens that the policy did not choose, such as a tool's output within a response.
WithoutLoss = Callable[[Problem, Sequence[str]], Sequence[bool]]


class ProblemEnv(gymnasium.Env[Observation, str]):
    """A Gymnasium environment that poses one problem at a time and grades one response to it."""

    def __init__(
        self,
        problems: Sequence[Problem],
        *,
        name: str,
        split: str,
        instruction: str = "short",
        reward: str | Reward = accuracy,
        rules: Rules | None = None,
        blind: bool = False,
    ) -> None:
        if not problems:
            raise UserError(f"environment {name} has no problems in its {split} split")
        for row, problem in enumerate(problems):
            if (fault := unusable(problem)) is not None:
                raise UserError(
                    f"environment {name}: row {row} of its {split} split, counted from 0,"
                    f" {fault}; correct that row or take it out"
                )
        self.rules = rules or Rules()
        shown = map(pictures.blinded, problems) if blind else problems
        self.problems = tuple(posed(problem, instruction) for problem in shown)
        self.name, self.split, self.instruction, self.blind = name, split, instruction, blind
        # A random reward is drawn in training (`visits`); whatever grades outside of it pays for
        # right answers.
        self.random_reward = reward == RANDOM
        graded_by = accuracy if self.random_reward else reward
        self.reward = parse(graded_by) if isinstance(graded_by, str) else graded_by
        self.observation_space = gymnasium.spaces.Dict(
            {"prompt": UnicodeText(), "images": gymnasium.spaces.Sequence(ImageSpace())}
        )
        self.action_space = UnicodeText()
        self.handling = Handling()
        self.left_out: tuple[str, ...] = ()  # for each row that was left out, why
        self.notes: tuple[str, ...] = ()  # how the rows were read
        # Which tokens of a response have no loss, see `WithoutLoss`. None: all have loss.
        self.without_loss: WithoutLoss | None = None
        self._open: int | None = None  # index of the problem that has been posed and not answered

    def handled(
        self, handling: Handling, left_out: Sequence[str], notes: Sequence[str]
    ) -> "ProblemEnv":
        """Set the options of `Handling`, and what was noted while the rows were read.

        Returns this environment itself.
        """
        self.handling, self.left_out, self.notes = handling, tuple(left_out), tuple(notes)
        if (rule := EXTRACTIONS.get(handling.format)) is not None:
            self.rules = replace(self.rules, format=handling.format, extraction=rule)
        return self

    def showing(self, examples: Sequence[Example]) -> "ProblemEnv":
        """Put these solved examples before every problem. Returns this environment itself."""
        shown = tuple(examples)
        self.problems = tuple(replace(problem, examples=shown) for problem in self.problems)
        return self

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode with problem i for `options={"index": i}`, else with a random problem.

        Returns (observation, info); info is {"key": ...}.
        """
        super().reset(seed=seed)
        index = self._index(options or {})
        self._open = index
        return self._observation(index), {"key": self.problems[index].key}

    def step(self, action: str) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Grade the response and end the episode.

        Returns (observation, reward, terminated, truncated, info): terminated is always True,
        truncated always False, and info is {"verdict": ..., "key": ...}.
        """
        if self._open is None:
            raise ResetNeeded("there is no open problem: call reset() before every step()")
        index, self._open = self._open, None
        graded = self.grade([index], [action])[0]
        info = {"verdict": graded.verdict, "key": self.problems[index].key}
        return self._observation(index), graded.reward, True, False, info

    def verify(self, response: str, answer: str, choices: Sequence[str] | None) -> Verdict:
        """Return the verdict on a response for a gold answer that belongs to no row."""
        return self.rules.verify(self.rules.read(response), answer, choices)

    def grade(self, rows: Sequence[int], responses: Sequence[str]) -> list[Graded]:
        """Return the reward and the verdict of each response to the problem of its row.

        `responses[i]` is a response to problem `rows[i]`. The result has the same length and order.
        Raises ValueError if the two lengths differ.
        """
        if len(rows) != len(responses):
            raise ValueError(f"{len(rows)} rows but {len(responses)} responses to grade")
        graded = [
            self._grade(self.problems[row], response)
            for row, response in zip(rows, responses, strict=True)
        ]
        assert len(graded) == len(rows)
        return graded

    def fingerprint(self) -> str:
        """Return a digest of all prompts, pictures and gold answers, in order.

        Equal data have equal digests.
        """
        digest = hashlib.blake2b(digest_size=16)
        for problem in self.problems:
            shown = (text for example in problem.examples for text in example)
            texts = (problem.key, problem.prompt, problem.answer, *(problem.choices or ()), *shown)
            for part in (*(t.encode("utf-8", "surrogatepass") for t in texts), *problem.images):
                digest.update(len(part).to_bytes(8, "little") + part)
            digest.update(len(texts).to_bytes(8, "little"))
        if self.left_out:  # without those rows it is another data set
            digest.update(f"{len(self.left_out)} left out".encode())
        return digest.hexdigest()

    def _observation(self, index: int) -> Observation:
        """Return the observation of a problem; it is new each time, so the caller may change it."""
        problem = self.problems[index]
        return {
            "prompt": bare_text(problem, IMAGE),
            "images": tuple(_picture(problem, content) for content in problem.images),
        }

    def _grade(self, problem: Problem, response: str) -> Graded:
        verdict = self.rules.verdict(problem, response)
        return Graded(self.reward(verdict, response), verdict)

    def _index(self, options: dict[str, Any]) -> int:
        unknown = set(options) - {"index"}
        if unknown:
            raise ValueError(f"reset() has no option {min(unknown)!r}, only 'index'")
        index = options.get("index")
        if index is None:
            return int(self.np_random.integers(len(self.problems)))
        if not 0 <= index < len(self.problems):
            raise ValueError(f"no problem {index}: there are {len(self.problems)}, from 0 on")
        return int(index)


def good_golds(
    problems: Sequence[Problem], where: str, rules: Rules | None = None
) -> list[Problem]:
    """Return the problems whose own gold answer is graded as right when given as the response.

    Raises UserError at the first other problem. Inside `row_faults.listed()`, as in `check`, other
    problems are added to the list of faults instead.
    """
    rules, good = rules or Rules(), []
    for problem in problems:
        verdict = rules.verdict(problem, rules.respond(problem.answer))
        if verdict.correct:
            good.append(problem)
            continue
        error = UserError(
            f"{where}: the answer of {problem.key}, {problem.answer[:80]!r}, does not grade"
            f" itself right ({verdict.reason}); correct that row or take it out"
        )
        row_faults.met(error)
    return good


def _picture(problem: Problem, content: bytes) -> Image.Image:
    try:
        return pictures.decode(content)
    except ValueError as error:
        raise UserError(f"problem {problem.key}: its picture cannot be used, {error}") from error


class Environments(Registry[ProblemEnv]):
    """The registry of environments. Each has the options of `Handling` besides its own options."""

    def options(self, name: str) -> dict[str, Option]:
        """Return the options of the environment `name`: its own first, then those of `Handling`."""
        own = super().options(name)
        return {**own, **{k: v for k, v in _HANDLING.items() if k not in own}}

    def make(self, name: str, /, **options: object) -> ProblemEnv:
        """Build the environment `name`. All rows are read, even if some of them cannot be used.

        Raises:
            BadRows: some rows cannot be used and `bad_rows` is "stop", or no row is left.
        """
        own = super().options(name)
        shared = {k: v for k, v in options.items() if k in _HANDLING and k not in own}
        handling = Handling(**arguments(Handling, _HANDLING, shared))
        handling.check()
        with row_faults.listed() as faults, row_faults.noted() as notes:
            try:
                env = super().make(name, **{k: v for k, v in options.items() if k not in shared})
            except UserError as error:
                if not faults:
                    raise
                raise row_faults.BadRows(faults, "; no row is left") from error
        made: Any = env
        if not isinstance(made, ProblemEnv):
            raise UserError(
                f"environment {name} makes a {type(made).__name__}, but a run needs a list of"
                " problems: its factory must return a ProblemEnv (docs/environments.md)"
            )
        if faults and handling.bad_rows == "stop":
            raise row_faults.BadRows(
                faults, "; check env=… lists them, env.bad_rows=leave_out continues without them"
            )
        env = env.handled(handling, faults, notes.lines)
        env = self._shown(env, name, options) if handling.shots else env
        if env.split == "train":
            env.problems = env.problems[: handling.train_limit]
        return env

    def _shown(self, env: ProblemEnv, name: str, options: Mapping[str, object]) -> ProblemEnv:
        """Return the environment with the first problems of train before every other problem."""
        shots = env.handling.shots
        require(shots > 0, "env.shots", shots, "0 or more")
        train = env
        if env.split != "train":
            train = self.make(name, **{**options, "split": "train", "shots": 0})
        if len(train.problems) <= shots:
            raise UserError(
                f"env.shots={shots} leaves none of the {len(train.problems)} problems of train"
            )
        examples = [train.rules.solved(problem) for problem in train.problems[:shots]]
        if env is train:
            env.problems = env.problems[shots:]
        return env.showing(examples)


environments = Environments("environment", "mssr_rl.environments")
Factory = TypeVar("Factory", bound=Callable[..., ProblemEnv])


def register(name: str, *, gym_id: str | None = None) -> Callable[[Factory], Factory]:
    """Return a decorator that registers an environment's factory.

    The environment is then chosen by `env=name` and made by `gymnasium.make("mssr_rl/name-v0")`.

    Args:
        name: the name that `env=` takes.
        gym_id: a second name for Gymnasium, e.g. "VisionR1" for "mssr_rl/VisionR1-v0".

    Raises:
        UserError: the name is taken, or the factory's signature cannot be read as options.
    """

    def add(factory: Factory) -> Factory:
        environments.register(name)(factory)

        def made(**options: object) -> ProblemEnv:  # with the options that all environments have
            return environments.make(name, **options)

        for one in filter(None, (name, gym_id)):
            full = f"mssr_rl/{one}-v0"
            # Our registry decides which names are taken; Gymnasium would only warn.
            gymnasium.registry.pop(full, None)
            gymnasium.register(id=full, entry_point=made)
        return factory

    return add
