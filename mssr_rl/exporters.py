"""Exports the reward of an environment to other trainers: TRL, verl and OpenRLHF.

    trl_reward("mine")           reward_funcs=[...] of a TRL trainer
    verl_score("mine")           compute_score of verl
    python -m mssr_rl export env=mine to=openrlhf      a file for --train.agent_func_path

Each grades as the environment does. A row is found by its key (TRL: a `key` column; verl:
extra_info["key"]; OpenRLHF: a label key:NAME). Without a key, it grades against the gold answer.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mssr_rl.config import registered_names
from mssr_rl.config.plugins import prepare
from mssr_rl.config.words import options_of, parse_words
from mssr_rl.data import table_files
from mssr_rl.envs import Graded, environments
from mssr_rl.envs.visits import noisy
from mssr_rl.errors import UserError
from mssr_rl.problem import Problem
from mssr_rl.prompts import IMAGE
from mssr_rl.typed import COUNT_OR_NONE_AT_ALL, option

OPENRLHF = '''"""For OpenRLHF's --train.agent_func_path: {name}; labels are golds, or key:NAME."""

import torch
from openrlhf.utils.agent import AgentInstanceBase, MultiTurnAgentExecutor

from mssr_rl.config.plugins import prepare
from mssr_rl.exporters import Scorer

prepare({plugins!r})
SCORER = Scorer({name!r}, {options!r})


class AgentInstance(AgentInstanceBase):
    def __init__(self, *args, **kwargs):
        pass

    async def step(self, state_dict, **kwargs):
        graded = SCORER.by_label(state_dict["action_text"], state_dict["label"])
        reward = torch.tensor(graded.reward)
        return {{
            "rewards": reward,
            "scores": reward,
            "environment_feedback": "",
            "done": True,
            "extra_logs": {{"correct": torch.tensor(float(graded.verdict.correct))}},
        }}


class AgentExecutor(MultiTurnAgentExecutor):
    def __init__(self):
        super().__init__(AgentInstance)
'''
TRL = '''"""For TRL: reward_funcs=[reward], with a column `key`, or `answer` or `solution`."""

from mssr_rl.config.plugins import prepare
from mssr_rl.exporters import trl_reward

prepare({plugins!r})
reward = trl_reward({name!r}, **{options!r})
'''
VERL = '''"""For verl's custom_reward_function: compute_score of the environment {name}."""

from mssr_rl.config.plugins import prepare
from mssr_rl.exporters import verl_score

