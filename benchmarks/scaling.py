"""How the cost of a rollout grows with rollouts per step, group, length, problems and parameters.

    python -m benchmarks scaling [--only rollouts,group,length,parameters,problems]

    rollouts     64 to 4,096 a step, in groups of 8, natural lengths
    group        1 to 16 rollouts of a problem, 256 a step, natural lengths
    length       16 to 256 tokens, 64 rollouts, from a model that can't end a response
    parameters   1.6 to 37 million, 64 rollouts of 32 tokens, random weights
    problems     1,000 to 1,000,000 in the value tracker alone, without a model: time and bytes

Each point is measured on whole training steps (`mssr_rl.run.step`) of a fresh engine. Its learning
rate is too small to change the policy, so that all points have the same one. The table shows
processor seconds of one thread per rollout, as medians over steps without the first. It also shows
the exponents that fit them, over all sizes and between the two largest. An exponent of 0 means that
a rollout costs the same at every size. --short measures the small sizes.
"""

import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks import models, workloads
from benchmarks.command import BenchmarkReport, Parser, positive, say
from benchmarks.growth import exponent
from benchmarks.measure import Cost, Stopwatch, typical
from benchmarks.table import table
from mssr_rl.advantage import Batch, Tracker, subtract_tracked_value
from mssr_rl.engine import make_engine
from mssr_rl.errors import UserError
from mssr_rl.run.arm import assemble
from mssr_rl.run.step import first_state, train_step

STILL = 1e-12  # a learning rate
AT_LEAST = 0.2  # seconds for which the tracker's update is repeated
HEADER = ("ms of CPU per rollout", "ms of wall time per rollout", "rollouts", "MiB of state")


class ScalingPoint(NamedTuple):
    """The measured cost at one size."""

    size: int
    cpu_seconds: float  # per rollout, one thread
    seconds: float  # per rollout, wall
    rollouts: int  # of a step
    quiet: bool
    state_bytes: int | None = None


class Plan(NamedTuple):
    """The number of batches and sizes to measure."""

    batches: int
    short: bool
    folder: Path  # for models


def parser() -> Parser:
    """Return the parser of this benchmark's arguments."""
    arguments = Parser("scaling", __doc__)
    names = ",".join(SWEEPS)
    arguments.add_argument("--only", default=names, help=f"by commas: {names}")
    arguments.add_argument(
        "--batches", type=positive, default=3, help="steps that count, each point"
    )
    return arguments


def measured(given: Namespace) -> BenchmarkReport:
    """Measure every sweep that `--only` names."""
    chosen = given.only.split(",")
    for name in chosen:
        if name not in SWEEPS:
            raise UserError(f"no sweep {name!r} here; choose from {', '.join(SWEEPS)}")
    torch.set_num_threads(1)
    found: dict[str, list[ScalingPoint]] = {}
    with tempfile.TemporaryDirectory() as folder:
        plan = Plan(1 if given.short else given.batches, given.short, Path(folder))
        for name in chosen:
            found[name] = []
            for point in SWEEPS[name].points(plan):
                say(f"{name} {point.size:,}: {1000 * point.cpu_seconds:.3f} ms of CPU per rollout")
                found[name].append(point)
    return BenchmarkReport(_text(found), {name: results(points) for name, points in found.items()})


def results(points: Sequence[ScalingPoint]) -> dict[str, Any]:
    """Return the growth exponents and the points as plain values."""
    sizes, costs = [p.size for p in points], [p.cpu_seconds for p in points]
    sized = [p.state_bytes for p in points if p.state_bytes is not None]
    return {
        "exponent": exponent(sizes, costs),
        "exponent_at_the_end": exponent(sizes[-2:], costs[-2:]),
        "exponent_of_bytes": exponent(sizes, sized) if sized else None,
        "points": [point._asdict() for point in points],
    }


# ---- whole steps -------------------------------------------------------------------------


def _rollouts(plan: Plan) -> Iterator[ScalingPoint]:
    for power in (6, 8) if plan.short else range(6, 13):
        count = 2**power
        yield _point(count, count, ["algo=grpo"], plan)


def _group(plan: Plan) -> Iterator[ScalingPoint]:
    rollouts = 64 if plan.short else workloads.SAMPLES
    for group in (1, 4, 16) if plan.short else (1, 2, 4, 8, 16):
        words = ["algo=reinforce_pp", f"rollout.group_size={group}"]
        yield _point(group, rollouts, words, plan)


def _length(plan: Plan) -> Iterator[ScalingPoint]:
    model = workloads.endless(plan.folder / "endless")
    for length in (16, 64) if plan.short else (16, 32, 64, 128, 256):
        words = ["algo=grpo", f"model.path={model}", f"rollout.max_response_tokens={length}"]
        yield _point(length, 64, words, plan)


