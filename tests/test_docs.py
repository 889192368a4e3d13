"""The examples and commands in the documents do what the documents say."""

import re
import shlex
from pathlib import Path

import pytest

from mssr_rl import algos, envs
from mssr_rl.compose import load

ROOT = Path(__file__).parents[1]
DOCUMENTS = ("README.md", "CONTRIBUTING.md")


def blocks(document: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / document).read_text("utf-8"), re.DOTALL)


def commands() -> list[str]:
    """Every `scripts/run.sh` line of the documents, without its comment."""
    text = "\n".join((ROOT / name).read_text("utf-8") for name in DOCUMENTS)
    found = re.findall(r"bash scripts/run\.sh[^`\n#]*", text)
    return sorted({line.strip() for line in found})


def test_the_examples_of_contributing_register_a_working_algorithm_and_environment() -> None:
    for source in blocks("CONTRIBUTING.md", "python"):
        exec(compile(source, "CONTRIBUTING.md", "exec"), {})
    assert algos.algorithms.make("centred").min_group_size == 2
    env = envs.environments.make("sums", split="val", largest=3)
    (graded,) = env.grade([5], ["<think>1 + 1</think>\\boxed{2}"])
    assert len(env.problems) == 16
    assert graded.reward == 1.0


def test_the_example_of_the_readme_registers_an_environment() -> None:
    for source in blocks("README.md", "python"):
        exec(compile(source, "README.md", "exec"), {})
    env = envs.environments.make("mine", split="train")
    (graded,) = env.grade([0], ["<think>two and three</think>\\boxed{5}"])
    assert graded.verdict.correct


@pytest.mark.parametrize("line", commands())
def test_every_documented_run_is_understood(line: str) -> None:
    words = shlex.split(line)[2:]
    plain = [word for word in words if not word.startswith("--") and "mine" not in word]
    assert load(plain) is not None or not plain
