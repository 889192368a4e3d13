"""The intermediate results of one step, so that a broken step can be saved and examined."""

from dataclasses import dataclass, field

from torch import Tensor

from mssr_rl.advantage import Batch
from mssr_rl.errors import NotFinite
from mssr_rl.run.gather import Gathered
from mssr_rl.run.stopwatch import Clock
from mssr_rl.stability.finite import NonFinite


@dataclass
class StepDraft:
    """The results of a step so far; `step` fills in the fields from top to bottom."""

    step: int
    clock: Clock = field(default_factory=Clock)
    found: Gathered | None = None
    anchor_BTK: Tensor | None = None
    batch: Batch | None = None
    reference_BT: Tensor | None = None
    advantage_BT: Tensor | None = None
    updates: int = 0  # made before it broke
    updated: bool = False  # every update of the step was made


class BrokenStep(NotFinite):
    """Raised when NaN or infinity appears in a step. The step's remaining updates are skipped."""

    def __init__(self, cause: NonFinite, draft: StepDraft) -> None:
        super().__init__(f"step {draft.step}: {cause}")
        self.cause = cause
        self.draft = draft
