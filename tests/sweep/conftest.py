"""Comparisons on the tabular engine: real processes and real training, in seconds."""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import Popen

import pytest

from mssr_rl.sweep.process import Launch, start

CHILD = Path(__file__).parent / "tabular_child.py"


@pytest.fixture
def words(counting_data: Path, tmp_path: Path) -> list[str]:
    """Return the arguments of a comparison of two arms with one seed each."""
    return [
        "algo=grpo,mssr",
        "env=vision_r1",
        "seeds=1",
        f"model.path={counting_data}",
        f"env.data={counting_data}",
        "train.rollouts_per_step=64",
        "train.samples_per_update=16",
        "train.lr=0.05",
        "rollout.max_response_tokens=3",
        "budget.rollouts=384",
        "eval.every=2",
        "checkpoint.every=2",
        "engine.threads=1",
        "jobs=2",
        "name=two",
        f"comparisons_dir={tmp_path / 'comparisons'}",
    ]


def tabular(pause: float = 0.0) -> Launch:
    """Return a launcher of runs on the tabular engine, which sleeps `pause` s in every update."""

    def launch(given: Sequence[str], log: Path, threads: int) -> "Popen[bytes]":
        command = [sys.executable, str(CHILD), str(os.getpid()), str(pause), *given]
        return start(command, log, threads)

    return launch


@pytest.fixture
def launch() -> Launch:
    """Return the launcher that a comparison starts its runs with."""
    return tabular()


@pytest.fixture
def slowly() -> Callable[[float], Launch]:
    """Return a function that makes a launcher with a pause."""
    return tabular
