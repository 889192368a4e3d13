"""The drill: stop a laptop run by every signal in every phase, then resume and compare it.

    python scripts/kill_drill.py stops=56 comparisons=4 [first=0] [seed=0] [folder=/tmp/drill]
    python scripts/kill_drill.py kills=40 [seed=0]

Every trial is a run of the shipped model in its own process, stopped once.

* `stops`: the trials go through all pairs of a signal and a phase. The signals are SIGKILL and the
  seven that ask a run to end. The phases are start, first evaluation, rollout, update, save,
  evaluation and report. Several drills can share the pairs if each has another `first` trial.
* `comparisons`: the driver of a comparison is stopped, by another signal each time.
* `kills`: only SIGKILL is used, one in three while a checkpoint is written, one in six during an
  evaluation, the others at any moment.

After a stop the drill checks exit code, status and last sentence, and resumes the run with the
arguments that the sentence gives. A trial passes if they are true, and if metrics.jsonl,
eval.jsonl, samples.jsonl and the last checkpoint are those of the undisturbed run, byte for byte
except for wall time. A comparison's trial passes if every run does, and if its report is the same.
The drill itself fails if a pair was never hit, or if too few kills hit a save. SIGKILL shows the
death of a process, not a loss of power.

Runs are forked from this process, which has imported everything and computed nothing. So a start
takes one second instead of ten.
"""

import json
import os
import random
import re
import resource
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from mssr_rl import cli
from mssr_rl.config.overrides import parse
from mssr_rl.run import checkpoint, interrupt, runlock, sameness
from mssr_rl.run.status import status

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
COMPARED = ["algo=grpo,mssr", "seeds=1", "jobs=2", *WORDS[1:]]
LAST = 5  # step
AIMED = ("save", "", "evaluation", "save", "", "")  # the phases of successive kills; "": any
MUST_HIT = {"update", "evaluate", "checkpoint"}
ENOUGH = 20  # from this many kills or stops on, every phase must have been hit
LONGEST_LIFE = 300.0  # [s]
PATIENCE = 60.0  # for a run that was told to end [s]

AT_THE_END = {"report", "record", "evaluation"}  # of the test split, when its last poll is over
SIGNALS = (signal.SIGKILL, *interrupt.SIGNALS)
DRIVER_SIGNALS = (signal.SIGTERM, signal.SIGKILL, signal.SIGHUP, signal.SIGINT)

Moment = Callable[[Path], bool]  # whether it has come, for a run directory; waits a little


class Kill(NamedTuple):
    """The state of a run when it was killed."""

    phase: str  # from the heartbeat
    step: int  # last completed
    in_save: bool  # an unfinished checkpoint was left behind


class Stop(NamedTuple):
    """One trial of a run that is stopped."""

    folder: Path
    name: str
    signum: signal.Signals
    phase: str  # in which it should be stopped

    @property
    def run(self) -> Path:
        """The run directory."""
        return self.folder / self.name


def main(arguments: list[str]) -> int:
    """Run the drill.

    Returns 0 if every trial passed and the stops hit the phases that they had to.
    """
    words = {"seed": "0", **parse(arguments)}
    if not words.keys() & {"kills", "stops", "comparisons"}:
        words["kills"] = "40"
    chance = random.Random(int(words["seed"]))
    folder = Path(words.get("folder") or tempfile.mkdtemp(prefix="kill_drill_"))
    folder.mkdir(parents=True, exist_ok=True)
    preload()
    length, first = undisturbed(folder), int(words.get("first", 0))
    print(f"undisturbed: {length:.1f} s, in {folder}", flush=True)
    codes = [
        killing(folder, int(words.get("kills", 0)), length, chance),
        stopping(folder, range(first, first + int(words.get("stops", 0))), length, chance),
        comparing(folder, int(words.get("comparisons", 0)), chance),
    ]
    return max(codes)


def undisturbed(folder: Path) -> float:
    """Make the run that everything is compared with. Returns its duration [s]."""
    begun = time.monotonic()
    code = wait(start(folder, "whole", [*WORDS, "name=whole"]))
    if code != 0:
        raise SystemExit(f"the undisturbed run failed, see {folder / 'whole.log'}")
    return time.monotonic() - begun


# ---- kill -9 at any moment ----


