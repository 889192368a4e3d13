"""A comparison on a Ray cluster of two machines, simulated on this one: real runs, real reports."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mssr_rl.sweep.standing import look

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
WORDS = [
    "algo=grpo,mssr",
    "env=vision_r1",
    "seeds=1",
    "env.limit=64",
    "train.rollouts_per_step=32",
    "train.samples_per_update=32",
    "budget.rollouts=96",
    "eval.limit=8",
    "eval.samples=1",
    "eval.every=0",
    "checkpoint.every=1",
    "engine.threads=1",
    "name=two",
]


CLUSTER = """
from ray.cluster_utils import Cluster
node = {"num_cpus": 1, "object_store_memory": 100 << 20}
cluster = Cluster(initialize_head=True, head_node_args=node)
cluster.add_node(**node)
print(cluster.address, flush=True)
input()  # until the tests close this process's input or write a line
cluster.shutdown()
"""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Of two machines with a core each: neither could hold both runs at once.

    They start in a process of their own. In this one an engine of an earlier test may still be
    connected to its own Ray, which listens on loopback only, and the cluster would do the same.
    """
    pytest.importorskip("ray.cluster_utils", reason="no cluster stage")
    with subprocess.Popen(
        [sys.executable, "-c", CLUSTER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1"},
    ) as cluster:
        assert cluster.stdout is not None
        yield cluster.stdout.readline().strip()
        cluster.communicate("\n", timeout=60)


def start(address: str, folder: Path, *more: str) -> "subprocess.Popen[str]":
    words = [*WORDS, f"ray={address}", f"comparisons_dir={folder}", *more]
    return subprocess.Popen(
        [sys.executable, "-m", "mssr_rl", "compare", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1"},
    )


def steps(folder: Path) -> int:
    found = folder.glob("two/runs/*/metrics.jsonl")
    return sum(len(path.read_text().splitlines()) for path in found)


def test_runs_are_spread_and_an_interrupted_comparison_goes_on(
    address: str, tmp_path: Path
) -> None:
    begun = start(address, tmp_path)
    limit = time.monotonic() + 120
    while steps(tmp_path) < 1 and begun.poll() is None and time.monotonic() < limit:
        time.sleep(0.05)
    begun.send_signal(signal.SIGINT)
    said, _ = begun.communicate(timeout=120)
    assert begun.returncode == 130, said
    assert "at once     2 runs, 1 thread each" in said
    assert "the same command continues from here" in said
    runs = sorted((tmp_path / "two" / "runs").iterdir())
    assert "busy" not in {look(run).state for run in runs}

    done = start(address, tmp_path)
    said, _ = done.communicate(timeout=240)
    assert done.returncode == 0, said
    report = json.loads((tmp_path / "two" / "report.json").read_text())
    assert {row["arm"] for row in report["envs"][0]["leaderboard"]} == {"grpo", "mssr"}
    assert [look(run).state for run in sorted((tmp_path / "two" / "runs").iterdir())] == [
        "done",
        "done",
    ]


def test_a_run_that_waits_for_a_machine_can_be_called_off(address: str, tmp_path: Path) -> None:
    script = f"""
import ray
from pathlib import Path
from mssr_rl.sweep import nodes
nodes.join({address!r})
run = nodes.launch(["algo=grpo"], Path("log"), 64)  # more cores than there are
assert run.poll() is None
run.terminate()
print("code", run.wait())
"""
    env = {**os.environ, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path, env=env
    )
    assert "code 1" in done.stdout, done.stderr
    assert not (tmp_path / "log").exists()


def test_an_address_where_nobody_answers_is_one_sentence() -> None:
    command = [sys.executable, "-m", "mssr_rl", "compare", *WORDS, "ray=127.0.0.1:1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2
    assert "ray=127.0.0.1:1: no Ray cluster answers there" in done.stderr
    assert "Traceback" not in done.stderr
