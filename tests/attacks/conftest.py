"""Attacks: what a checkpoint, data set, config, model folder or answer from a stranger might try.

SECURITY.md says what is trusted and what is not. Every threat that it names has a test here.
"""

import signal
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

RECORDED = Path(__file__).parents[1] / "comparison" / "recorded_0_1" / "two_arms.tar.xz"
PATIENCE = 60  # limit for a whole test [s]; a test that hangs would hang for ever


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """Return a path that exists only after foreign code has run."""
    return tmp_path / "marker"


@pytest.fixture
def comparison(tmp_path: Path) -> Path:
    """Return a finished comparison as somebody might send it: two arms and a report."""
    with tarfile.open(RECORDED) as archive:
        archive.extractall(tmp_path / "sent", filter="data")
    return tmp_path / "sent" / "two_arms"


@pytest.fixture
def sent_run(comparison: Path) -> Path:
    """Return the folder of one run of that comparison."""
    return comparison / "runs" / "vision_r1-grpo-s0"


@pytest.fixture
def no_hang() -> Iterator[None]:
    """Make a test fail if it waits for ever."""

    def give_up(*_: object) -> None:
        raise TimeoutError(f"nothing happened within {PATIENCE} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(PATIENCE)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
