"""A run on two Ray nodes, simulated on this machine: one training rank and one sampler on each.

First among the cluster tests by its name: two of everything, before the shared engine takes memory.
What it computed is held against one rank's by test_ranks_and_faults.py.
"""

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.cluster


def test_an_arm_runs_on_two_nodes(two_nodes: Path) -> None:
    rows = [json.loads(line) for line in (two_nodes / "metrics.jsonl").read_text().splitlines()]
    assert [row["budget/rollouts"] for row in rows] == [16, 32]
    assert max(row["sampler/logprob_gap_max"] for row in rows) < 5e-4  # both have the new weights
