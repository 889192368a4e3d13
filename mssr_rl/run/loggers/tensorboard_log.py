"""TensorBoard: event files in the run's folder, `tensorboard --logdir runs` shows them."""

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from mssr_rl.run.loggers import LoggedRollout, LoggedRun


class EventFiles:
    """Writes scalars, texts, pictures and, at the end, the hyper-parameters."""

    def __init__(self, run: LoggedRun) -> None:
        self._run = run
        # A resumed run makes some steps again: TensorBoard then drops their old events.
        place = str(run.folder / "tensorboard")
        self._writer = SummaryWriter(place, purge_step=run.first_step)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write the values of a step."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def rollouts(self, step: int, shown: Sequence[LoggedRollout]) -> None:
        """Write rollouts as pictures and as text, in which Markdown is not interpreted."""
        for rollout in shown:
            for index, path in enumerate(rollout.pictures):
                with Image.open(path) as picture:
                    pixels = np.asarray(picture.convert("RGB"))
                tag = f"{rollout.tag}{f'/{index}' if index else ''}"
                self._writer.add_image(tag, pixels, step, dataformats="HWC")
            indented = "\n".join(f"    {line}" for line in rollout.text.splitlines())
            self._writer.add_text(rollout.tag, indented, step)

    def close(self, status: str, results: Mapping[str, float]) -> None:
        """Write the hyper-parameters beside the last accuracies, and close."""
        settings = {**self._run.settings, "status": status}
        # Under names of their own: these points would lie at step 0 of the curves.
        last = {f"last/{name}": value for name, value in results.items()}
        self._writer.add_hparams(settings, last, run_name=".")
        self._writer.close()


def open_logger(run: LoggedRun) -> EventFiles:
    """Return a logger that writes into the run's folder."""
    return EventFiles(run)
