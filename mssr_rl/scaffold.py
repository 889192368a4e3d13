"""`python -m mssr_rl new env=NAME`: writes a module with an environment, and a test of it.

Both go into the current folder and work as they are. The command prints what to run next.
"""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mssr_rl.config.words import parse_words
from mssr_rl.envs import environments
from mssr_rl.errors import UserError
from mssr_rl.typed import option

MODULE = '''"""The environment {name}: put your problems, and if need be your own rule, here."""

from mssr_rl import register_environment
from mssr_rl.envs import ProblemEnv
from mssr_rl.problem import Problem


@register_environment("{name}")
def {name}(*, split: str = "train", largest: int = 9) -> ProblemEnv:
    """Sums of two numbers, as text."""
    numbers = range(largest + 1)
    mine = ("train", "val", "test").index(split)  # no sum stands in two splits
    problems = [
        Problem(key=f"{{split}}-{{a}}-{{b}}", prompt=f"What is {{a}} + {{b}}?", answer=str(a + b))
        for a in numbers
        for b in numbers
        if (a + b) % 3 == mine
    ]
    return ProblemEnv(problems, name="{name}", split=split)
'''
TEST = '''"""The environment {name} pays for right answers and for nothing else."""

import {name}

from mssr_rl.check_env import environment_laws


def test_no_law_is_broken() -> None:
    env = {name}.{name}(split="test")
    assert [finding for law in environment_laws.LAWS for finding in law(env)] == []
'''


@dataclass(frozen=True, kw_only=True)
class NewWords:
    """The arguments of `new`."""

    env: str = option("the new environment's name: small letters, digits and _")


def write_starter(arguments: Sequence[str]) -> int:
    """Write the module and its test into the current folder; return exit code 0."""
    name = parse_words(NewWords, arguments).env
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise UserError(f"env={name}: use small letters, digits and _, with a letter first")
    if name in environments.names():
        raise UserError(f"env={name} is there already; choose a name that --help env does not list")
    files = {f"{name}.py": MODULE, f"test_{name}.py": TEST}
    for file in files:
        if Path(file).exists():
            raise UserError(f"{file} exists here already: choose another name or folder")
    for file, text in files.items():
        Path(file).write_text(text.format(name=name), encoding="utf-8")
    sys.stdout.write(
        f"wrote {' and '.join(files)}; next:\n"
        f"  python -m mssr_rl check env={name} plugins=[{name}]\n"
        f"  python -m mssr_rl train env={name} plugins=[{name}] algo=grpo\n"
        f"  python -m pytest test_{name}.py\n"
    )
    return 0
