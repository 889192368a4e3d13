"""What to do next: every command names a verb and arguments that exist."""

import shlex
from typing import Any

import pytest

from mssr_rl.config.words import parse_words
from mssr_rl.report.next_steps import next_steps
from mssr_rl.report.runfiles import RunDocuments
from mssr_rl.verbs import form_of

CONFIG = """\
algo: {name: %s}
env: {name: vision_r1, data: "my data"}
recipe: laptop
runs_dir: elsewhere
budget: {rollouts: 512}
plugins: [mine]
name: a
"""
DIFFERS = {"env.data": None, "budget.rollouts": 30720, "algo.gamma": 1, "engine.threads": 4}


def commands(status: str, algo: str = "mssr", **run: Any) -> list[str]:
    documents = RunDocuments(CONFIG % algo, {"status": status, **run}, {})
    return [step.command for step in next_steps(documents, "first")]


@pytest.mark.parametrize("status", ["done", "collapsed", "interrupted", "failed", "running"])
def test_every_command_can_be_parsed(status: str) -> None:
    for command in commands(status, differs_from_recipe=DIFFERS):
        python, flag, package, verb, *words = shlex.split(command)
        assert (python, flag, package) == ("python", "-m", "mssr_rl")
        parse_words(form_of(verb, words).declaration(), words)


def test_a_comparison_takes_over_the_changed_settings_but_not_those_of_the_algorithm() -> None:
    assert commands("done", differs_from_recipe=DIFFERS)[0] == (
        "python -m mssr_rl compare algo=grpo,mssr env=vision_r1 recipe=laptop "
        "'env.data=my data' budget.rollouts=512 'plugins=[mine]' seeds=5"
    )
    assert "algo=rloo,grpo" in commands("done", algo="grpo")[0]


def test_a_run_that_has_not_ended_is_continued_and_a_collapse_is_looked_at() -> None:
    command = "python -m mssr_rl train resume=true name=first runs_dir=elsewhere"
    assert commands("interrupted") == [command]
    assert commands("collapsed")[0] == "python -m mssr_rl lens run=elsewhere/first"
