"""The soak: run a minimal policy for many steps, and measure what the process holds.

    python scripts/soak.py steps=10000 [warm_up=1000]

Trainer, checkpoints, evaluations, records and graders are the real ones. The policy is the tabular
one of the tests, so that a step takes milliseconds. After the warm-up, resident memory may rise by
at most 5 %, and file handles, threads and child processes not at all. None of these may be left at
the end.
"""

import gc
import io
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from PIL import Image

from mssr_rl.config import Config
from mssr_rl.config.compose import load
from mssr_rl.config.overrides import parse
from mssr_rl.engine_protocol import UpdateStats
from mssr_rl.run import trainer

TESTS = Path(__file__).parents[1] / "tests"
MARKS = 50  # number of measurements
TOLERANCE = 0.05  # of resident memory


class Held(NamedTuple):
    """What the process holds at some step."""

    step: int
    memory: float  # resident [MiB]
    handles: int
    threads: int
    children: int


class Weighed:
    """An engine that measures its process every few steps."""

    def __init__(self, inner: Any, every: int, held: list[Held]) -> None:
        self._inner, self._every, self._held = inner, every, held
        self._steps = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def update(self, *arguments: Any) -> UpdateStats:
        """Measure the process if it is time, and update."""
        self._steps += 1
        if self._steps % self._every == 0:
            self._held.append(weigh(self._steps))
        stats: UpdateStats = self._inner.update(*arguments)
        return stats


def main(arguments: list[str]) -> int:
    """Run the soak, print the measurements, and return the exit code."""
    words = {"steps": "10000", **parse(arguments)}
    steps = int(words["steps"])
    warm_up = int(words.get("warm_up", steps // 10))
    held: list[Held] = []
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="soak_") as scratch:
        before = weigh(0)
        soak(Path(scratch), steps, held)
        end = weigh(steps)
    print(f"{steps:,} steps in {time.monotonic() - begun:.0f} s")
    for mark in held[:: max(1, len(held) // 10)]:
        print(describe(mark))
    print("at the end: " + describe(end))
    problems = faults(held, warm_up) + left_over(before, end)
    print(
        "\n".join(problems)
        or f"flat after step {warm_up:,}: {growth(held, warm_up):+.1%} of memory"
    )
    return 1 if problems else 0


def soak(folder: Path, steps: int, held: list[Held]) -> None:
    """Run `steps` steps, with everything that a run does between them."""
    engine = tabular_engine()
    every = max(1, steps // MARKS)

    def make_engine(config: Config) -> Any:
        return Weighed(engine(config), every, held)

    trainer.run(load(words(counting_data(folder), folder, steps)), make_engine)
    gc.collect()


def words(data: Path, folder: Path, steps: int) -> list[str]:
    """Return the arguments of a run with 16 rollouts a step that often evaluates and saves."""
    return [
        "algo=mssr",
        "env=vision_r1",
        f"env.data={data}",
        f"model.path={data}",
        "engine.threads=1",
        "train.rollouts_per_step=16",
        "train.samples_per_update=16",
        "train.lr=0.01",
        f"budget.rollouts={16 * steps}",
        "eval.every=100",
        "eval.limit=8",
        "checkpoint.every=50",
        f"runs_dir={folder}",
        "name=soak",
    ]


def faults(held: Sequence[Held], warm_up: int) -> list[str]:
    """Return what grew although it must not."""
    after = [mark for mark in held if mark.step >= warm_up]
    first = after[0]
    rises = []
    if growth(held, warm_up) > TOLERANCE:
        rises.append(f"memory rose by {growth(held, warm_up):.1%} after step {warm_up:,}")
    for name in ("handles", "threads", "children"):
        most = max(getattr(mark, name) for mark in after)
        if most > getattr(first, name):
            rises.append(f"{name} rose from {getattr(first, name)} to {most}")
    return rises


def left_over(before: Held, end: Held) -> list[str]:
    """Return what the run did not release."""
    return [
        f"{getattr(end, name) - getattr(before, name)} {name} are left"
        for name in ("handles", "threads", "children")
        if getattr(end, name) > getattr(before, name)
    ]


def growth(held: Sequence[Held], warm_up: int) -> float:
    """Return the largest share by which resident memory rose after the warm-up."""
    after = [mark.memory for mark in held if mark.step >= warm_up]
    return max(after) / after[0] - 1


def weigh(step: int) -> Held:
    """Measure this process."""
    process = psutil.Process()
    memory = process.memory_info().rss / 2**20
    children = len(process.children(recursive=True))
    return Held(step, memory, process.num_fds(), process.num_threads(), children)


def describe(mark: Held) -> str:
    """Return a measurement as one line."""
    return (
        f"step {mark.step:>7,}: {mark.memory:7.1f} MiB, {mark.handles} handles, "
        f"{mark.threads} threads, {mark.children} children"
    )


def tabular_engine() -> Any:
    """Return the tests' policy, loaded from its file because the tests are not a package."""
    spec = spec_from_file_location("soak_conftest", TESTS / "conftest.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.TabularEngine


def counting_data(folder: Path) -> Path:
    """Write the data set "which digit follows?": one picture and sixty questions."""
    data = folder / "counting"
    data.mkdir()
    picture = io.BytesIO()
    Image.new("RGB", (32, 32), "white").save(picture, "PNG")
    (data / "dot.png").write_bytes(picture.getvalue())
    for split in ("train", "val", "test"):
        rows = [
            {
                "id": f"{split}-{i}",
                "problem": f"{split} {i // 10}: which digit follows {i % 10}",
                "images": ["dot.png"],
                "answer": str((i + 1) % 10),
            }
            for i in range(60)
        ]
        (data / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return data


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
