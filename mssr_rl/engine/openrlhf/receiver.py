"""Receive all new weights in a vLLM worker, with one call for all of them."""

from collections.abc import Sequence
from typing import Any

from openrlhf.trainer.ray.vllm_worker_wrap import WorkerWrap


class Receiver(WorkerWrap):  # type: ignore[misc]
    """OpenRLHF's extension of a vLLM worker, with a method that receives many weights."""

    def receive_weights(self, told: Sequence[tuple[str, Any, Any]]) -> None:
        """Receive and load weights in the order in which they are sent.

        `told` is the (name, dtype, shape) of each weight.
        """
        for name, dtype, shape in told:
            self.update_weight(name, dtype, shape)
