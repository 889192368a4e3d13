"""vLLM's side of new weights, inside its engine core: OpenRLHF's, told of all of them at once."""

from collections.abc import Sequence
from typing import Any

from openrlhf.trainer.ray.vllm_worker_wrap import WorkerWrap


class Receiver(WorkerWrap):  # type: ignore[misc]
    """What vLLM's worker can do more."""

    def receive_weights(self, told: Sequence[tuple[str, Any, Any]]) -> None:
        """Receive and load parameters one behind the other, in the sender's order."""
        for name, dtype, shape in told:
            self.update_weight(name, dtype, shape)
