"""Keeps a broken step: its batch, and the policy at the moment when NaN or infinity appeared.

    faults/step_<n>/
        policy/, optimiser ..., algorithm.safetensors, state.json     as in a checkpoint
        batch.safetensors       tokens, masks, log-probabilities, rewards, advantages
        batch.json              responses, problems, and which tensor was bad
        manifest.json

Like a checkpoint, it is written to a temporary folder and then renamed. `replay` reads it.
"""

from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from mssr_rl import files, untrusted
from mssr_rl.engine_protocol import Engine, Rollouts
from mssr_rl.errors import UserError
from mssr_rl.run import checkpoint
from mssr_rl.run.checkpoint import TrainState
from mssr_rl.run.draft import BrokenStep, StepDraft

KEPT = (
    3  # broken steps kept per run, because each holds a policy; fault.non_finite=skip allows more
)
TOO_MANY = 3  # so many broken steps in a row end the run, even with fault.non_finite=skip
OF_ROLLOUTS = ("token_BT", "mask_BT", "logprob_BT", "entropy_BT", "truncated_B")


class KeptStep(NamedTuple):
    """A saved broken step, as read from its folder."""

    folder: Path
    step: int
    rows: list[int]  # P
    rollouts: Rollouts
    tensors: dict[str, Tensor]
    bad_tensor: str
    update_rows: list[int] | None  # rows, among the P problems, of the update that broke


def keep(folder: Path, engine: Engine, state: TrainState, broken: BrokenStep) -> str:
    """Save a broken step in a new folder below `folder`; return a sentence about the result.

    Nothing is saved if `KEPT` broken steps are already there, or if writing fails.
    """
    final = folder / f"step_{broken.draft.step}"
    if len(checkpoint.newest_first(folder)) >= KEPT and not final.exists():
        return f"its batch is not kept: {KEPT} are in {folder}"

    def fill(aside: Path) -> None:
        engine.save(aside)
        checkpoint.write_state(state, {}, aside)
        save_file(_tensors(broken.draft), aside / "batch.safetensors")
        files.write_json(aside / "batch.json", _words(broken))

    try:
        checkpoint.write(final, fill)
    except (OSError, SafetensorError) as error:
        return f"its batch could not be kept: {error}"
    return (
        f"its batch is kept in {final}, and `python -m mssr_rl replay run={folder.parent}` "
        "does the step again"
    )


def read_kept_step(folder: Path, problems: tuple[Any, ...]) -> KeptStep:
    """Return the broken step saved in `folder`; its rows are indices into `problems`.

    `problems` is the training set. Raises `UserError` if the folder is damaged or belongs to other
    problems.
    """
    if (fault := checkpoint.fault(folder)) is not None:
        raise UserError(f"{folder} cannot be replayed: {fault}")
    words = untrusted.read_object(folder / "batch.json")
    tensors = untrusted.tensors(folder / "batch.safetensors")
    try:
        return _kept(folder, problems, words, tensors)
    except (KeyError, TypeError, IndexError) as error:
        raise UserError(
            f"{folder} is not a step as training writes it ({type(error).__name__}: {error}), "
            "although its manifest is in order"
        ) from error


def _kept(
    folder: Path, problems: tuple[Any, ...], record: dict[str, Any], tensors: dict[str, Tensor]
) -> KeptStep:
    posed = tuple(problems[row] for row in record["rows"])
    if [problem.key for problem in posed] != record["keys"]:
        raise UserError(f"{folder} belongs to other problems; restore env.data")
    rollouts = Rollouts(
        problems=posed,
        group_size=record["group_size"],
        responses=tuple(record["responses"]),
        prompt_tokens=record["prompt_tokens"],
        image_tokens=record["image_tokens"],
        **{name: tensors[name] for name in OF_ROLLOUTS},
        learns_BT=tensors.get("learns_BT"),
    )
    return KeptStep(
        folder,
        record["step"],
        record["rows"],
        rollouts,
        tensors,
        record["bad"],
        record["update_rows"],
    )


def _tensors(draft: StepDraft) -> dict[str, Tensor]:
    assert draft.found is not None
    tensors = {name: getattr(draft.found.rollouts, name) for name in OF_ROLLOUTS}
    tensors["anchor_BTK"] = draft.anchor_BTK
    tensors["reference_BT"] = draft.reference_BT
    tensors["advantage_BT"] = draft.advantage_BT
    tensors["greedy_P"] = draft.found.greedy_P
    tensors["learns_BT"] = draft.found.rollouts.learns_BT
    if draft.batch is not None:
        tensors["reward_B"] = draft.found.spread(draft.batch.reward_B)
    return {name: t.detach().cpu().contiguous() for name, t in tensors.items() if t is not None}


def _words(broken: BrokenStep) -> dict[str, Any]:
    draft, gathered = broken.draft, broken.draft.found
    assert gathered is not None
    rollouts = gathered.rollouts
    return {
        "step": draft.step,
        "bad": broken.cause.tensor,
        "sentence": str(broken),
        "update_rows": broken.cause.problem_rows,
        "rows": gathered.rows,
        "keys": [problem.key for problem in rollouts.problems],
        "group_size": rollouts.group_size,
        "responses": list(rollouts.responses),
        "prompt_tokens": rollouts.prompt_tokens,
        "image_tokens": rollouts.image_tokens,
    }
