"""`resume verify=DIR`: proof that N steps are k steps, a stop, and N - k steps more.

The run's own record is the one side. The other is made on the spot: a copy of the run at its oldest
whole checkpoint k (or at step 0) is resumed, the ordinary way, up to its newest one, N. Then every
row and every byte of the two is compared, wall time aside. The run itself is not touched.
"""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from mssr_rl import files, untrusted
from mssr_rl.config import compose, overrides, recorded
from mssr_rl.errors import Collapsed, RunFailed, UserError
from mssr_rl.run import checkpoint, sameness, trainer
from mssr_rl.run.arm import MakeEngine
from mssr_rl.run.runlog import STREAMS

LONGEST = 2**32  # bytes of one file of the record
SHOWN = 5  # differences that are listed


class Stretch(NamedTuple):
    """From one step of a run to a later one."""

    begin: Path | None  # a checkpoint; None: step 0
    end: Path

    @property
    def steps(self) -> tuple[int, int]:
        """K and N."""
        first = checkpoint.step_of(self.begin) if self.begin else 0
        return first, checkpoint.step_of(self.end)


class _UpTo(trainer.Session):
    """A session that ends after a given step, its budget being what it was."""

    def __init__(self, last: int, *parts: Any) -> None:
        super().__init__(*parts)
        self._last = last

    def goes_on(self) -> str:
        """Of a copy that is thrown away."""
        return "the run itself is as it was, and the same command begins the proof again"

    def _spent_all(self) -> str | None:
        return "far enough" if self.state.step >= self._last else super()._spent_all()


def prove_resumption(run: Path, words: Mapping[str, str]) -> str:
    """A sentence of proof, or `RunFailed` with the first differences."""
    from mssr_rl.engine import make_engine

    return verify(run, make_engine, words)


def verify(run: Path, make_engine: MakeEngine, words: Mapping[str, str] = recorded.NO_WORDS) -> str:
    """`main` with an engine of the caller's."""
    if not (run / "config.yaml").exists():
        raise UserError(f"{run} is not a run directory; name one that training made")
    config = compose.read_foreign(run / "config.yaml", words)
    stretch = _stretch(run)
    first, last = stretch.steps
    with tempfile.TemporaryDirectory(prefix="verify_") as scratch:
        copy = _copy(run, stretch, Path(scratch))
        accept = overrides.listed("accept", words.get("accept", "[]"))
        again = replace(config, name=copy.name, runs_dir=scratch, resume=True, accept=accept)
        with suppress(Collapsed):  # if the run did, so will the copy; its rows are what counts
            trainer.run(again, make_engine, partial(_UpTo, last))
        found = list(_differences(run, copy, stretch))
    if found:
        listed = "\n  ".join(found[:SHOWN])
        raise RunFailed(f"{run}: steps {first + 1} to {last}, done again, differ:\n  {listed}")
    return (
        f"{run}: {last} steps are {first} and {last - first} more, bit for bit: "
        f"{', '.join(STREAMS)} and everything in {stretch.end.name}, wall time aside"
    )


def _stretch(run: Path) -> Stretch:
    folders = checkpoint.newest_first(run / "checkpoints")
    whole = [folder for folder in folders if checkpoint.fault(folder) is None]
    if not whole or checkpoint.step_of(whole[0]) == 0:
        raise UserError(f"{run} holds no whole checkpoint of a step to compare with")
    older = whole[-1] if len(whole) > 1 else None
    return Stretch(older, whole[0])


def _copy(run: Path, stretch: Stretch, scratch: Path) -> Path:
    """The run as it was when the stretch began."""
    copy = scratch / "again"
    copy.mkdir()
    # Without the note that there were checkpoints, all streams may be cut back to step 0.
    known = {"saved": None} if stretch.begin is None else {}
    record = untrusted.read_object(run / "run.json", within=run)
    files.write_json(copy / "run.json", {**record, **known})
    for name in ("config.yaml", *(f"{stream}.jsonl" for stream in STREAMS)):
        (copy / name).write_bytes(untrusted.content(run / name, LONGEST, within=run))
    if stretch.begin is not None:
        shutil.copytree(stretch.begin, copy / "checkpoints" / stretch.begin.name)
    return copy


def _differences(run: Path, copy: Path, stretch: Stretch) -> Iterator[str]:
    """A run that was stopped at N has not made the evaluations that end one; the copy has."""
    last = checkpoint.step_of(stretch.end)
    ended = any(
        row["step"] == last and row["split"] == "test" for row in sameness.rows(run, "eval")
    )
    others = last if ended else last - 1
    ends = {"metrics": last, "eval": others, "samples": others}
    yield from sameness.stream_differences(run, copy, ends)
    there = copy / "checkpoints" / stretch.end.name
    yield from sameness.checkpoint_differences(stretch.end, there, ended=ended)
