"""Copies the numbers of a run to other programs: TensorBoard, wandb, trackio, mlflow, Prometheus.

`log=tensorboard,wandb` chooses them. Each is one module here that opens a `MetricLogger`, and needs
a package of its own (`EXTRAS`). The run's own files stay the record: a logger that fails is
reported in one line, is not used again, and never ends the run. Nothing is sent to another machine
unless the package's own environment variables ask for it (docs/loggers.md).
"""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple, Protocol

from mssr_rl.config import Config, recorded, to_dict
from mssr_rl.errors import UserError
from mssr_rl.metric_names import is_score

# The package that each logger imports; `pip install mssr_rl[NAME]` installs it.
EXTRAS = {
    "tensorboard": "tensorboard",
    "wandb": "wandb",
    "trackio": "trackio",
    "mlflow": "mlflow",
    "prometheus": "prometheus_client",
}
PROJECT = "mssr_rl"  # the project or experiment that holds all runs


class LoggedRun(NamedTuple):
    """What a logger is told about a run when it opens."""

    folder: Path
    settings: Mapping[str, bool | int | float | str]  # the config, {dotted key: value}
    first_step: int  # of the values that follow; later values are made again by a resumed run

    @property
    def name(self) -> str:
        """The run's name."""
        return self.folder.name

    def shared(self, name: str) -> Path:
        """Return a folder beside the run's folder, for a store that holds many runs."""
        return (self.folder.parent / name).resolve()


class LoggedRollout(NamedTuple):
    """A rollout of an evaluation that loggers show."""

    tag: str  # "val/PROBLEM"
    pictures: Sequence[Path]
    text: str  # question, response and verdict


class MetricLogger(Protocol):
    """One open connection to another program. Any exception it raises is reported once."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write the values of a step; the names are those of `metric_names`."""

    def rollouts(self, step: int, shown: Sequence[LoggedRollout]) -> None:
        """Write some rollouts with their pictures."""

    def close(self, status: str, results: Mapping[str, float]) -> None:
        """Write how the run ended and its last accuracies, and close."""


def refuse_missing_packages(names: Sequence[str]) -> None:
    """Raise `UserError` if the package of a logger is not installed."""
    for name in names:
        if find_spec(EXTRAS[name]) is None:
            package = "mlflow-skinny" if name == "mlflow" else EXTRAS[name]
            raise UserError(
                f"log={name} needs the package {package}: pip install {package}, or leave {name} "
                "out"
            )


class Loggers:
    """All loggers of a run. They open at the first value, so that a refused run leaves no trace."""

    def __init__(self, folder: Path, config: Config, say: Callable[[str], None]) -> None:
        self._folder, self._config, self._say = folder, config, say
        self._waiting: list[str] = list(config.log)
        self._open: dict[str, MetricLogger] = {}
        self._results: dict[str, float] = {}

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write the values of a step to every logger."""
        scores = {name: x for name, x in values.items() if is_score(name)}
        self._results |= scores
        self._each(step, lambda logger: logger.scalars(step, values))

    def rollouts(self, step: int, shown: Sequence[LoggedRollout]) -> None:
        """Write some rollouts to every logger."""
        self._each(step, lambda logger: logger.rollouts(step, shown))

    def close(self, status: str) -> None:
        """Close every open logger; `status` says how the run ended."""
        self._waiting = []
        self._each(0, lambda logger: logger.close(status, self._results))
        self._open = {}

    def _each(self, step: int, act: Callable[[MetricLogger], None]) -> None:
        for name in [*self._open, *self._waiting]:
            try:
                if name not in self._open:
                    self._waiting.remove(name)
                    self._open[name] = self._opened(name, step)
                act(self._open[name])
            except Exception as error:  # noqa: BLE001  a foreign package may raise anything
                self._open.pop(name, None)
                why = (str(error).strip() or type(error).__name__).splitlines()[0]
                self._say(
                    f"log     {name} failed and gets nothing more; the run goes on: {why[:300]}"
                )

    def _opened(self, name: str, step: int) -> MetricLogger:
        settings = {
            key: value if isinstance(value, bool | int | float | str) else str(value)
            for key, value in recorded.leaves(to_dict(self._config)).items()
        }
        run = LoggedRun(self._folder, settings, step)
        opened: MetricLogger = import_module(f"{__name__}.{name}_log").open_logger(run)
        return opened
