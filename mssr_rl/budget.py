"""The budget ledger: what a run has spent, counted in the same way for every arm. Pure functions.

Arms stop at the same number of rollouts, not at the same step. Initial rollouts before step 1 are
charged. Evaluation is listed, but not charged. `step` makes an entry, `trainer` adds it to the
state, and `summary` shows the totals.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from mssr_rl.errors import UserError

FREE_PHASES = frozenset({"evaluate", "checkpoint"})  # listed, not charged


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """Running totals of a run. Add entries with `+`. Seconds are wall time."""

    rollouts: int = 0  # charged, including initial and discarded ones
    initial_rollouts: int = 0  # of these: drawn before step 1
    discarded_rollouts: int = 0  # of these: generated, but not trained on
    unscorable_rollouts: int = 0  # of these: left out, because they could not be scored
    prompts: int = 0  # problems posed
    updates: int = 0  # optimiser updates
    prompt_tokens: int = 0  # image tokens included
    image_tokens: int = 0
    generated_tokens: int = 0
    trained_tokens: int = 0
    evaluation_rollouts: int = 0  # free
    seconds_by_phase: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    def __add__(self, other: "Ledger") -> "Ledger":
        """Return the sum of both ledgers: every count and every phase added up."""
        counts = {name: getattr(self, name) + getattr(other, name) for name in COUNTS}
        phases = {**self.seconds_by_phase}
        for phase, spent in other.seconds_by_phase.items():
            phases[phase] = phases.get(phase, 0.0) + spent
        return Ledger(**counts, seconds_by_phase=phases)

    @property
    def seconds(self) -> float:
        """The wall time that is charged to the budget [s]."""
        return sum(s for phase, s in self.seconds_by_phase.items() if phase not in FREE_PHASES)

    @property
    def verifier_seconds(self) -> float:
        """The wall time that was spent on grading [s]; it is part of `seconds`."""
        return self.seconds_by_phase.get("reward", 0.0)

    def marks(self) -> dict[str, float]:
        """Return the `budget/*` entries of metrics.jsonl, which are the x axes of curves."""
        return {
            "rollouts": self.rollouts,
            "prompts": self.prompts,
            "updates": self.updates,
            "generated_tokens": self.generated_tokens,
            "trained_tokens": self.trained_tokens,
            "seconds": self.seconds,
        }

    def as_dict(self) -> dict[str, Any]:
        """Return every entry and the charged seconds, for summary.json and checkpoints."""
        return {
            **{name: getattr(self, name) for name in COUNTS},
            "seconds": self.seconds,
            "seconds_by_phase": dict(self.seconds_by_phase),
        }

    @classmethod
    def from_dict(cls, entries: Mapping[str, Any]) -> "Ledger":
        """Return the ledger from the entries that `as_dict` made of it."""
        return cls(**{k: v for k, v in entries.items() if k != "seconds"})


COUNTS = tuple(f.name for f in fields(Ledger) if f.name != "seconds_by_phase")


@dataclass(frozen=True, kw_only=True)
class Bounds(Protocol):
    """The bounds of a run: the config's `budget`. None means no bound."""

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
    """The figures of the next step that are known before it starts."""

    rollouts: int
    updates: int
    gpus: int  # GPUs that the step uses


def exhausted(ledger: Ledger, bounds: Bounds, step: Coming) -> str | None:
    """Return the reason why the budget does not allow one more step; None if it does.

    The rollouts and updates of a step are known before it starts, so their bounds are never
    exceeded. Its tokens and seconds are not known, so the last step may exceed their bounds.
    """
    if ledger.rollouts + step.rollouts > bounds.rollouts:
        return "the budget is spent"
    if bounds.updates is not None and ledger.updates + step.updates > bounds.updates:
        return f"budget.updates={bounds.updates} is too small for one step"
    for name in SOFT:
        bound = getattr(bounds, name)
        gpus = name == "gpu_seconds"
        spent = ledger.seconds * step.gpus if gpus else getattr(ledger, name)
        if bound is not None and spent >= bound:
            return f"budget.{name}={bound} is spent"
    return None


def overspent(ledger: Ledger, bounds: Bounds, before: Mapping[str, Any], gpus: int) -> list[str]:
    """Return sentences on changed bounds that are below what the run has already spent.

    `before` holds the old bounds. An unchanged bound may be exceeded, because the last step of a
    run may exceed its bound on tokens or seconds.
    """
    sentences = []
    for name in Bounds.__annotations__:
        bound = getattr(bounds, name)
        spent = ledger.seconds * gpus if name == "gpu_seconds" else getattr(ledger, name)
        if bound is not None and bound != before.get(name) and bound < spent:
            shown = f"{spent:,}" if isinstance(spent, int) else f"{spent:,.1f}"
            sentences.append(f"budget.{name}={bound} is below the {shown} that are spent already")
    return sentences


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """The number of whole steps in a budget of rollouts."""

    steps: int
    left: int  # rollouts that stay unspent, too few for a step


def allowance(rollouts: int, per_step: int, initial: int = 0, greedy: int = 0) -> Allowance:
    """Return how many steps of `per_step` rollouts fit the budget after `initial` rollouts.

    Each step has `greedy` more, which are not trained on. Raises `UserError` if not even one step
    fits.
    """
    steps, left = divmod(rollouts - initial, per_step + greedy)
    if steps < 1:
        raise UserError(
            f"budget.rollouts={rollouts} is too small for one step: "
            f"train.rollouts_per_step={per_step}"
            + (f" and {greedy} greedy ones" if greedy else "")
            + (f" after {initial} initial rollouts" if initial else "")
            + "; raise the budget or make the steps smaller"
        )
    return Allowance(steps=steps, left=left)
