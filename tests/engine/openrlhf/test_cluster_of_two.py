"""A run on two Ray nodes, simulated on this machine: one training rank and one sampler on each.

First among the cluster tests by its name: two of everything, before the shared engine takes memory.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.cluster
NODE = {"num_cpus": 3, "num_gpus": 1, "object_store_memory": 300 * 2**20}


def test_an_arm_runs_on_two_nodes(tmp_path: Path) -> None:
    cluster_utils = pytest.importorskip("ray.cluster_utils", reason="no cluster stage")
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args=NODE)
    cluster.add_node(**NODE)
    words = [
        "engine=openrlhf",
        f"cluster.address={cluster.address}",
        "cluster.nodes=2",  # no node has two GPUs: the ranks must be on both
        "cluster.rollout_engines=2",
        "algo=grpo",
        "env=vision_r1",
        "train.rollouts_per_step=16",
        "train.samples_per_update=16",
        "budget.rollouts=16",
        "eval.limit=2",
        "eval.samples=1",
        f"runs_dir={tmp_path}",
        "name=two",
    ]
    try:
        command = [sys.executable, "-m", "mssr_rl", "train", *words]
        done = subprocess.run(
            command, env=os.environ, capture_output=True, text=True, timeout=540, check=False
        )
    finally:
        cluster.shutdown()
    assert done.returncode == 0, done.stderr[-3000:]
    (row,) = map(json.loads, (tmp_path / "two" / "metrics.jsonl").read_text().splitlines())
    assert row["budget/rollouts"] == 16
    assert row["sampler/logprob_gap_max"] < 5e-4
