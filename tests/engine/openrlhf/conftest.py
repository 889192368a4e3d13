"""One Ray session and one engine that tests share, because a start takes a minute."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mssr_rl.config import Config
from mssr_rl.config.compose import load
from mssr_rl.envs.families import row
from mssr_rl.problem import Problem
from mssr_rl.prompts import posed

WORDS = [
    "engine=openrlhf",
    "env=vision_r1",
    "train.rollouts_per_step=16",
    "train.samples_per_update=8",
    "train.micro_batch=4",
    "train.lr=1e-3",
    "eval.limit=4",
    "eval.samples=1",
    "eval.every=0",
    "checkpoint.every=1",
]


LOSSES = Path(__file__).parents[3] / "examples" / "losses"
Settings = Callable[..., Config]


def _settings(*words: str) -> Config:
    given = dict(word.split("=", 1) for word in (*WORDS, *words))
    return load([f"{key}={value}" for key, value in given.items()])


@pytest.fixture(scope="session")
def settings() -> Settings:
    """Return a function that makes the config of a short run; `key=value` arguments change it."""
    return _settings


def _problem(family: str, index: int) -> Problem:
    made = row(family, "val", 1, index)
    image = made["images"][0]["bytes"]
    asked = Problem(key=made["id"], prompt=made["problem"], answer=made["answer"], images=(image,))
    return posed(asked, "short")


@pytest.fixture(scope="session")
def problems() -> list[Problem]:
    """Return one problem of each of four families."""
    return [_problem(family, i) for i, family in enumerate(("bar", "clock", "dice", "frac"))]


@pytest.fixture(scope="session")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Write a user's module that processes started from now on can import."""
    folder = tmp_path_factory.mktemp("plugin")
    (folder / "from_outside.py").write_text('"""A plug-in."""\nSEEN = True\n')
    before = os.environ.get("PYTHONPATH", "")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join((str(folder), str(LOSSES), before)))
        patch.syspath_prepend(folder)
        patch.syspath_prepend(LOSSES)
        yield "from_outside"


@pytest.fixture(scope="session")
def ray_session(plugin: str) -> Iterator[Any]:
    """Start Ray with room for the largest engine of the tests."""
    pytest.importorskip("ray", reason="the cluster stage is not installed")
    from mssr_rl.engine.openrlhf import cpu, session

    cpu.install()
    config = _settings()
    common = session.common(config)
    session.start_here(4, common)
    yield
    import ray

    ray.shutdown()


NODE = {"num_cpus": 3, "num_gpus": 1, "object_store_memory": 300 * 2**20}
RUN = ("algo=mssr", "budget.rollouts=32", "eval.limit=2")


@pytest.fixture(scope="session")
def run_words() -> tuple[str, ...]:
    """Return the arguments of the run on two nodes, without those for its place."""
    return RUN


@pytest.fixture(scope="session")
def two_nodes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run with two ranks (ZeRO-2) and two samplers on two Ray nodes."""
    cluster_utils = pytest.importorskip("ray.cluster_utils", reason="no cluster stage")
    folder = tmp_path_factory.mktemp("two_nodes")
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args=NODE)
    cluster.add_node(**NODE)
    words = [
        *(word for word in WORDS if not word.startswith("eval.limit")),
        *RUN,
        f"cluster.address={cluster.address}",
        "cluster.nodes=2",  # no node has two GPUs: the ranks must be on both
        "cluster.rollout_engines=2",
        f"runs_dir={folder}",
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
    return folder / "two"


class Shared:
    """The shared engine as a run sees it: at its initial policy, and without a real `close`."""

    def __init__(self, engine: Any, initial: Path) -> None:
        self.engine, self.initial = engine, initial

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def reset(self) -> "Shared":
        self.engine.load(self.initial)
        return self

    def close(self) -> None:
        pass

    def give_up(self) -> Any:
        """Return the engine itself, for the last test of the session, which destroys it."""
        engine, self.engine = self.engine, None
        return engine


@pytest.fixture(scope="session")
def shared(
    ray_session: Any, plugin: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shared]:
    from mssr_rl.engine import make_engine

    engine = make_engine(_settings(f"plugins=[{plugin}]"))
    initial = tmp_path_factory.mktemp("initial")
    engine.save(initial)
    shared = Shared(engine, initial)
    yield shared
    if shared.engine is not None:
        engine.close()


@pytest.fixture
def engine(shared: Shared) -> Shared:
    """Return the shared engine at its initial policy."""
    return shared.reset()


Inside = Callable[[Any, Callable[[Any], Any]], Any]


@pytest.fixture
def inside() -> Inside:
    """Return a function that runs another one in a process of the engine, on the object there."""
    import ray

    def run(actor: Any, function: Callable[[Any], Any]) -> Any:
        ray.cloudpickle.register_pickle_by_value(sys.modules[function.__module__])
        return ray.get(actor.__ray_call__.remote(function))

    return run
