"""Records batches of a run for the lens: `lens/step_<n>.jsonl`, one line per batch.

A line holds the inputs of an algorithm, and what a person wants to see: question, pictures, answer
and tokens. step_<n>.safetensors holds the algorithm's state before the step, so that the lens
computes exactly the advantages that the run trained on.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save_file
from torch import Tensor

from mssr_rl import files
from mssr_rl.advantage import Batch, state_tensors
from mssr_rl.run.samples import Sample, write_pictures

FOLDER = "lens"


def is_due(every: int, step: int) -> bool:
    """Return whether a step is recorded: step 1, and every step divisible by `every`."""
    return every > 0 and (step == 1 or step % every == 0)


class RecordedStep(NamedTuple):
    """The batch and the rollouts of a step, ready to be written."""

    batch: Batch
    token_BT: Tensor
    mask_BT: Tensor  # 1 on all response tokens, also on those without loss
    samples: Sequence[Sample]  # B
    size: int  # N training problems

    def numbers(self) -> dict[str, Any]:
        """Return the inputs of the algorithm in this step, as plain values for JSON."""
        batch = self.batch
        ragged = {"logprob": batch.logprob_BT, "logprob_ref": batch.logprob_ref_BT}
        ragged["entropy"] = batch.entropy_BT
        if not torch.equal(batch.mask_BT, self.mask_BT):
            ragged["loss_mask"] = batch.mask_BT.int()
        return {
            "problem": [sample.problem.key for sample in self.samples],
            "row": batch.problem_B.tolist(),
            "problems": self.size,
            **({"group_size": batch.group_size} if batch.group_B is None else {}),
            "response_limit": batch.response_limit,
            "kl_step": batch.kl_step,
            **({} if batch.group_B is None else {"group": batch.group_B.tolist()}),
            "reward": batch.reward_B.tolist(),
            **({} if batch.greedy_B is None else {"greedy": batch.greedy_B.tolist()}),
            **{name: self._rows(x_BT) for name, x_BT in ragged.items() if x_BT is not None},
        }

    def story(self, run_folder: Path) -> dict[str, Any]:
        """Return what a person reads: question, answer, response, tokens; one entry per rollout."""
        return {
            "token": self._rows(self.token_BT),
            "prompt": [sample.problem.prompt for sample in self.samples],
            "answer": [sample.problem.answer for sample in self.samples],
            "response": [sample.response for sample in self.samples],
            "extracted": [sample.graded.verdict.extracted for sample in self.samples],
            "reason": [sample.graded.verdict.reason for sample in self.samples],
            "images": [write_pictures(sample.problem, run_folder) for sample in self.samples],
        }

    def _rows(self, x_BT: Tensor) -> list[list[float]]:
        lengths = self.mask_BT.sum(1).long().tolist()
        return [_short(row[:length]) for row, length in zip(x_BT, lengths, strict=True)]


def record_step(run_folder: Path, step: int, recorded: RecordedStep, state: Any) -> Path:
    """Write one step; `state` is the algorithm's state before it. Return the file's path."""
    folder = run_folder / FOLDER
    folder.mkdir(exist_ok=True)
    tensors = {name: tensor.contiguous() for name, tensor in state_tensors(state).items()}
    save_file(tensors, folder / f"step_{step}.safetensors")
    path = folder / f"step_{step}.jsonl"
    line = json.dumps({"step": step, **recorded.numbers(), **recorded.story(run_folder)})
    files.write_bytes(path, line.encode() + b"\n")
    return path


def _short(row: Tensor) -> list[float]:
    # Nine digits distinguish any two float32 numbers; printed as float64 they have twice as many.
    return [x if isinstance(x, int) else float(f"{x:.9g}") for x in row.tolist()]
