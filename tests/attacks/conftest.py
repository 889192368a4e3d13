"""Attacks: what a checkpoint, a data set, a config, a model folder or an answer might try.

SECURITY.md says what is trusted and what is not; every threat it names has its test here.
"""

import signal
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

RECORDED = Path(__file__).parents[1] / "comparison" / "recorded_0_1" / "two_arms.tar.xz"
PATIENCE = 60  # [s] of a whole test; what hangs, hangs for ever


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """A file that exists only once foreign code has run."""
    return tmp_path / "marker"


@pytest.fixture
def comparison(tmp_path: Path) -> Path:
    """A comparison's folder as somebody sends it: two arms, finished, with its report."""
    with tarfile.open(RECORDED) as archive:
        archive.extractall(tmp_path / "sent", filter="data")
    return tmp_path / "sent" / "two_arms"


@pytest.fixture
def sent_run(comparison: Path) -> Path:
    """One run's folder of it."""
    return comparison / "runs" / "vision_r1-grpo-s0"


@pytest.fixture
def no_hang() -> Iterator[None]:
    """A test that waits for ever fails instead."""

    def give_up(*_: object) -> None:
        raise TimeoutError(f"nothing happened within {PATIENCE} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(PATIENCE)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