def killing(folder: Path, kills: int, length: float, chance: random.Random) -> int:
    """Kill `kills` runs. Returns the exit code."""
    hits, failures = [], 0
    for number in range(kills):
        name, aimed = f"trial_{number}", AIMED[number % len(AIMED)]
        draw = AIMS[aimed] if aimed else partial(at_a_moment, length)
        killed = kill_once(folder, name, partial(draw, chance))
        faults = resume_and_compare(folder, name)
        hits.append(killed)
        failures += bool(faults)
        where = "inside a save" if killed.in_save else f"in {killed.phase}"
        print(
            f"{name}: killed {where} after step {killed.step}: {faults or 'identical'}", flush=True
        )
    return verdict(hits, failures) if kills else 0


def verdict(kills: list[Kill], failures: int) -> int:
    """Print the last lines, and return the exit code."""
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


def kill_once(folder: Path, name: str, draw: Callable[[], Moment]) -> Kill:
    """Start a run and kill it at the chosen moment."""
    pid = alive_at(folder, name, draw)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return what_was_hit(folder / name)


def alive_at(folder: Path, name: str, draw: Callable[[], Moment]) -> int:
    """Return the process id of a run at the chosen moment.

    If it ends before that, start another one.
    """
    while True:
        pid, moment = start(folder, name, [*WORDS, f"name={name}"]), draw()
        deadline = time.monotonic() + LONGEST_LIFE
        while not moment(folder / name) and time.monotonic() < deadline:
            if os.waitpid(pid, os.WNOHANG)[0]:
                shutil.rmtree(folder / name)
                break
        else:
            return pid


# ---- every signal in every phase ----


def stopping(folder: Path, trials: range, length: float, chance: random.Random) -> int:
    """Go through the pairs of signal and phase with these numbers. Returns the exit code."""
    failures, slowest = 0, 0.0
    hits: Counter[str] = Counter()
    stops = len(trials)
    for number in trials:
        # The two counts have no common divisor, so all pairs occur.
        signum, phase = SIGNALS[number % len(SIGNALS)], PHASES[number % len(PHASES)]
        stop = Stop(folder, f"stop_{number}", signum, phase)
        faults, seconds, hit = stop_and_compare(stop, length, chance)
        hits[hit] += 1
        failures += bool(faults)
        slowest = max(slowest, seconds)
        print(
            f"{stop.name}: {signum.name} aimed at {phase}, hit {hit}, ended in {seconds:.1f} s: "
            f"{faults or 'identical'}",
            flush=True,
        )
    if stops:
        print(f"{stops - failures} of {stops} stopped runs are the undisturbed one once resumed")
        print(f"slowest end {slowest:.1f} s; by phase: {dict(sorted(hits.items()))}")
    missed = set(PHASES) - hits.keys() if stops >= ENOUGH else set()
    if missed:
        print(f"the drill itself failed: none of {', '.join(sorted(missed))} was hit")
    return 1 if failures or missed else 0


def stop_and_compare(
    stop: Stop, length: float, chance: random.Random
) -> tuple[list[str], float, str]:
    """Stop a run and resume it.

    Returns the faults, the seconds until it ended, and the phase hit.
    """
    draw = partial(at_the_start, length) if stop.phase == "start" else AIMS[stop.phase]
    pid = alive_at(stop.folder, stop.name, partial(draw, chance))
    hit = phase_of(stop.run)
    os.kill(pid, stop.signum)
    stopped_at = time.monotonic()
    code = wait(pid)
    seconds = time.monotonic() - stopped_at
    output = (stop.folder / f"{stop.name}.log").read_text("utf-8", "replace")
    faults = [*untruths(stop, code, output, hit)]
    if seconds > PATIENCE:
        faults.append(f"it took {seconds:.0f} s to end")
    faults += resume_and_compare(stop.folder, stop.name, way_back(output))
    return faults, seconds, hit


def untruths(stop: Stop, code: int, output: str, hit: str = "") -> Iterator[str]:
    """Yield what is wrong in exit code, status and output of a run stopped in phase `hit`."""
    signum = stop.signum
    exit_codes = {0 if signum == signal.SIGTERM else 128 + signum}
    unheard = {-signum}  # its handlers were not installed yet: Python was still loading
    begun = (stop.run / "run.json").exists()
    allowed = (
        {-signum} if signum == signal.SIGKILL else exit_codes if begun else exit_codes | unheard
    )
    state = status(stop.run, stop.folder).state if begun else "absent"
    if state == "done" and hit in AT_THE_END:
        allowed = allowed | {0}  # it had finished
    if code not in allowed:
        yield f"exit code {code} where {allowed} is right"
    honest = {"done", "absent", "died" if signum == signal.SIGKILL else "interrupted"}
    if state not in honest:
        yield f"its status is {state}"
    if "Traceback" in output:
        yield "it left a traceback"
    if state == "interrupted" and (way_back(output) is None or signum.name not in output):
        yield "no sentence says what it ended by and how it goes on"
    if runlock.owner(stop.run) is not None:
        yield "its folder is still taken"


