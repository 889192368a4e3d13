"""trackio: a local SQLite file in runs/trackio (`TRACKIO_DIR=runs/trackio trackio show`)."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from mssr_rl.run.loggers import PROJECT, LoggedRollout, LoggedRun


class TrackioRun:
    """One trackio run."""

    def __init__(self, run: LoggedRun) -> None:
        # trackio reads its folder when it is imported. A folder that the user chose is kept.
        os.environ.setdefault("TRACKIO_DIR", str(run.shared("trackio")))
        import trackio

        self._trackio: Any = trackio
        self._run = trackio.init(
            project=os.environ.get("TRACKIO_PROJECT", PROJECT),
            name=run.name,
            config=dict(run.settings),
            resume="allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write the values of a step."""
        self._run.log(dict(values), step=step)

    def rollouts(self, step: int, shown: Sequence[LoggedRollout]) -> None:
        """Write the first picture of every rollout, with the text as its caption."""
        for rollout in shown:
            if rollout.pictures:
                picture = self._trackio.Image(rollout.pictures[0], caption=rollout.text)
                self._run.log({rollout.tag: picture}, step=step)

    def close(self, status: str, results: Mapping[str, float]) -> None:  # noqa: ARG002
        """Wait until everything is written; trackio has no place for a run's end."""
        self._run.finish()


def open_logger(run: LoggedRun) -> TrackioRun:
    """Return a logger that writes into trackio's local store."""
    return TrackioRun(run)
