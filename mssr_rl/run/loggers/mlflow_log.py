"""MLflow. Without MLFLOW_TRACKING_URI it writes files beside the runs, into `mlruns`.

`MLFLOW_ALLOW_FILE_STORE=true mlflow ui --backend-store-uri runs/mlruns` shows them.
"""

import os
import time
from collections.abc import Mapping, Sequence

from mlflow.entities import Metric, Param
from mlflow.tracking import MlflowClient

from mssr_rl.run.loggers import PROJECT, LoggedRollout, LoggedRun

AT_ONCE = 100  # parameters in one call; MLflow refuses more
LONGEST = 6000  # characters of a parameter
ENDS = {"done": "FINISHED", "interrupted": "KILLED"}  # every other end is FAILED


class MlflowRun:
    """One MLflow run; metric names keep their slashes, which MLflow shows as groups."""

    def __init__(self, run: LoggedRun) -> None:
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        if uri is None:
            # MLflow 3 refuses its file store without this; a database needs more packages.
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
            uri = run.shared("mlruns").as_uri()
        self._client = MlflowClient(uri)
        project = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        known = self._client.get_experiment_by_name(project)
        place = known.experiment_id if known else self._client.create_experiment(project)
        folder = str(run.folder.resolve())
        found = self._client.search_runs([place], f"tags.`mssr_rl.folder` = '{folder}'")
        if found:
            self._id = found[0].info.run_id
            self._client.update_run(self._id, status="RUNNING")
            return
        tags = {"mssr_rl.folder": folder}
        self._id = self._client.create_run(place, tags=tags, run_name=run.name).info.run_id
        params = [Param(key, str(value)[:LONGEST]) for key, value in run.settings.items()]
        for start in range(0, len(params), AT_ONCE):
            self._client.log_batch(self._id, params=params[start : start + AT_ONCE])

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write the values of a step."""
        now = int(time.time() * 1000)
        metrics = [Metric(name, float(value), now, step) for name, value in values.items()]
        self._client.log_batch(self._id, metrics=metrics)

    def rollouts(self, step: int, shown: Sequence[LoggedRollout]) -> None:
        """Write rollouts as artifacts: their pictures and a text file."""
        for rollout in shown:
            place = f"rollouts/step_{step}/{rollout.tag}"
            for path in rollout.pictures:
                self._client.log_artifact(self._id, str(path), place)
            self._client.log_text(self._id, rollout.text, f"{place}/rollout.txt")

    def close(self, status: str, results: Mapping[str, float]) -> None:  # noqa: ARG002
        """Record how the run ended; the last accuracies are metrics already."""
        self._client.set_terminated(self._id, ENDS.get(status, "FAILED"))


def open_logger(run: LoggedRun) -> MlflowRun:
    """Return a logger that writes to the tracking store."""
    return MlflowRun(run)
