"""`resume verify=DIR`: proves that a resumed run gives the same result as an uninterrupted one.

A copy of the run is resumed in the normal way, from its oldest valid checkpoint k (or step 0) to
its newest one, N. Then every row and every byte of the copy is compared with the run, except wall
time. The run itself is not changed.
"""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from mssr_rl import files, nearby, untrusted
from mssr_rl.config import compose, overrides, recorded
from mssr_rl.errors import Collapsed, RunFailed, UserError
from mssr_rl.run import checkpoint, sameness, trainer
from mssr_rl.run.arm import MakeEngine
from mssr_rl.run_streams import STREAMS

LONGEST = 2**32  # limit for one file of the run [bytes]
SHOWN = 5  # differences that are listed


class Stretch(NamedTuple):
    """The part of a run that is repeated: from checkpoint k (or step 0) to checkpoint N."""

    begin: Path | None  # a checkpoint; None: step 0
    end: Path

    @property
    def steps(self) -> tuple[int, int]:
        """The step k where the repetition starts, and the step N where it ends."""
        first = checkpoint.step_of(self.begin) if self.begin else 0
        return first, checkpoint.step_of(self.end)


class _UpTo(trainer.Session):
    """A session that ends after a given step and leaves the budget unchanged."""

    def __init__(self, last: int, *parts: Any) -> None:
        super().__init__(*parts)
        self._last = last

    def goes_on(self) -> str:
        """Return a text for the end of a message that says how to repeat the proof.

        The copy is deleted, so the whole proof must start again.
        """
        return "the run itself is as it was, and the same command begins the proof again"

    def _spent_all(self) -> str | None:
        return "far enough" if self.state.step >= self._last else super()._spent_all()


def prove_resumption(run: Path, words: Mapping[str, str]) -> str:
    """Repeat part of a run; return a sentence that states the proof.

    Raises `RunFailed` with the first differences.
    """
    from mssr_rl.engine import make_engine

    return verify(run, make_engine, words)


def verify(run: Path, make_engine: MakeEngine, words: Mapping[str, str] = recorded.NO_WORDS) -> str:
    """Repeat part of a run with the caller's engine; return a sentence that states the proof.

    Raises `RunFailed` with the first differences.
    """
    if not (run / "config.yaml").exists():
        raise nearby.no_run(run, "is not a run directory")
    config = compose.read_foreign(run / "config.yaml", words)
    stretch = _stretch(run)
    first, last = stretch.steps
    with tempfile.TemporaryDirectory(prefix="verify_") as scratch:
        copy = _copy(run, stretch, Path(scratch))
        accept = overrides.listed("accept", words.get("accept", "[]"))
        again = replace(config, name=copy.name, runs_dir=scratch, resume=True, accept=accept)
        with suppress(Collapsed):  # if the run collapsed, so does the copy; only its rows matter
            trainer.run(again, make_engine, partial(_UpTo, last))
        differing = list(_differences(run, copy, stretch))
    if differing:
        listed = "\n  ".join(differing[:SHOWN])
        raise RunFailed(f"{run}: steps {first + 1} to {last}, done again, differ:\n  {listed}")
    return (
        f"{run}: {last} steps are {first} and {last - first} more, bit for bit: "
        f"{', '.join(STREAMS)} and everything in {stretch.end.name}, wall time aside"
    )


def _stretch(run: Path) -> Stretch:
    folders = checkpoint.newest_first(run / "checkpoints")
    whole = [folder for folder in folders if checkpoint.fault(folder) is None]
    if not whole or checkpoint.step_of(whole[0]) == 0:
        raise UserError(f"{run} holds no valid checkpoint of a step to compare with")
    older = whole[-1] if len(whole) > 1 else None
    return Stretch(older, whole[0])


def _copy(run: Path, stretch: Stretch, scratch: Path) -> Path:
    """Copy the run as it was at the start of the stretch; return the folder of the copy."""
    copy = scratch / "again"
    copy.mkdir()
    # Without the entry `saved`, a resumption may start again at step 0.
    known = {"saved": None} if stretch.begin is None else {}
    record = untrusted.read_object(run / "run.json", within=run)
    files.write_json(copy / "run.json", {**record, **known})
    for name in ("config.yaml", *(f"{stream}.jsonl" for stream in STREAMS)):
        (copy / name).write_bytes(untrusted.content(run / name, LONGEST, within=run))
    if stretch.begin is not None:
        shutil.copytree(stretch.begin, copy / "checkpoints" / stretch.begin.name)
    return copy


def _differences(run: Path, copy: Path, stretch: Stretch) -> Iterator[str]:
    """Yield the differences between run and copy.

    If the run was interrupted at N, it lacks the final evaluations that the copy has, so these are
    not compared.
    """
    last = checkpoint.step_of(stretch.end)
    ended = any(
        row["step"] == last and row["split"] == "test" for row in sameness.rows(run, "eval")
    )
    others = last if ended else last - 1
    ends = {"metrics": last, "eval": others, "samples": others}
    yield from sameness.stream_differences(run, copy, ends)
    there = copy / "checkpoints" / stretch.end.name
    yield from sameness.checkpoint_differences(stretch.end, there, ended=ended)
