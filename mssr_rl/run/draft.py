"""A step in the making: what exists of it so far, for whoever has to look at one that broke."""

from dataclasses import dataclass, field

from mssr_rl.advantage import Batch, Step
from mssr_rl.engine.base import Rollouts
from mssr_rl.errors import Collapsed
from mssr_rl.finite import NonFinite
from mssr_rl.run.clock import Clock
from mssr_rl.run.samples import Sample


@dataclass
class Draft:
    """Filled in by `step` from the top down."""

    step: int
    rows: list[int]  # P problems, as rows of the training set
    clock: Clock = field(default_factory=Clock)
    rollouts: Rollouts | None = None
    samples: list[Sample] = field(default_factory=list)  # B
    batch: Batch | None = None
    credit: Step | None = None
    updated: bool = False  # every update of the step was made


class BrokenStep(Collapsed):
    """A number of a step was no number; none of its later updates was made."""

    def __init__(self, cause: NonFinite, draft: Draft) -> None:
        super().__init__(f"step {draft.step}: {cause}")
        self.cause = cause
        self.draft = draft
