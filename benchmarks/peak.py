"""How near rollout and update come to the machine's float32 peak for matrix products.

    python -m benchmarks peak

The peak is the fastest matrix product measured in the same run: 2,000 × 2,000 times 2,000 × 2,000,
and the tiny model's own shapes for the numbers of rows that occur. Operations of rollout and update
are counted from the model's shape (`flops`), and divided by processor seconds of one thread, so
that other processes matter little. Each work has one turn in every batch; medians without the first
batch. The rest of the time is spent on what is not a matrix product: norms, softmax, the optimiser,
copies of keys and values, Python.
"""

import time
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import median
from typing import Any, NamedTuple

import torch

from benchmarks import flops, workloads
from benchmarks.command import BenchmarkReport, Parser, positive, say
from benchmarks.measure import Cost, Stopwatch, typical
from benchmarks.table import table
from mssr_rl.engine import make_engine
from mssr_rl.engine_protocol import Engine, Rollouts, Sampling, UpdatePlan
from mssr_rl.loss import Loss
from mssr_rl.models.encode import PromptEncoder
from mssr_rl.models.load import load_model, load_processor

SIDE = 2000
PRODUCT = "product"  # the names of works that may be the peak begin with this
AT_LEAST = 0.5  # seconds that a batch of products takes at least
HEADER = ("what", "GFLOP", "CPU s", "GFLOP/s", "share of peak")


class BatchCost(NamedTuple):
    """The operations and the cost of one batch of a work."""

    operations: float
    cost: Cost


class Rate(NamedTuple):
    """The median rate of one work over its batches."""

    what: str
    operations: float  # of one batch
    cpu_seconds: float
    per_second: float  # operations in one processor second
    share: float  # of the peak
    quiet: bool


def parser() -> Parser:
    """Return the parser of this benchmark's arguments."""
    arguments = Parser("peak", __doc__)
    arguments.add_argument("--batches", type=positive, default=7, help="of everything, that count")
    return arguments


def measured(given: Namespace) -> BenchmarkReport:
    """Measure matrix products, rollouts and updates in turn."""
    torch.set_num_threads(1)
    engine = make_engine(workloads.laptop("engine.threads=1"))
    works = {**_products(), **_engine_works(engine)}
    done: dict[str, list[BatchCost]] = {name: [] for name in works}
    batches = 1 if given.short else given.batches
    for batch in range(batches + 1):
        say(f"batch {batch} of {batches}")
        for name, work in works.items():
            batch_done = work(batch)
            done[name] += batch_done if batch else []
    engine.close()
    rates = _rates(done)
    return BenchmarkReport(_text(rates), [rate._asdict() for rate in rates])


# The works by name. Each takes the number of a batch and returns the costs of its parts.
Works = Mapping[str, Callable[[int], list[BatchCost]]]


def _products() -> Works:
    """Return the works that are matrix products: a large one, and the model's linear maps."""
    text = flops.Text.of(load_model("tiny", "cpu", "float32").config)
    shapes = [(SIDE, SIDE, SIDE)]
    for rows in (128, 384):  # rollouts sampled together; tokens of a micro-batch
        shapes += [(rows, text.D, text.D), (rows, text.D, text.F), (rows, text.D, text.V)]
    return {f"{PRODUCT} {m:,} × {k:,} × {n:,}": partial(_product, m, k, n) for m, k, n in shapes}


def _product(rows: int, inner: int, columns: int, _: int) -> list[BatchCost]:
    left, right, out = (torch.ones(s) for s in ((rows, inner), (inner, columns), (rows, columns)))
    watch, count, begun = Stopwatch(), 0, time.process_time()
    while time.process_time() - begun < AT_LEAST:
        for _ in range(max(1, 10**8 // (rows * inner * columns))):
            torch.mm(left, right, out=out)
            count += 1
    return [BatchCost(2.0 * rows * inner * columns * count, watch.read())]


def _engine_works(engine: Engine) -> Works:
    """Return a rollout and an update as works, in groups and with single rollouts."""
    encoder = PromptEncoder(load_processor("tiny"), 1024)
    config = load_model("tiny", "cpu", "float32").config
    works: dict[str, Callable[[int], list[BatchCost]]] = {}
    for group in (workloads.GROUP, 1):
        pair = _RolloutAndUpdate(engine, config, encoder, group)
        shape = f"{workloads.SAMPLES // group} × {group}"
        works[f"rollout, {shape}"] = pair.rollout
        works[f"update, {shape}"] = pair.update
    return works


class _RolloutAndUpdate:
    """A rollout, and an update that trains on the same rollouts."""

    def __init__(self, engine: Engine, config: Any, encoder: PromptEncoder, group: int) -> None:
        self.engine, self.config, self.encoder, self.group = engine, config, encoder, group
        self.rollouts: Rollouts | None = None

    def rollout(self, batch: int) -> list[BatchCost]:
        problems = workloads.posed(batch, workloads.SAMPLES // self.group)
        sampling = Sampling(max_response_tokens=workloads.LIMIT)
        watch = Stopwatch()
        self.rollouts = self.engine.rollout(problems, self.group, sampling, batch)
        cost = watch.read()
        return [BatchCost(flops.forward(self.config, work_of(self.rollouts, self.encoder)), cost)]

    def update(self, batch: int) -> list[BatchCost]:
        assert self.rollouts is not None
        shape, loss = self.rollouts.token_BT.shape, Loss(kl_coef=workloads.KL)
        plan = UpdatePlan(loss=loss, samples_per_update=workloads.PER_UPDATE, seed=batch)
        advantage_BT = torch.randn(shape, generator=torch.Generator().manual_seed(batch))
        watch = Stopwatch()
        self.engine.update(self.rollouts, advantage_BT, self.rollouts.logprob_BT, plan)
        cost = watch.read()
        return [BatchCost(flops.update(self.config, work_of(self.rollouts, self.encoder)), cost)]


def work_of(rollouts: Rollouts, encoder: PromptEncoder) -> flops.Work:
    """Return the numbers of tokens and patches in the rollouts."""
    prompts = encoder.block(rollouts.problems)
    lengths = rollouts.mask_BT.sum(1).int().view(-1, rollouts.group_size)
    return flops.Work(
        prompt_P=prompts.mask_PL.sum(1).tolist(),
        patches_N=[p.patches for p in prompts.pictures for _ in p.slot_NK],
        response_PG=lengths.tolist(),
    )


def _rates(done: Mapping[str, Sequence[BatchCost]]) -> list[Rate]:
    """Return the rate of every work, in the order of `done`."""
    speeds = {
        what: median(one.operations / one.cost.cpu_seconds for one in batches)
        for what, batches in done.items()
    }
    peak = max(speed for what, speed in speeds.items() if what.startswith(PRODUCT))
    return [_rate(what, batches, speeds[what], peak) for what, batches in done.items()]


def _rate(what: str, batches: Sequence[BatchCost], speed: float, peak: float) -> Rate:
    spent = typical([one.cost for one in batches])
    return Rate(
        what=what,
        operations=median(one.operations for one in batches),
        cpu_seconds=spent.cpu_seconds,
        per_second=speed,
        share=speed / peak,
        quiet=spent.quiet,
    )


def _text(rates: Sequence[Rate]) -> str:
    giga = 1e9
    rows = [
        (r.what, r.operations / giga, r.cpu_seconds, r.per_second / giga, f"{r.share:.0%}")
        for r in rates
    ]
    parts = [table(HEADER, rows)]
    if not all(rate.quiet for rate in rates):
        parts.append("Measured while other processes were at work; shares suffer less than speeds.")
    return "\n\n".join(parts)
