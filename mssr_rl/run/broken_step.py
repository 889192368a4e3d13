"""A step that broke, kept: its batch, and the policy as it was when the first bad number appeared.

    faults/step_<n>/
        policy/, optimiser ..., algorithm.safetensors, state.json     as in a checkpoint
        batch.safetensors       tokens, masks, log-probabilities, rewards, advantages
        batch.json              responses, problems, and which tensor was bad
        manifest.json

safetensors and JSON, written aside and renamed, like a checkpoint. `replay` takes it from there.
"""

from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from mssr_rl import files, untrusted
from mssr_rl.engine.protocol import Engine, Rollouts
from mssr_rl.errors import UserError
from mssr_rl.run import checkpoint
from mssr_rl.run.checkpoint import TrainState
from mssr_rl.run.draft import BrokenStep, StepDraft

KEPT = 3  # of a run; with fault.non_finite=skip there may be more, and each holds a policy
TOO_MANY = 3  # broken steps in a row are not left out but end the run
OF_ROLLOUTS = ("token_BT", "mask_BT", "logprob_BT", "entropy_BT", "truncated_B")


class KeptStep(NamedTuple):
    """What `read` finds."""

    folder: Path
    step: int
    rows: list[int]  # P
    rollouts: Rollouts
    tensors: dict[str, Tensor]
    bad_tensor: str
    update_rows: list[int] | None  # the problems, of P, in the update that broke


def keep(folder: Path, engine: Engine, state: TrainState, broken: BrokenStep) -> str:
    """Keep a broken step below `folder`, unless enough are there; where it is, in words."""
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
    """The kept step in `folder`; `problems` is the training set it indexes."""
    if (fault := checkpoint.fault(folder)) is not None:
        raise UserError(f"{folder} cannot be replayed: {fault}")
    words = untrusted.read_object(folder / "batch.json")
    tensors = untrusted.tensors(folder / "batch.safetensors")
    try:
        return _kept(folder, problems, words, tensors)
    except (KeyError, TypeError, IndexError) as error:
        raise UserError(
            f"{folder} is not as training keeps a step ({type(error).__name__}: {error}), although "
            "its manifest is in order"
        ) from error


def _kept(
    folder: Path, problems: tuple[Any, ...], words: dict[str, Any], tensors: dict[str, Tensor]
) -> KeptStep:
    posed = tuple(problems[row] for row in words["rows"])
    if [problem.key for problem in posed] != words["keys"]:
        raise UserError(f"{folder} is of other problems; put env.data back as it was")
    rollouts = Rollouts(
        problems=posed,
        group_size=words["group_size"],
        responses=tuple(words["responses"]),
        prompt_tokens=words["prompt_tokens"],
        image_tokens=words["image_tokens"],
        **{name: tensors[name] for name in OF_ROLLOUTS},
    )
    return KeptStep(
        folder, words["step"], words["rows"], rollouts, tensors, words["bad"], words["update_rows"]
    )


def _tensors(draft: StepDraft) -> dict[str, Tensor]:
    assert draft.found is not None
    found = {name: getattr(draft.found.rollouts, name) for name in OF_ROLLOUTS}
    found["anchor_BT"] = draft.anchor_BT
    found["reference_BT"] = draft.reference_BT
    found["advantage_BT"] = draft.advantage_BT
    if draft.batch is not None:
        found["reward_B"] = draft.found.spread(draft.batch.reward_B)
    return {name: t.detach().cpu().contiguous() for name, t in found.items() if t is not None}


def _words(broken: BrokenStep) -> dict[str, Any]:
    draft, found = broken.draft, broken.draft.found
    assert found is not None
    rollouts = found.rollouts
    return {
        "step": draft.step,
        "bad": broken.cause.tensor,
        "sentence": str(broken),
        "update_rows": broken.cause.problem_rows,
        "rows": found.rows,
        "keys": [problem.key for problem in rollouts.problems],
        "group_size": rollouts.group_size,
        "responses": list(rollouts.responses),
        "prompt_tokens": rollouts.prompt_tokens,
        "image_tokens": rollouts.image_tokens,
    }