prepare({plugins!r})
compute_score = verl_score({name!r}, **{options!r})
'''
TEMPLATES = {"openrlhf": OPENRLHF, "trl": TRL, "verl": VERL}


class Scorer:
    """Grades responses to rows of an environment, or against gold answers."""

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        self.env = environments.make(name, **options)
        if noisy(self.env):
            raise UserError(
                "noise on rewards and pictures is drawn by a training run of this program; export "
                "without env.reward=random, env.reward_flip and env.picture_noise"
            )
        self.row = {problem.key: row for row, problem in enumerate(self.env.problems)}

    def by_key(self, response: str, key: str) -> Graded:
        """Grade a response to the row with this key. Raises `UserError` for an unknown key."""
        if key not in self.row:
            raise UserError(
                f"{self.env.name} has no problem {key!r} in its {self.env.split} split; export "
                "with split= of the rows that are trained on"
            )
        return self.env.grade([self.row[key]], [response])[0]

    def by_gold(self, response: str, gold: str, choices: Sequence[str] | None = None) -> Graded:
        """Grade a response against a gold answer.

        Raises `UserError` if the environment grades each row by its own rule.
        """
        if self.env.rules.per_problem is not None:
            raise UserError(
                f"{self.env.name} grades every row by its own rule, so it needs the rows' keys"
            )
        verdict = self.env.verify(response, gold, choices)
        return Graded(self.env.reward(verdict, response), verdict)

    def by_label(self, response: str, label: str) -> Graded:
        """Grade a response by a label: `key:NAME` names a row, any other label is a gold answer."""
        key = label.removeprefix("key:")
        return self.by_gold(response, label) if key == label else self.by_key(response, key)


def trl_reward(name: str, **options: Any) -> Callable[..., list[float]]:
    """Return a reward function for TRL; completions are texts or lists of messages."""
    scorer = Scorer(name, options)

    def reward(completions: Sequence[Any], **columns: Any) -> list[float]:
        texts = [text if isinstance(text, str) else text[-1]["content"] for text in completions]
        keys, golds = columns.get("key"), columns.get("answer") or columns.get("solution")
        if keys is not None:
            return [scorer.by_key(*row).reward for row in zip(texts, map(str, keys), strict=True)]
        if golds is None:
            raise UserError(
                f"{name} grades by a column key, answer or solution; found {', '.join(columns)}"
            )
        choices = columns.get("choices") or [None] * len(golds)
        rows = zip(texts, map(str, golds), choices, strict=True)
        return [scorer.by_gold(*row).reward for row in rows]

    reward.__name__ = name
    return reward


def verl_score(name: str, **options: Any) -> Callable[..., float]:
    """Return a compute_score for verl: (data_source, solution_str, ground_truth, extra_info)."""
    scorer = Scorer(name, options)

    def compute_score(
        data_source: str,  # noqa: ARG001  verl passes it by name
        solution_str: str,
        ground_truth: str,
        extra_info: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> float:
        extra = extra_info or {}
        if "key" in extra:
            return scorer.by_key(solution_str, str(extra["key"])).reward
        return scorer.by_gold(solution_str, ground_truth, extra.get("choices")).reward

    return compute_score


@dataclass(frozen=True, kw_only=True)
class ExportWords:
    """The arguments of `export`."""

    env: str = option("the environment whose reward is exported")
    to: Literal["openrlhf", "trl", "verl"] = option("the trainer that will call it")
    split: str | None = option("train, val or test; null: the environment's default", None)
    rows: int | None = option(
        "rows written for the trainer; null: all, 0: none", None, COUNT_OR_NONE_AT_ALL
    )
    options: Mapping[str, str] = options_of("env")
    plugins: tuple[str, ...] = option("modules that register environments", ())


def export_environment(arguments: Sequence[str]) -> int:
    """Run `export env=NAME to=TRAINER`: write the file for the trainer; return exit code 0."""
    parsed = parse_words(ExportWords, arguments)
    prepare(parsed.plugins)
    name, to, plugins = parsed.env, parsed.to, list(parsed.plugins)
    options = {"split": parsed.split} if parsed.split else {}
    options |= registered_names.choose("env", {"name": name}, parsed.options).options
    path, table = Path(f"{name}_{to}.py"), Path(f"{name}_{to}.parquet")
    for file in (path, table):
        if file.exists():
            raise UserError(f"{file} exists here already: move it away first")
    env = environments.make(name, **options)  # a wrong split or data set is noticed now
    text = TEMPLATES[to].format(name=name, plugins=plugins, options=options)
    path.write_text(text, encoding="utf-8")
    rows = [ROWS[to](env.name, env.split, problem) for problem in env.problems[: parsed.rows]]
    if rows:
        table_files.write_parquet(table, rows)
    written = f" and {table} with {len(rows):,} rows of its {env.split} split" if rows else ""
    sys.stdout.write(f"wrote {path}{written}\n")
    return 0


def _trl_row(_name: str, _split: str, problem: Problem) -> dict[str, Any]:
    """Return a row for TRL, which puts the places of pictures before the text itself."""
    text = problem.prompt.replace(IMAGE, "").strip()
    return {
        "prompt": [{"role": "user", "content": text}],
        **_pictures(problem),
        "key": problem.key,
        "answer": problem.answer,
        "choices": list(problem.choices) if problem.choices else None,
    }


def _verl_row(name: str, split: str, problem: Problem) -> dict[str, Any]:
    return {
        "data_source": name,
        "prompt": [{"role": "user", "content": problem.prompt}],
        **_pictures(problem),
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": problem.answer},
        "extra_info": {"key": problem.key, "split": split},
    }


def _openrlhf_row(_name: str, _split: str, problem: Problem) -> dict[str, Any]:
    return {
        "prompt": [{"role": "user", "content": problem.prompt}],
        **_pictures(problem),
        "label": f"key:{problem.key}",
    }


def _pictures(problem: Problem) -> dict[str, Any]:
    """Return the column of pictures, in the form in which `datasets` keeps them; {} without any."""
    pictures = [{"bytes": picture, "path": None} for picture in problem.images]
    return {"images": pictures} if pictures else {}


ROWS = {"openrlhf": _openrlhf_row, "trl": _trl_row, "verl": _verl_row}