def way_back(output: str) -> list[str] | None:
    """Return the arguments with which a stopped run says it can be resumed."""
    sentences = re.findall(r"; (resume=true name=.*) continues$", output, re.MULTILINE)
    return shlex.split(sentences[-1]) if sentences else None


def phase_of(run: Path) -> str:
    """Return one of `PHASES`, or the heartbeat's own name for the phase."""
    beat = heartbeat(run)
    if any((run / "checkpoints").glob("writing_*")):
        return "save"
    if beat is None:
        return "start"
    if beat["phase"] == "evaluate" and beat["step"] == 0:
        return "first evaluation"
    names = {"evaluate": "evaluation", "checkpoint": "save", "end": "report"}
    return str(names.get(beat["phase"], beat["phase"]))


# ---- the moments ----


def at_a_moment(length: float, chance: random.Random) -> Moment:
    """Return a moment anywhere between start and end."""
    due = time.monotonic() + chance.uniform(0.02, 0.98) * length

    def has_come(_: Path) -> bool:
        time.sleep(max(0.0, min(0.02, due - time.monotonic())))
        return time.monotonic() >= due

    return has_come


def at_the_start(length: float, chance: random.Random) -> Moment:
    """Return a moment before the run does anything: in the first tenth of its duration."""
    due = time.monotonic() + chance.uniform(0.0, 0.1) * length

    def has_come(run: Path) -> bool:
        time.sleep(0.002)
        return time.monotonic() >= due or heartbeat(run) is not None

    return has_come


def at_a_save(chance: random.Random) -> Moment:
    """Return a moment while one of the checkpoints is written."""
    step, into = chance.randint(1, LAST), chance.uniform(0.0, 0.06)

    def has_come(run: Path) -> bool:
        if (run / "checkpoints" / f"writing_{step}").exists():
            time.sleep(into)
            return True
        time.sleep(0.0005)
        return False

    return has_come


def in_phase(phase: str, steps: tuple[int, ...], into: float, chance: random.Random) -> Moment:
    """Return a moment in a phase after one of these steps, at most `into` seconds late."""
    step, wait = chance.choice(steps), chance.uniform(0.0, into)

    def has_come(run: Path) -> bool:
        if (beat := heartbeat(run)) and beat["phase"] == phase and beat["step"] >= step:
            time.sleep(wait)
            return True
        time.sleep(0.002)
        return False

    return has_come


AIMS: dict[str, Callable[[random.Random], Moment]] = {
    "first evaluation": partial(in_phase, "evaluate", (0,), 0.1),
    "rollout": partial(in_phase, "rollout", (0, 1, 2, 3, 4), 0.1),
    "update": partial(in_phase, "update", (0, 1, 2, 3, 4), 0.2),
    "save": at_a_save,
    "evaluation": partial(in_phase, "evaluate", (2, 4, LAST), 0.1),
    "report": partial(in_phase, "end", (LAST,), 0.1),
}
PHASES = ("start", *AIMS)


def heartbeat(run: Path) -> dict[str, Any] | None:
    """Return the run's last heartbeat; None before the first."""
    try:
        beat: dict[str, Any] = json.loads((run / "heartbeat.json").read_text("utf-8"))
    except FileNotFoundError:
        return None
    return beat


def what_was_hit(run: Path) -> Kill:
    """Return the state of a dead run, from the files that it left."""
    in_save = any((run / "checkpoints").glob("writing_*"))
    beat = heartbeat(run)
    return Kill(beat["phase"], beat["step"], in_save) if beat else Kill("start", 0, in_save)


# ---- going on ----


