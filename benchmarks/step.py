"""A whole training step compared with TRL's: samples per second, processor seconds, memory.

    python3.11 -m venv build/trl
    build/trl/bin/pip install -r requirements.txt -r benchmarks/requirements.txt
    python -m benchmarks step

A step is rollout, grading, log-probabilities of policy and reference, and 4 updates of 64 of 256
samples, with logging, metrics and ledger on. Ours is the trainer that `mssr_rl train` runs. The
other is TRL's GRPOTrainer or RLOOTrainer in its fastest setting (`sides.trl_step`). Both have the
same tiny Qwen2.5-VL, mini problems, verifier, response limit, temperature 1 and float32, and the KL
to the initial model. Group algorithms have 32 problems × 8 samples. Single-rollout algorithms have
256 problems × 1; TRL has none, so they are compared with TRL's groups at as many samples.

With --model, a text model is trained on sums in words by the general implementation, at natural
lengths only. Without it, responses first have their natural lengths, up to 64 tokens, and then 48
tokens each, from a model that cannot end a response. Every side has its own process, and they take
turns, step by step. Wall time is measured on all cores, processor time in a second pass with one
thread. The figures are medians of steps, without the first and without those that other processes
disturbed (`measure`). Memory is the peak of a process and its children.
"""

import tempfile
from argparse import Namespace
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import peers, workloads
from benchmarks.command import BenchmarkReport, Parser, positive
from benchmarks.measure import cores
from benchmarks.peers import Call, Side
from benchmarks.table import Cell, table
from mssr_rl.errors import RunFailed, UserError

# Our algorithm: TRL's; all others are compared with its GRPO.
RIVAL = {"grpo": "grpo", "rloo": "rloo"}
SINGLE = ("reinforce_pp", "mvsr", "mssr")
FORCED = 48  # tokens
SIDES = "benchmarks.sides"
TRL = Path("build/trl/bin/python")
HEADER = (
    *("arm", "samples/s", "TRL", "ratio"),
    *("samples per CPU s, 1 thread", "TRL", "ratio"),
    *("peak MiB", "TRL", "ratio"),
)
EXPLAINED = (
    "A single-rollout step reads as many problems as it has rollouts, a group step one for every "
    "{group}, so at equal rollouts it costs {wall:.2f} times the wall time ({cpu:.2f} times the "
    "processor time) of a group step here; longer responses shrink that."
)


class Lengths(NamedTuple):
    """A setting for the lengths of responses: the model and the limit that give them."""

    name: str
    model: str
    limit: int  # tokens
    env: str = workloads.ENV


class StepSpeed(NamedTuple):
    """The speed and the peak memory of one side in one setting."""

    side: str  # ours or TRL
    arm: str
    lengths: str
    threads: int
    samples_per_second: float
    samples_per_cpu_second: float
    peak_rss_mib: float
    seconds: float
    cpu_seconds: float
    tokens_per_sample: float
    batches: int
    quiet: bool


def parser() -> Parser:
    """Return the parser of this benchmark's arguments."""
    arguments = Parser("step", __doc__)
    arguments.add_argument("--trl", type=Path, default=TRL, metavar="PYTHON", help="that has TRL")
    arguments.add_argument(
        "--batches", type=positive, default=7, help="steps that count, each side"
    )
    arms = ",".join((*RIVAL, *SINGLE))
    arguments.add_argument("--arms", default=arms, help=f"of ours, separated by commas: {arms}")
    arguments.add_argument(
        "--model", type=Path, metavar="FOLDER", help="a text model, on text; null: the tiny one"
    )
    return arguments


def measured(given: Namespace) -> BenchmarkReport:
    """Measure every side for every length setting, with one thread and with all cores."""
    arms = _arms(given.arms)
    if not given.trl.exists():
        raise UserError(
            f"{given.trl} is not a Python with TRL; docs/benchmarks.md says how to make one, and "
            "--trl names another"
        )
    speeds: list[StepSpeed] = []
    with tempfile.TemporaryDirectory() as folder:
        kinds = _lengths(Path(folder)) if given.model is None else _of_text(given.model)
        kinds = kinds[: 1 if given.short else None]
        for lengths, threads in product(kinds, (1,) if given.short else sorted({1, cores()})):
            calls = list(_calls(arms, lengths, threads, given.trl))
            with peers.seated(calls) as sides:
                peers.rounds(sides, 2 if given.short else given.batches)
                speeds += [_speed(side, lengths.name, threads) for side in sides]
    return BenchmarkReport(_text(speeds), [speed._asdict() for speed in speeds])


def _arms(words: str) -> list[str]:
    arms = words.split(",")
    for arm in arms:
        if arm not in RIVAL and arm not in SINGLE:
            raise UserError(f"no arm {arm!r} here; choose from {', '.join((*RIVAL, *SINGLE))}")
    return arms


def _lengths(folder: Path) -> list[Lengths]:
    return [
        Lengths("natural lengths", "tiny", workloads.LIMIT),
        Lengths(f"{FORCED} tokens each", workloads.endless(folder / "endless"), FORCED),
    ]


def _of_text(folder: Path) -> list[Lengths]:
    """Return the length setting of a text model, which the general implementation trains."""
    return [Lengths("natural lengths, text", str(folder), workloads.LIMIT, workloads.TEXT_ENV)]


