"""The budget that the arms spent, and whether they ran under equal conditions. Pure functions.

Counts are means over an arm's runs. Wall time is listed separately, because only wall time differs
when a comparison is repeated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mssr_rl.budget import SOFT
from mssr_rl.comparison.accuracy import average
from mssr_rl.comparison.evidence import ComparedRun, counted

COUNTS = (
    "rollouts", "initial_rollouts", "discarded_rollouts", "prompts", "updates", "prompt_tokens",
    "image_tokens", "generated_tokens", "trained_tokens", "evaluation_rollouts",
)  # fmt: skip
TIMES = ("seconds", "verifier_seconds", "gpu_seconds")
# Entries of run.json that must be equal in all compared runs.
SAME = {
    "training problems": ("data", "train", "fingerprint"),
    "validation problems": ("data", "val", "fingerprint"),
    "test problems": ("data", "test", "fingerprint"),
    "initial weights": ("model", "hash"),
    "torch": ("versions", "torch"),
    "mssr_rl": ("versions", "mssr_rl"),
    "revision": ("git", "revision"),
    "processor": ("machine", "processor"),
}
PLANNED = {"rollouts": "rollouts", "updates": "updates in all"}  # ledger -> fairness row
UNPLANNED = tuple(f"budget.{name}" for name in SOFT)


@dataclass(frozen=True)
class WallTime:
    """Mean seconds of one run; None where nothing is known."""

    seconds: float | None
    verifier_seconds: float | None
    gpu_seconds: float | None
    by_phase: dict[str, float | None]


@dataclass(frozen=True)
class LedgerRow:
    """The mean budget that one run of an arm spent."""

    arm: str
    runs: int
    counts: dict[str, float | None]  # by COUNTS
    seconds: WallTime


@dataclass(frozen=True)
class FactRow:
    """An entry that the runs themselves recorded; texts by arm."""

    name: str
    values: dict[str, str]
    same: bool
    note: str


def ledger(runs: Sequence[ComparedRun], arms: Sequence[str]) -> tuple[LedgerRow, ...]:
    """Return one row per arm with the mean budget that one of its runs spent."""
    return tuple(_spent(arm, [run.summary["ledger"] for run in _ended(runs, arm)]) for arm in arms)


def as_run(
    runs: Sequence[ComparedRun], arms: Sequence[str], planned: Mapping[str, Mapping[str, Any]]
) -> tuple[FactRow, ...]:
    """Return entries that the runs recorded, such as data and versions, and whether all arms agree.

    `planned` is {row name: {arm: value}} of the fairness check, which computed each arm's budget
    before the start.
    """
    rows = [_fact(name, path, runs, arms) for name, path in SAME.items()]
    rows += [_count(name, runs, arms, planned) for name in PLANNED]
    return (*rows, _order(runs, arms))


def _ended(runs: Sequence[ComparedRun], arm: str) -> list[ComparedRun]:
    return [run for run in counted(runs, arm) if "ledger" in run.summary]


def _spent(arm: str, ledgers: Sequence[Mapping[str, Any]]) -> LedgerRow:
    phases = sorted({phase for one in ledgers for phase in one["seconds_by_phase"]})
    by_phase = {
        phase: average([one["seconds_by_phase"].get(phase, 0.0) for one in ledgers])
        for phase in phases
    }
    times = {name: average([one[name] for one in ledgers]) for name in TIMES}
    return LedgerRow(
        arm=arm,
        runs=len(ledgers),
        counts={name: average([one[name] for one in ledgers]) for name in COUNTS},
        seconds=WallTime(**times, by_phase=by_phase),
    )


def _fact(
    name: str, path: Sequence[str], runs: Sequence[ComparedRun], arms: Sequence[str]
) -> FactRow:
    values = {arm: _distinct([_inside(run, path) for run in counted(runs, arm)]) for arm in arms}
    return _compared(name, values)


def _count(
    name: str,
    runs: Sequence[ComparedRun],
    arms: Sequence[str],
    planned: Mapping[str, Mapping[str, Any]],
) -> FactRow:
    """Return the row of one spent count of the finished runs, and whether the arms agree.

    Collapsed runs spend less, so they are not included. A difference between arms is allowed if it
    was planned. It is also allowed if a budget of tokens or seconds ends the runs, because then the
    number of steps cannot be planned. An algorithm that drops groups makes fewer updates with the
    same rollouts; then the note says so.
    """
    plan = PLANNED[name]
    ledgers = {
        arm: [run.summary["ledger"] for run in _ended(runs, arm) if run.state == "done"]
        for arm in arms
    }
    values = {arm: _distinct([one[name] for one in some]) for arm, some in ledgers.items()}
    row = _compared(f"{name} spent", values)
    other = any(value for key, row in planned.items() for value in row.values() if key in UNPLANNED)
    as_planned = other or all(
        one[name] == planned.get(plan, {}).get(arm) for arm, some in ledgers.items() for one in some
    )
    if not row.same and as_planned:
        return replace(row, same=True, note="as planned")
    dropped = any(one["discarded_rollouts"] > 0 for some in ledgers.values() for one in some)
    return row if row.same or not dropped else replace(row, note="DIFFERS: rollouts were dropped")


def _order(runs: Sequence[ComparedRun], arms: Sequence[str]) -> FactRow:
    """Return the row on the order of problems, and whether this order depends only on the seed."""
    values = {}
    for arm in arms:
        orders = [f"{r.seed}:{str(_inside(r, ('problem_order',)))[:6]}" for r in counted(runs, arm)]
        values[arm] = [" ".join(orders)] if orders else []
    row = _compared("order of problems, by seed", values)
    by_seed: dict[int, set[str]] = {}
    for run in (run for arm in arms for run in counted(runs, arm)):
        by_seed.setdefault(run.seed, set()).add(str(_inside(run, ("problem_order",))))
    same = all(len(orders) == 1 for orders in by_seed.values())
    return replace(row, same=same, note="the same" if same else "DIFFERS")


def _compared(name: str, values: Mapping[str, Sequence[str]]) -> FactRow:
    all_of_them = {value for some in values.values() for value in some}
    shown = {arm: " / ".join(some) or "–" for arm, some in values.items()}
    same = len(all_of_them) <= 1
    return FactRow(name, shown, same, "the same" if same else "DIFFERS")


def _distinct(values: Sequence[Any]) -> list[str]:
    return sorted({str(value)[:12] for value in values})


def _inside(run: ComparedRun, path: Sequence[str]) -> Any:
    entry: Any = run.files.run if run.files else {}
    for key in path:
        entry = entry.get(key) if isinstance(entry, Mapping) else None
    return entry