def _parameters(plan: Plan) -> Iterator[ScalingPoint]:
    source = workloads.endless(plan.folder / "one")
    for times in (1, 2) if plan.short else (1, 2, 3, 4, 5):
        made = models.widened(source, plan.folder / f"times_{times}", times)
        words = ["algo=grpo", f"model.path={made.folder}", "rollout.max_response_tokens=32"]
        yield _point(made.parameters, 64, words, plan)


def _point(size: int, rollouts: int, words: Sequence[str], plan: Plan) -> ScalingPoint:
    """Return the cost of training steps of a new engine, with `rollouts` rollouts a step.

    `size` is the value of the quantity that grows.
    """
    arm = assemble(
        workloads.laptop(
            *words,
            *("engine.threads=1", f"train.lr={STILL}", f"train.rollouts_per_step={rollouts}"),
            f"train.samples_per_update={min(rollouts, workloads.PER_UPDATE)}",
        ),
        make_engine,
    )
    state, costs = first_state(arm), list[Cost]()
    for _ in range(plan.batches + 1):
        watch = Stopwatch()
        state = train_step(arm, state, lambda _phase: None).state
        costs.append(watch.read())
    arm.engine.close()
    spent = typical(costs[1:])
    return ScalingPoint(
        size, spent.cpu_seconds / rollouts, spent.seconds / rollouts, rollouts, spent.quiet
    )


# ---- the tracker alone -------------------------------------------------------------------


def _problems(plan: Plan) -> Iterator[ScalingPoint]:
    for size in (10**3, 10**4, 10**5) if plan.short else (10**3, 10**4, 10**5, 10**6):
        yield _tracker_point(size, plan)


def _tracker_point(problems: int, plan: Plan) -> ScalingPoint:
    """Return the cost and the bytes of the tracker with a state for `problems` problems.

    It is updated many times with one rollout for each of 256 problems.
    """
    tracker, batch = subtract_tracked_value(Tracker()), tracker_batch(problems)
    state, costs = tracker.init(problems), list[Cost]()
    for _ in range(plan.batches + 1):
        watch, count, begun = Stopwatch(), 0, time.process_time()
        while time.process_time() - begun < AT_LEAST:
            for _ in range(20):
                state = tracker.update(batch.reward_B, batch, state).state
                count += len(batch.reward_B)
        spent = watch.read()
        costs.append(Cost(spent.seconds / count, spent.cpu_seconds / count, spent.others))
    found = typical(costs[1:])
    held = sum(x.nbytes for x in state if isinstance(x, torch.Tensor))
    return ScalingPoint(
        problems, found.cpu_seconds, found.seconds, len(batch.reward_B), found.quiet, held
    )


def tracker_batch(problems: int) -> Batch:
    """Return a batch of 256 single rollouts with the fields that the tracker reads."""
    generator = torch.Generator().manual_seed(0)
    shape = (workloads.SAMPLES, 1)
    one_token = torch.zeros(shape)
    return Batch(
        reward_B=torch.randint(2, shape[:1], generator=generator).double(),
        problem_B=torch.randint(problems, shape[:1], generator=generator),
        mask_BT=torch.ones(shape),
        logprob_BT=one_token,
        entropy_BT=one_token,
        logprob_ref_BT=one_token,
        kl_step=0.004,
        group_size=1,
        response_limit=1,
    )


class Sweep(NamedTuple):
    """A quantity that grows, and the function that measures its points."""

    size: str  # what the size counts
    points: Callable[[Plan], Iterator[ScalingPoint]]


SWEEPS: Mapping[str, Sweep] = {
    "rollouts": Sweep("rollouts a step", _rollouts),
    "group": Sweep("rollouts of a problem", _group),
    "length": Sweep("tokens of a response", _length),
    "parameters": Sweep("parameters", _parameters),
    "problems": Sweep("training problems", _problems),
}


def _text(found: Mapping[str, Sequence[ScalingPoint]]) -> str:
    parts = []
    for name, points in found.items():
        parts += [_sentence(results(points)), table((SWEEPS[name].size, *HEADER), _rows(points))]
    if not all(point.quiet for points in found.values() for point in points):
        parts.append("Some points were measured while other processes were at work.")
    return "\n\n".join(parts)


def _sentence(fitted: Mapping[str, Any]) -> str:
    held = fitted["exponent_of_bytes"]
    return (
        f"A rollout's cost grows with exponent {fitted['exponent']:.2f}, "
        f"{fitted['exponent_at_the_end']:.2f} between the two largest"
        + (f"; the state with {held:.2f}" if held is not None else "")
    )


def _rows(points: Sequence[ScalingPoint]) -> list[tuple[int | float | None, ...]]:
    def mib(held: int | None) -> float | None:
        return None if held is None else held / 2**20

    return [
        (p.size, 1000 * p.cpu_seconds, 1000 * p.seconds, p.rollouts, mib(p.state_bytes))
        for p in points
    ]