def _calls(arms: Sequence[str], lengths: Lengths, threads: int, trl: Path) -> Iterator[Call]:
    """Yield the calls of our sides, each followed by that of the TRL side it is compared with.

    So both are measured during the same minutes. A TRL side is started only once.
    """
    environment = {"OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
    told = {"threads": threads, "model": lengths.model, "limit": lengths.limit, "env": lengths.env}
    wanted = {_rival(arm) for arm in arms}
    for arm in arms:
        yield Call(
            f"ours {arm}",
            f"{SIDES}.ours_step",
            {"words": _words(arm, told), "env": told["env"]},
            environment={**environment, **peers.LARGE_PAGES},
        )
        if (rival := _rival(arm)) in wanted:
            wanted.remove(rival)
            yield Call(
                f"TRL {rival}", f"{SIDES}.trl_step", {"algo": rival, **told}, str(trl), environment
            )


def _rival(arm: str) -> str:
    return RIVAL.get(arm, "grpo")


def _words(arm: str, told: dict[str, Any]) -> list[str]:
    return [
        f"algo={arm}",
        f"algo.kl_coef={workloads.KL}",
        f"model.path={told['model']}",
        f"engine.threads={told['threads']}",
        f"rollout.max_response_tokens={told['limit']}",
        f"rollout.group_size={1 if arm in SINGLE else workloads.GROUP}",
        f"train.rollouts_per_step={workloads.SAMPLES}",
        f"train.samples_per_update={workloads.PER_UPDATE}",
        f"train.lr={workloads.LR}",
    ]


def _speed(side: Side, lengths: str, threads: int) -> StepSpeed:
    _refuse_unequal(side)
    spent, last = peers.cost(side), side.records[-1]
    whose, _, arm = side.name.partition(" ")
    return StepSpeed(
        side=whose,
        arm=arm,
        lengths=lengths,
        threads=threads,
        samples_per_second=workloads.SAMPLES / spent.seconds,
        samples_per_cpu_second=workloads.SAMPLES / spent.cpu_seconds,
        peak_rss_mib=last["peak_rss_mib"],
        seconds=spent.seconds,
        cpu_seconds=spent.cpu_seconds,
        tokens_per_sample=sum(r["tokens"] for r in side.records) / len(side.records),
        batches=spent.batches,
        quiet=spent.quiet,
    )


def _refuse_unequal(side: Side) -> None:
    """Raise RunFailed if a side did not make the planned updates, samples and pictures.

    A side that did less work would look faster.
    """
    samples, updates = workloads.SAMPLES, workloads.SAMPLES // workloads.PER_UPDATE
    for record in side.records:
        did = (record["updates"], record["samples"])
        if did != (updates, samples):
            raise RunFailed(
                f"{side.name} made {did[0]} updates of {did[1]} samples, not {updates} of {samples}"
            )
        if record.get("pictures", samples) < samples:
            raise RunFailed(
                f"{side.name}'s model saw {record['pictures']} pictures in a step of {samples} "
                "samples"
            )


def _text(speeds: Sequence[StepSpeed]) -> str:
    parts, most = [], max(speed.threads for speed in speeds)
    for lengths in dict.fromkeys(speed.lengths for speed in speeds):
        here = [speed for speed in speeds if speed.lengths == lengths]
        arms = dict.fromkeys(speed.arm for speed in here if speed.side == "ours")
        parts.append(f"{lengths}, {workloads.SAMPLES} samples a step, {_threads(most)}")
        parts.append(table(HEADER, [_row(here, arm) for arm in arms]))
        parts += [*_single_against_group(here), *_caveats(here)]
    return "\n\n".join(parts)


def _row(speeds: Sequence[StepSpeed], arm: str) -> list[Cell]:
    def pair(field: str, threads: int) -> list[Cell]:
        ours = getattr(_pick(speeds, "ours", arm, threads), field)
        theirs = getattr(_pick(speeds, "TRL", _rival(arm), threads), field)
        return [ours, theirs, ours / theirs]

    most = max(speed.threads for speed in speeds)
    wall, cpu = pair("samples_per_second", most), pair("samples_per_cpu_second", 1)
    return [arm, *wall, *cpu, *pair("peak_rss_mib", most)]


def _pick(speeds: Sequence[StepSpeed], side: str, arm: str, threads: int) -> StepSpeed:
    return next(s for s in speeds if (s.side, s.arm, s.threads) == (side, arm, threads))


def _single_against_group(speeds: Sequence[StepSpeed]) -> list[str]:
    """Return a sentence that compares single-rollout with group algorithms, in a list.

    The list is empty if one of the two kinds was not measured.
    """

    def mean(arms: Sequence[str], field: str, threads: int) -> float | None:
        ours = (s for s in speeds if s.side == "ours" and s.threads == threads and s.arm in arms)
        found = [float(getattr(speed, field)) for speed in ours]
        return sum(found) / len(found) if found else None

    def ratio(field: str, threads: int) -> float | None:
        single, group = (mean(arms, field, threads) for arms in (SINGLE, tuple(RIVAL)))
        return single / group if single and group else None

    wall, cpu = ratio("seconds", max(s.threads for s in speeds)), ratio("cpu_seconds", 1)
    if wall is None or cpu is None:
        return []
    return [EXPLAINED.format(group=workloads.GROUP, wall=wall, cpu=cpu)]


def _caveats(speeds: Sequence[StepSpeed]) -> list[str]:
    busy = [f"{s.side} {s.arm} ({_threads(s.threads)})" for s in speeds if not s.quiet]
    return [f"Measured while other processes were at work: {', '.join(busy)}."] if busy else []


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"
