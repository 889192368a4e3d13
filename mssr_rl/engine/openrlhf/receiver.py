"""Receive new weights inside vLLM's engine core, all of them after one announcement."""

from collections.abc import Sequence
from typing import Any

from openrlhf.trainer.ray.vllm_worker_wrap import WorkerWrap


class Receiver(WorkerWrap):  # type: ignore[misc]
    """OpenRLHF's extension of vLLM's worker, with a method that receives many weights."""

    def receive_weights(self, told: Sequence[tuple[str, Any, Any]]) -> None:
        """Receive and load parameters one after the other, in the sender's order."""
        for name, dtype, shape in told:
            self.update_weight(name, dtype, shape)
