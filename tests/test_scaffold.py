"""`new env=NAME` writes an environment and a test that work as they are."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mssr_rl.errors import UserError
from mssr_rl.scaffold import write_starter

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]


def test_what_it_writes_passes_its_own_test_and_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert write_starter(["env=primes"]) == 0
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{tmp_path}"}
    for command in (
        ["-m", "pytest", "-q", "test_primes.py"],
        ["-m", "mssr_rl", "check", "env=primes", "plugins=[primes]"],
    ):
        done = subprocess.run(
            [sys.executable, *command], capture_output=True, text=True, env=environment, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "env= is missing: the new environment's name"),
        (["env=Two Words"], "use small letters, digits and _"),
        (["env=a", "data=b"], "unknown argument data; known here: env"),
        (["env=1a"], "use small letters, digits and _"),
    ],
)
def test_names_that_are_no_module_are_refused(words: list[str], says: str) -> None:
    with pytest.raises(UserError, match=says):
        write_starter(words)


def test_nothing_is_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_starter(["env=once"])
    with pytest.raises(UserError, match=r"once\.py exists here already"):
        write_starter(["env=once"])
