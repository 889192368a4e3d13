"""Rollouts per second of the local engine, transformers' `generate` and vLLM, on CPU.

    python -m benchmarks rollouts               all three
    python -m benchmarks rollouts --record      store the ratios to `generate` for the slow test

256 rollouts are sampled at once, as in a step of the laptop recipe: of 256 problems, or of 32
problems with 8 each. All sides have the same tiny Qwen2.5-VL, mini problems and sampling
(temperature 1, top_p 1, top_k off, at most 64 tokens, float32). Every turn has new problems, and
the time runs from problem to text. The local engine returns log-probabilities and entropies too,
the others only text; vLLM runs its offline engine without compiling. Every side has its own
process, and they take turns. Wall time is measured on all cores, processor time in a second pass
with one thread; medians without the first batch.
"""

import json
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import NamedTuple

from benchmarks import peers, workloads
from benchmarks.command import BenchmarkReport, Parser, positive, say
from benchmarks.measure import cores
from benchmarks.peers import Call, Side
from benchmarks.table import table
from mssr_rl import files
from mssr_rl.errors import UserError

RECORDED = Path(__file__).with_name("recorded.json")
OURS, PEERS = "ours", ("transformers", "vllm")
HEADER = ("side", "rollouts/s", "tokens/s", "rollouts per CPU s, 1 thread", "peak MiB")
MODULES = {side: f"benchmarks.sides.{side}_rollouts" for side in (OURS, *PEERS)}


class Shape(NamedTuple):
    """The number of problems, and the number of rollouts of each."""

    problems: int
    group: int

    @property
    def name(self) -> str:
        """The shape as text, such as "32x8"."""
        return f"{self.problems}x{self.group}"


SHAPES = (
    Shape(workloads.SAMPLES, 1),
    Shape(workloads.SAMPLES // workloads.GROUP, workloads.GROUP),
)


class RolloutSpeed(NamedTuple):
    """The speed of one side, for one shape and one number of threads."""

    side: str
    shape: str
    threads: int
    rollouts_per_second: float
    rollouts_per_cpu_second: float
    tokens_per_second: float
    tokens_per_rollout: float
    peak_rss_mib: float
    batches: int
    quiet: bool


def parser() -> Parser:
    """Return the parser of this benchmark's arguments."""
    arguments = Parser("rollouts", __doc__)
    arguments.add_argument("--batches", type=positive, default=9, help="that count, each side")
    arguments.add_argument("--peers", default=",".join(PEERS), help="beside ours, by commas")
    arguments.add_argument("--record", action="store_true", help=f"write {RECORDED.name}")
    return arguments


def measured(given: Namespace) -> BenchmarkReport:
    """Measure every side with both shapes, first with one thread and then with all cores."""
    sides = [OURS, *_available(given.peers.split(","))]
    if given.record and "transformers" not in sides:
        raise UserError("--record keeps the ratio to transformers: name it in --peers")
    counts = (1,) if given.short else sorted({1, cores()})
    speeds = [
        speed
        for shape, threads in product(SHAPES, counts)
        for speed in speeds_of(sides, shape, threads, 2 if given.short else given.batches)
    ]
    if given.record:
        record(ratios(speeds))
    results = {"speeds": [speed._asdict() for speed in speeds], "ratios": ratios(speeds)}
    return BenchmarkReport(_text(speeds), results)


def speeds_of(sides: Sequence[str], shape: Shape, threads: int, batches: int) -> list[RolloutSpeed]:
    """Measure all sides in turn, for one shape and one number of threads."""
    with peers.seated(list(_calls(sides, shape, threads))) as seats:
        peers.rounds(seats, batches)
        return [_speed(seat, shape, threads) for seat in seats]


def ratios(speeds: Sequence[RolloutSpeed]) -> dict[str, float]:
    """Return {shape: our speed divided by that of transformers}.

    The speeds are rollouts per processor second, with one thread.
    """

    def rate(side: str, shape: str) -> float | None:
        found = (s for s in speeds if (s.side, s.shape, s.threads) == (side, shape, 1))
        return next((speed.rollouts_per_cpu_second for speed in found), None)

    pairs = {
        shape: (rate(OURS, shape), rate("transformers", shape))
        for shape in dict.fromkeys(speed.shape for speed in speeds)
    }
    return {shape: ours / theirs for shape, (ours, theirs) in pairs.items() if ours and theirs}


def record(found: Mapping[str, float]) -> None:
    """Store the ratios for the test that compares with them."""
    files.write_json(RECORDED, {**recorded(), **{k: round(v, 2) for k, v in found.items()}})


def recorded() -> dict[str, float]:
    """Return the stored ratios, in the form of `ratios`."""
    found: dict[str, float] = json.loads(RECORDED.read_text("utf-8"))
    return found


def _available(asked: Sequence[str]) -> list[str]:
    for name in asked:
        if name not in PEERS:
            raise UserError(f"no peer {name!r} here; choose from {', '.join(PEERS)}")
    missing = [name for name in asked if find_spec(name) is None]
    for name in missing:
        say(f"left out: {name} is not installed here (docs/cluster.md says how)")
    return [name for name in asked if name not in missing]


def _calls(sides: Sequence[str], shape: Shape, threads: int) -> Iterator[Call]:
    environment = {"OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
    told = {"threads": threads, **shape._asdict(), "limit": workloads.LIMIT}
    for side in sides:
        own = peers.LARGE_PAGES if side == OURS else {}
        yield Call(side, MODULES[side], told, environment={**environment, **own})


def _speed(side: Side, shape: Shape, threads: int) -> RolloutSpeed:
    spent, count = peers.cost(side), shape.problems * shape.group
    tokens = sum(record["tokens"] for record in side.records) / len(side.records)
    return RolloutSpeed(
        side=side.name,
        shape=shape.name,
        threads=threads,
        rollouts_per_second=count / spent.seconds,
        rollouts_per_cpu_second=count / spent.cpu_seconds,
        tokens_per_second=tokens / spent.seconds,
        tokens_per_rollout=tokens / count,
        peak_rss_mib=side.records[-1]["peak_rss_mib"],
        batches=spent.batches,
        quiet=spent.quiet,
    )


def _text(speeds: Sequence[RolloutSpeed]) -> str:
    parts, most = [], max(speed.threads for speed in speeds)
    for shape in dict.fromkeys(speed.shape for speed in speeds):
        here = [speed for speed in speeds if speed.shape == shape]
        by_side = {(s.side, s.threads): s for s in here}
        rows = [
            (
                side,
                by_side[side, most].rollouts_per_second,
                by_side[side, most].tokens_per_second,
                by_side[side, 1].rollouts_per_cpu_second,
                by_side[side, most].peak_rss_mib,
            )
            for side in dict.fromkeys(speed.side for speed in here)
        ]
        parts.append(f"{shape.replace('x', ' problems × ')} rollouts, threads: {most}")
        parts.append(table(HEADER, rows))
    parts += [f"ours over transformers, {k}: {v:.2f}" for k, v in ratios(speeds).items()]
    if not all(speed.quiet for speed in speeds):
        parts.append("Some sides were measured while other processes were at work.")
    return "\n\n".join(parts)
