"""The kill drill: `kill -9` at random moments of a laptop run, each run resumed and compared.

    python scripts/kill_drill.py kills=40 [seed=0] [folder=/tmp/drill]

Every trial is a run of the shipped model in a process of its own, killed once. One in three is
killed while a checkpoint is being written, one in six while it evaluates; the others at a moment
drawn from the length of an undisturbed run. Then the same run is resumed, to its end. A trial
passes when metrics.jsonl, eval.jsonl, samples.jsonl and the last checkpoint are those of the
undisturbed run, byte for byte, wall time aside. The drill fails itself if too few kills hit a save,
or an update or an evaluation was never hit. A SIGKILL shows the death of a process, not a loss of
power.

Lives are forked from this process, which has imported everything and computed nothing: a start
costs a second instead of ten.
"""

import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from mssr_rl import cli
from mssr_rl.config.overrides import parse
from mssr_rl.run import checkpoint, sameness

WORDS = [
    "algo=mssr",
    "env=vision_r1",
    "env.limit=64",
    "engine.threads=1",
    "train.rollouts_per_step=16",
    "train.samples_per_update=8",
    "train.micro_batch=8",
    "budget.rollouts=80",
    "eval.limit=4",
    "eval.samples=2",
    "eval.every=2",
    "checkpoint.every=1",
]
LAST = 5  # step
AIMED = ("save", "", "evaluate", "save", "", "")  # at what the trials go, one after the other
MUST_HIT = {"update", "evaluate", "checkpoint"}
ENOUGH = 20  # kills to expect that of
LONGEST_LIFE = 300.0  # [s]

Moment = Callable[[Path], bool]  # whether it has come, for a run directory; waits a little


class Kill(NamedTuple):
    """What one kill hit."""

    phase: str  # by the heartbeat
    step: int  # last completed
    in_save: bool  # an unfinished checkpoint was left behind


def main(arguments: list[str]) -> int:
    """Run the drill; 0 if every trial passed and the kills were spread as they should be."""
    words = {"kills": "40", "seed": "0", **parse(arguments)}
    chance = random.Random(int(words["seed"]))
    folder = Path(words.get("folder") or tempfile.mkdtemp(prefix="kill_drill_"))
    folder.mkdir(parents=True, exist_ok=True)
    preload()
    length = undisturbed(folder)
    print(f"undisturbed: {length:.1f} s, in {folder}", flush=True)
    kills, failures = [], 0
    for number in range(int(words["kills"])):
        name, aimed = f"trial_{number}", AIMED[number % len(AIMED)]
        draw = AIMS.get(aimed) or partial(at_a_moment, length)
        killed = kill_once(folder, name, partial(draw, chance))
        found = resume_and_compare(folder, name)
        kills.append(killed)
        failures += bool(found)
        where = "inside a save" if killed.in_save else f"in {killed.phase}"
        print(
            f"{name}: killed {where} after step {killed.step}: {found or 'identical'}", flush=True
        )
    return verdict(kills, failures)


def verdict(kills: list[Kill], failures: int) -> int:
    """The last lines, and the exit code."""
    in_save = sum(kill.in_save for kill in kills)
    phases = dict(sorted(Counter(kill.phase for kill in kills).items()))
    print(f"{len(kills) - failures} of {len(kills)} resumed runs are the undisturbed one")
    print(f"{in_save} kills inside a save; by phase: {phases}")
    if 4 * in_save < len(kills):
        print("the drill itself failed: fewer than a quarter of the kills hit a save")
        return 1
    if len(kills) >= ENOUGH and not phases.keys() >= MUST_HIT:
        print(f"the drill itself failed: none of {', '.join(MUST_HIT - phases.keys())} was hit")
        return 1
    return 1 if failures else 0


def undisturbed(folder: Path) -> float:
    """The run everything is compared with; how long it took [s]."""
    begun = time.monotonic()
    code = wait(start(folder, "whole", [*WORDS, "name=whole"]))
    if code != 0:
        raise SystemExit(f"the undisturbed run failed, see {folder / 'whole.log'}")
    return time.monotonic() - begun


def kill_once(folder: Path, name: str, draw: Callable[[], Moment]) -> Kill:
    """Start a run and kill it at the moment drawn; another one if it has ended before."""
    while True:
        pid, moment = start(folder, name, [*WORDS, f"name={name}"]), draw()
        deadline = time.monotonic() + LONGEST_LIFE
        while not moment(folder / name) and time.monotonic() < deadline:
            if os.waitpid(pid, os.WNOHANG)[0]:
                shutil.rmtree(folder / name)
                break
        else:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return what_was_hit(folder / name)


def at_a_moment(length: float, chance: random.Random) -> Moment:
    """Anywhere between start and end."""
    due = time.monotonic() + chance.uniform(0.02, 0.98) * length

    def has_come(_: Path) -> bool:
        time.sleep(max(0.0, min(0.02, due - time.monotonic())))
        return time.monotonic() >= due

    return has_come


def at_a_save(chance: random.Random) -> Moment:
    """Within the writing of one of the checkpoints, at any point of it."""
    step, into = chance.randint(1, LAST), chance.uniform(0.0, 0.06)

    def has_come(run: Path) -> bool:
        if (run / "checkpoints" / f"writing_{step}").exists():
            time.sleep(into)
            return True
        time.sleep(0.0005)
        return False

    return has_come


def at_an_evaluation(chance: random.Random) -> Moment:
    """Within one of the evaluations, the first and the last included."""
    step, into = chance.choice((0, 2, 4, LAST)), chance.uniform(0.0, 0.2)

    def has_come(run: Path) -> bool:
        if (beat := heartbeat(run)) and beat["phase"] == "evaluate" and beat["step"] >= step:
            time.sleep(into)
            return True
        time.sleep(0.002)
        return False

    return has_come


AIMS = {"save": at_a_save, "evaluate": at_an_evaluation}


def heartbeat(run: Path) -> dict[str, Any] | None:
    """What the run said last of itself; None before it said anything."""
    try:
        found: dict[str, Any] = json.loads((run / "heartbeat.json").read_text("utf-8"))
    except FileNotFoundError:
        return None
    return found


def what_was_hit(run: Path) -> Kill:
    """Read from what the dead run has left."""
    in_save = any((run / "checkpoints").glob("writing_*"))
    beat = heartbeat(run)
    return Kill(beat["phase"], beat["step"], in_save) if beat else Kill("start", 0, in_save)


def resume_and_compare(folder: Path, name: str) -> list[str]:
    """Take the run up again, to its end; what differs from the undisturbed one."""
    begun = (folder / name / "config.yaml").exists()
    words = [f"name={name}", "resume=true"] if begun else [*WORDS, f"name={name}"]
    code = wait(start(folder, name, words))
    if code != 0:
        return [f"resuming ended with exit code {code}, see {folder / name}.log"]
    whole, again = (
        checkpoint.newest_first(folder / run / "checkpoints")[0] for run in ("whole", name)
    )
    return [
        *sameness.stream_differences(folder / "whole", folder / name),
        *sameness.checkpoint_differences(whole, again),
    ]


def start(folder: Path, name: str, words: list[str]) -> int:
    """A process that trains; its id."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    log = os.open(folder / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    code = 1
    try:
        code = cli.main(["train", *words, f"runs_dir={folder}"])
    finally:
        os._exit(code)


def wait(pid: int) -> int:
    """The exit code of a process."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def preload() -> None:
    """Import what a run imports, and start no thread."""
    import mssr_rl.engine.local
    import mssr_rl.report.page
    import mssr_rl.run.trainer  # noqa: F401


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
