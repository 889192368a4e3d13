"""A step in the making: what exists of it so far, for whoever has to look at one that broke."""

from dataclasses import dataclass, field

from torch import Tensor

from mssr_rl.advantage import Batch
from mssr_rl.errors import NotFinite
from mssr_rl.run.gather import Gathered
from mssr_rl.run.stopwatch import Clock
from mssr_rl.stability.finite import NonFinite


@dataclass
class StepDraft:
    """Filled in by `step` from the top down."""

    step: int
    clock: Clock = field(default_factory=Clock)
    found: Gathered | None = None
    anchor_BT: Tensor | None = None
    batch: Batch | None = None
    reference_BT: Tensor | None = None
    advantage_BT: Tensor | None = None
    updates: int = 0  # made before it broke
    updated: bool = False  # every update of the step was made


class BrokenStep(NotFinite):
    """A number of a step was no number; none of its later updates was made."""

    def __init__(self, cause: NonFinite, draft: StepDraft) -> None:
        super().__init__(f"step {draft.step}: {cause}")
        self.cause = cause
        self.draft = draft
