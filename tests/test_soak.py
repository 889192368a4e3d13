"""The soak of scripts/, shorter; and that it notices what grows."""

import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

SOAK = Path(__file__).parents[1] / "scripts" / "soak.py"


@pytest.fixture(scope="module")
def soak() -> Any:
    spec = spec_from_file_location("soak", SOAK)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_a_few_hundred_steps_leave_nothing_behind() -> None:
    command = [sys.executable, str(SOAK), "steps=400", "warm_up=200"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "flat after step 200" in done.stdout


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("memory", "memory rose by 6.0% after step 10"),
        ("handles", "handles rose from 100 to 106"),
        ("threads", "threads rose from 100 to 106"),
        ("children", "children rose from 100 to 106"),
    ],
)
def test_whatever_grows_is_named(soak: Any, name: str, says: str) -> None:
    flat = soak.Held(0, 100, 100, 100, 100)
    held = [flat._replace(step=step) for step in (5, 10, 15)]
    assert soak.faults(held, 10) == []
    grown = held[-1]._replace(step=20, **{name: 106})
    assert soak.faults([*held, grown], 10) == [says]
    assert soak.faults([flat._replace(**{name: 50}), *held], 10) == []  # while it warms up


def test_what_is_left_at_the_end_is_named(soak: Any) -> None:
    before = soak.Held(0, 100.0, 5, 1, 0)
    assert soak.left_over(before, before._replace(memory=500.0)) == []
    assert soak.left_over(before, before._replace(children=2)) == ["2 children are left"]
