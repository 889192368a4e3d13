"""For test_stdio.py: every verb in a process of its own whose standard streams are lost.

    python verbs_without_output.py DATA FOLDER CONDITION ...

DATA is a folder of counting problems. A verb is a fork of this process, which has imported what
they need. Under the first condition it is all verbs, under the others a few. What each came to goes
to FOLDER/CONDITION.json as {name: [exit code, what it said]}.
"""

import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from conftest import TabularEngine

import mssr_rl.comparison.comparison_page
import mssr_rl.lens.lens_verb
import mssr_rl.report.run_page
import mssr_rl.run.trainer  # noqa: F401
from mssr_rl import cli
from mssr_rl import engine as engines
from mssr_rl.sweep import process

HERE = Path(__file__).parent
DATA, FOLDER, *CONDITIONS = sys.argv[1:]
SHORT = [
    "algo=grpo",
    "env=vision_r1",
    f"env.data={DATA}",
    "train.rollouts_per_step=64",
    "train.samples_per_update=16",
    "rollout.max_response_tokens=3",
    "engine.threads=1",
    "budget.rollouts=128",
    "checkpoint.every=1",
    "lens.every=1",
    "eval.limit=8",
]
MADE = ["train", *SHORT, "name=made"]
# "made" is the run that the other verbs look at; it is made before anything is lost.
QUICK = {
    "help": ["--help"],
    "version": ["--version"],
    "train": ["train", *SHORT],
    "grade": ["grade", "responses.jsonl"],
    "lens": ["lens", "runs/made/lens/step_1.jsonl", "algo=grpo,mssr"],
    "status": ["status"],
    "wrong": ["replay", "run=runs/made"],
}
VERBS = {
    **QUICK,
    "help of a verb": ["train", "--help"],
    "completion": ["completion", "bash"],
    "plan": ["train", *SHORT, "--plan"],
    "config": ["train", *SHORT, "--cfg", "job"],
    "compare": ["compare", "algo=grpo,rloo", "seeds=1", *SHORT[1:], "name=compared"],
    "verify": ["report", "verify=comparisons/compared"],
    "eval": ["eval", "model=runs/made", "env=vision_r1", f"env.data={DATA}"],
    "lens of a run": ["lens", "run=runs/made", "algo=grpo"],
    "check": ["check", "algo=grpo"],
    "new": ["new", "env=made_up"],
    "export": ["export", "env=vision_r1", "to=trl"],
    "report": ["report", "run=runs/made"],
    "import": [
        "import",
        "runs/made/metrics.jsonl",
        "comparison=comparisons/compared",
        "rollouts_per_step=64",
    ],
    "doctor": ["doctor"],
    "resume": ["resume", "verify=runs/made"],
    "publish": ["publish", "run=comparisons/compared", "to=published"],
    "board": ["board", "of=comparisons"],
    "view": ["view", "until_input_ends=true"],
}


def reader_left() -> None:
    """Both are pipes that nobody reads."""
    for descriptor in (1, 2):
        reads, writes = os.pipe()
        os.close(reads)
        os.dup2(writes, descriptor)


def output_left() -> None:
    """`| head`: what is said goes to a file."""
    reads, writes = os.pipe()
    os.close(reads)
    os.dup2(writes, 1)


def terminal_gone() -> None:
    """Both are a terminal whose other side has been closed."""
    master, terminal = os.openpty()
    for descriptor in (0, 1, 2):
        os.dup2(terminal, descriptor)
    os.close(master)


def full() -> None:
    """Standard output is a disk that is full."""
    os.dup2(os.open("/dev/full", os.O_WRONLY), 1)


def both_full() -> None:
    """Standard error as well."""
    for descriptor in (1, 2):
        os.dup2(os.open("/dev/full", os.O_WRONLY), descriptor)


def closed() -> None:
    """None is open."""
    for descriptor in (0, 1, 2):
        os.close(descriptor)


def nothing_lost() -> None:
    """For the run that the others look at."""


def in_a_process(words: list[str], said: Path, lose: Callable[[], None]) -> int:
    """The exit code of `words` with streams as `lose` leaves them."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 70
    try:
        file = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        os.closerange(3, 100)
        lose()
        renew_streams()
        code = 0
        cli.script(words)
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:  # noqa: BLE001  as Python does
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        code = 1
    finally:
        try:
            sys.stdout.flush()
        except BaseException:  # noqa: BLE001
            code = 120  # as Python does at its end
        os._exit(code)


def renew_streams() -> None:
    """As Python makes them when it starts."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            raw = io.FileIO(descriptor, "w" if descriptor else "r", closefd=False)
        except OSError:
            setattr(sys, name, None)
            continue
        buffered = io.BufferedWriter(raw) if descriptor else io.BufferedReader(raw)
        made = io.TextIOWrapper(buffered, "utf-8", line_buffering=descriptor == 2)
        setattr(sys, name, made)


def main() -> None:
    """Everything under one condition."""
    os.chdir(FOLDER)
    engines.make_engine = TabularEngine  # type: ignore[assignment]
    child = str(HERE / "sweep" / "tabular_child.py")

    def launch(words: list[str], log: Path, threads: int) -> object:
        command = [sys.executable, child, str(os.getpid()), "0", *words]
        return process.start(command, log, threads)

    process.launch = launch  # type: ignore[assignment]
    assert in_a_process(MADE, Path("made.log"), nothing_lost) == 0, Path("made.log").read_text()
    response = {"response": "<think>x</think>\\boxed{5}", "answer": "5"}
    lines = [json.dumps({"id": n, **response}) + "\n" for n in range(2_000)]
    Path("responses.jsonl").write_text("".join(lines))
    for condition in CONDITIONS:
        came_to = {}
        for name, words in (VERBS if condition == CONDITIONS[0] else QUICK).items():
            said, named = Path("said.log"), [f"name={condition}"] if name == "train" else []
            code = in_a_process([*words, *named], said, globals()[condition])
            came_to[name] = (code, said.read_text())
        Path(f"{condition}.json").write_text(json.dumps(came_to))


if __name__ == "__main__":
    main()
