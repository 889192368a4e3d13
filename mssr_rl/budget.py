"""The budget ledger: what a run has spent, counted the same way for every arm.

Pure. Arms stop at the same `rollouts`, never at the same step; rollouts drawn before step 1 to set
up an algorithm are charged, evaluation is listed but free. `step` makes an entry, `trainer` adds it
to the state, `summary` shows the totals.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from mssr_rl.errors import UserError

FREE_PHASES = frozenset({"evaluate", "checkpoint"})  # listed, not charged


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """Running totals. Entries add up with `+`; seconds are wall time."""

    rollouts: int = 0  # charged, initial and discarded ones included
    initial_rollouts: int = 0  # of these, drawn before step 1
    discarded_rollouts: int = 0  # of these, generated but not trained on
    unscorable_rollouts: int = 0  # of these, left out because nothing could score them
    prompts: int = 0  # problems posed
    updates: int = 0  # optimiser updates
    prompt_tokens: int = 0  # image tokens included
    image_tokens: int = 0
    generated_tokens: int = 0
    trained_tokens: int = 0
    evaluation_rollouts: int = 0  # free
    seconds_by_phase: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    def __add__(self, other: "Ledger") -> "Ledger":
        """Both spent: every count and every phase added up."""
        counts = {name: getattr(self, name) + getattr(other, name) for name in COUNTS}
        phases = {**self.seconds_by_phase}
        for phase, spent in other.seconds_by_phase.items():
            phases[phase] = phases.get(phase, 0.0) + spent
        return Ledger(**counts, seconds_by_phase=phases)

    @property
    def seconds(self) -> float:
        """Charged wall time [s]."""
        return sum(s for phase, s in self.seconds_by_phase.items() if phase not in FREE_PHASES)

    @property
    def verifier_seconds(self) -> float:
        """Of these, spent on grading [s]."""
        return self.seconds_by_phase.get("reward", 0.0)

    def marks(self) -> dict[str, float]:
        """The units a curve can be drawn over; the `budget/*` keys of metrics.jsonl."""
        return {
            "rollouts": self.rollouts,
            "prompts": self.prompts,
            "updates": self.updates,
            "generated_tokens": self.generated_tokens,
            "trained_tokens": self.trained_tokens,
            "seconds": self.seconds,
        }

    def as_dict(self) -> dict[str, Any]:
        """Every entry, and the charged seconds, for summary.json and checkpoints."""
        return {
            **{name: getattr(self, name) for name in COUNTS},
            "seconds": self.seconds,
            "seconds_by_phase": dict(self.seconds_by_phase),
        }

    @classmethod
    def from_dict(cls, entries: Mapping[str, Any]) -> "Ledger":
        """What `as_dict` wrote."""
        return cls(**{k: v for k, v in entries.items() if k != "seconds"})


COUNTS = tuple(f.name for f in fields(Ledger) if f.name != "seconds_by_phase")


@dataclass(frozen=True, kw_only=True)
class Bounds(Protocol):
    """What a run may spend, None where nothing bounds it: the config's `budget`, read only."""

    rollouts: int
    updates: int | None
    prompts: int | None
    image_tokens: int | None
    generated_tokens: int | None
    trained_tokens: int | None
    seconds: float | None
    verifier_seconds: float | None
    gpu_seconds: float | None


SOFT = tuple(name for name in Bounds.__annotations__ if name not in ("rollouts", "updates"))


class Coming(NamedTuple):
    """What is known of a step before it."""

    rollouts: int
    updates: int
    gpus: int  # held while it lasts


def exhausted(ledger: Ledger, bounds: Bounds, step: Coming) -> str | None:
    """What leaves no room for one more step, in words; else None.

    Rollouts and updates of a step are known before it: neither bound is ever exceeded. Its tokens
    and seconds are not: the last step may exceed those.
    """
    if ledger.rollouts + step.rollouts > bounds.rollouts:
        return "the budget is spent"
    if bounds.updates is not None and ledger.updates + step.updates > bounds.updates:
        return f"budget.updates={bounds.updates} leaves no room for a step"
    for name in SOFT:
        bound = getattr(bounds, name)
        gpus = name == "gpu_seconds"
        spent = ledger.seconds * step.gpus if gpus else getattr(ledger, name)
        if bound is not None and spent >= bound:
            return f"budget.{name}={bound} is spent"
    return None


def overspent(ledger: Ledger, bounds: Bounds, before: Mapping[str, Any], gpus: int) -> list[str]:
    """Bounds that are no longer those of `before` and lie below what is spent, in words.

    Those of before may: the last step of a run may exceed a bound on tokens or seconds.
    """
    said = []
    for name in Bounds.__annotations__:
        bound = getattr(bounds, name)
        spent = ledger.seconds * gpus if name == "gpu_seconds" else getattr(ledger, name)
        if bound is not None and bound != before.get(name) and bound < spent:
            shown = f"{spent:,}" if isinstance(spent, int) else f"{spent:,.1f}"
            said.append(f"budget.{name}={bound} is below the {shown} that are spent already")
    return said


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """How many whole steps a budget of rollouts buys."""

    steps: int
    left: int  # rollouts that remain unspent: less than a step


def allowance(rollouts: int, per_step: int, initial: int = 0) -> Allowance:
    """Whole steps of `per_step` rollouts after `initial` ones; no ledger may exceed its budget."""
    steps, left = divmod(rollouts - initial, per_step)
    if steps < 1:
        raise UserError(
            f"budget.rollouts={rollouts} does not pay for one step: "
            f"train.rollouts_per_step={per_step}"
            + (f" after {initial} initial rollouts" if initial else "")
            + "; raise the budget or make the steps smaller"
        )
    return Allowance(steps=steps, left=left)