def resume_and_compare(folder: Path, name: str, arguments: list[str] | None = None) -> list[str]:
    """Resume the run to its end. Returns the differences from the undisturbed run."""
    begun = (folder / name / "config.yaml").exists()
    known = [f"name={name}", "resume=true"] if begun else [*WORDS, f"name={name}"]
    code = wait(start(folder, name, arguments or known))
    if code != 0:
        return [f"resuming ended with exit code {code}, see {folder / name}.log"]
    return differences(folder / "whole", folder / name)


def differences(whole: Path, run: Path) -> list[str]:
    """Return the differences between two finished runs."""
    ends = (checkpoint.newest_first(folder / "checkpoints")[0] for folder in (whole, run))
    return [*sameness.stream_differences(whole, run), *sameness.checkpoint_differences(*ends)]


# ---- comparisons ----


def comparing(folder: Path, comparisons: int, chance: random.Random) -> int:
    """Stop the driver of a comparison `comparisons` times. Returns the exit code."""
    if not comparisons:
        return 0
    begun = time.monotonic()
    if wait(start_comparison(folder, "compared")) != 0:
        raise SystemExit(f"the undisturbed comparison failed, see {folder / 'compared.log'}")
    length, failures = time.monotonic() - begun, 0
    for number in range(comparisons):
        signum = DRIVER_SIGNALS[number % len(DRIVER_SIGNALS)]
        faults = stop_comparison(folder, f"compared_{number}", signum, chance.uniform(0, length))
        failures += bool(faults)
        print(f"compared_{number}: {signum.name}: {faults or 'identical'}", flush=True)
    print(f"{comparisons - failures} of {comparisons} stopped comparisons are the undisturbed one")
    return 1 if failures else 0


def stop_comparison(folder: Path, name: str, signum: signal.Signals, after: float) -> list[str]:
    """Stop a comparison and start it again. Returns what was wrong or different."""
    pid = start_comparison(folder, name)
    time.sleep(after)
    os.kill(pid, signum)
    code = wait(pid)
    heard = 0 if signum == signal.SIGTERM else 128 + signum
    runs = folder / name / "runs"
    allowed = {0 if (folder / name / "report.json").exists() else heard, heard, -signum}
    faults = [] if code in allowed else [f"exit code {code} where {allowed} is right"]
    if signum != signal.SIGKILL and any(runlock.owner(run) for run in runs.glob("*")):
        faults.append("a run is still working")
    if wait(start_comparison(folder, name)) != 0:
        return [*faults, f"the same command failed, see {folder / name}.log"]
    for run in sorted((folder / "compared" / "runs").iterdir()):
        faults += differences(run, runs / run.name)
    if verdict_of(folder / name) != verdict_of(folder / "compared"):
        faults.append("the report is different")
    return faults


def verdict_of(comparison: Path) -> Any:
    """Return report.json without times, places, and hashes of files that hold times."""
    report = json.loads((comparison / "report.json").read_text("utf-8"))
    return _untimed({key: report[key] for key in ("arms", "seeds", "verdict", "envs", "runs")})


def _untimed(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _untimed(value) for key, value in tree.items() if "seconds" not in key}
    return [_untimed(item) for item in tree] if isinstance(tree, list) else tree


# ---- processes ----


def start(folder: Path, name: str, arguments: list[str]) -> int:
    """Start a process that trains, and return its id."""
    runs_dir = (
        [] if any(word.startswith("runs_dir=") for word in arguments) else [f"runs_dir={folder}"]
    )
    return forked(folder / f"{name}.log", ["train", *arguments, *runs_dir])


def start_comparison(folder: Path, name: str) -> int:
    """Start a process that drives a comparison, and return its id."""
    arguments = ["compare", *COMPARED, f"name={name}", f"comparisons_dir={folder}"]
    return forked(folder / f"{name}.log", arguments)


def forked(log: Path, arguments: list[str]) -> int:
    """Fork a process that runs the command line with these arguments, and return its id."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    log_file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log_file, 1)
    os.dup2(log_file, 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # SIGQUIT before it is heard
    for signum in interrupt.SIGNALS:  # a drill in the background may ignore some, a life does not
        signal.signal(signum, signal.SIG_DFL)
    code = 1
    try:
        code = cli.main(arguments)
    finally:
        sys.stderr.flush()
        os._exit(code)


def wait(pid: int) -> int:
    """Wait for a process and return its exit code."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def preload() -> None:
    """Import everything that a run imports, without starting a thread."""
    import mssr_rl.engine.local
    import mssr_rl.report.run_page
    import mssr_rl.run.trainer  # noqa: F401


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
