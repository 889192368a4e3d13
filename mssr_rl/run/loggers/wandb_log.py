"""Weights & Biases. Without WANDB_MODE=online it stays offline: files in the run's folder.

`wandb sync RUN/wandb/offline-run-*` uploads them later.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import Literal, cast

import wandb

from mssr_rl.run.loggers import PROJECT, LoggedRollout, LoggedRun

ENDS = {"done": 0, "interrupted": 0}  # exit codes; every other end is a failure


class WandbRun:
    """One wandb run."""

    def __init__(self, run: LoggedRun) -> None:
        mode = cast(Literal["online", "offline"], os.environ.get("WANDB_MODE", "offline"))
        # The same id for a resumed run, so that its parts are one run on the server.
        identity = hashlib.blake2b(str(run.folder.resolve()).encode(), digest_size=8).hexdigest()
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=run.name,
            id=identity,
            resume="allow",
            dir=run.folder,
            mode=mode,
            config=dict(run.settings),
            save_code=False,
            reinit="create_new",
            settings=wandb.Settings(silent=True, console="off"),
        )
        # wandb's own step only grows, but an evaluation has the step of the update before it.
        self._run.define_metric("*", step_metric="step")

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write the values of a step."""
        self._run.log({"step": step, **values})

    def rollouts(self, step: int, shown: Sequence[LoggedRollout]) -> None:
        """Write rollouts as pictures with the text as caption, or as a table of texts."""
        pictures = {
            rollout.tag: [wandb.Image(str(path), caption=rollout.text) for path in rollout.pictures]
            for rollout in shown
            if rollout.pictures
        }
        texts = [[rollout.tag, rollout.text] for rollout in shown]
        table = wandb.Table(columns=["rollout", "text"], data=texts)
        self._run.log({"step": step, **pictures, "rollouts": table})

    def close(self, status: str, results: Mapping[str, float]) -> None:
        """Write the last accuracies into the run's summary, and close."""
        self._run.summary.update({**results, "status": status})
        self._run.finish(exit_code=ENDS.get(status, 1))


def open_logger(run: LoggedRun) -> WandbRun:
    """Return a logger that starts wandb's service process."""
    return WandbRun(run)
