"""Fifty wrong command lines over all verbs: each is one line on stderr and exit code 2."""

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mssr_rl import cli
from mssr_rl.verbs import VERBS

# {command line: a part of the message, which names the fault or the way out}
WRONG = {
    "trian": "did you mean train?",
    "algo=mssr": "name a verb before algo=mssr",
    "--help nonsense": "nonsense",
    "train algo=mssr,grpo": "compare algo=mssr,grpo trains a run with each",
    "train env=vision_r1,mathverse": "compare env=vision_r1,mathverse trains",
    "train algo=mssrr": "did you mean 'mssr'?",
    "train model=runs/frist": "model=runs/frist is no folder here; runs here: runs/first",
    "train model.path=runs/frist": "there is no such folder here; runs here: runs/first",
    "train model.path=runs/frist --plan": "there is no such folder here; runs here: runs/first",
    "train model.path=frist --plan": "A model of the hub is written owner/name",
    "train model.path=./frist": "there is no such folder here",
    "train model.path=/no/such/folder": "there is no such folder here",
    "train engine.device=cuda:99": "`mssr_rl doctor` says what it can run",
    "train engine.device=cuda:99 --plan": "`mssr_rl doctor` says what it can run",
    "train engine.device=gpu": "write cpu, cuda or cuda:1",
    "train env.limit=-1": "limit=-1 leaves no rows",
    "train env.data=nowhere": "there is no file or folder nowhere",
    "train seed=1,2": "one run takes one value",
    "train resume=true name=frist": "there is no run to resume",
    "train name=first": "exists already",
    "train plugins=[nothing_here]": "no module nothing_here",
    "compare": "and mssr is the only one: which should it be compared with?",
    "compare algo=grpo seeds=5": "(algo=grpo,grpo)",
    "compare algo=mssr,mssr": "is there twice",
    "compare algo=mssr,grpo baseline=rloo": "choose from mssr, grpo",
    "compare algo=mssr,grpo model.path=runs/frist": "runs here: runs/first",
    "compare algo=mssr,grpo engine.device=cuda:99": "doctor",
    "compare algo=mssr,grpo seeds=0": "at least 1",
    "eval model.path=runs/frist env=vision_r1": "runs here: runs/first",
    "eval model=first env=vision_r1": "runs here: runs/first",
    "eval model=tiny env=vision_r1 engine.device=cuda:99": "doctor",
    "eval compare=runs/first": "name two result folders",
    "grade": "grade takes FILE",
    "grade nofile.jsonl": "No such file",
    "lens": "lens takes run=",
    "lens run=runs/frist": "is not a run directory; runs here: runs/first",
    "lens bad.jsonl algo=mssr": "is not JSON",
    "check": "check takes env=",
    "check model=runs/frist": "runs here: runs/first",
    "check algo=mssr algo.gama=1": "did you mean algo.gamma?",
    "new env=vision_r1": "is there already",
    "new env=a/b": "small letters",
    "export env=math12k to=nope": "not one of",
    "export env=math12k to=trl split=tset": "split",
    "report run=runs/frist": "does not exist; runs here: runs/first",
    "report verify=runs/first": "comparisons here: comparisons/one",
    "import bad.jsonl comparison=nothing rollouts_per_step=8": "name the folder of a comparison",
    "doctor x=1": "takes no arguments",
    "completion fish": "bash, zsh",
    "status runs_dir=nowhere": "is no folder",
    "resume verify=runs/frist": "runs here: runs/first",
    "publish run=runs/frist to=new": "runs here: runs/first",
    "publish run=runs/first": "publish takes run=... to=...",
    "board": "comparison",
    "view port=abc": "port=abc is not a whole number",
    "replay run=runs/frist": "runs here: runs/first",
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one run, one comparison and a file that is no JSON; the hub is out of reach."""
    for name, mark in (("runs/first", "run.json"), ("comparisons/one", "compare.json")):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / mark).write_text(json.dumps({"status": "done"}))
    (tmp_path / "bad.jsonl").write_text("no json\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_there_are_fifty_over_all_verbs() -> None:
    assert len(WRONG) >= 50
    assert {word for line in WRONG for word in line.split() if word in VERBS} == set(VERBS)


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_command_line_costs_one_line(
    line: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = time.monotonic()
    code = cli.main(shlex.split(line))
    out, err = capsys.readouterr()
    assert (code, out, err.count("\n")) == (cli.USAGE, "", 1), err
    assert WRONG[line] in err
    assert time.monotonic() - before < 20  # the hub's client tries for longer


def test_ctrl_c_while_the_program_is_imported_ends_in_a_line(tmp_path: Path) -> None:
    # A module of this name is imported in place of ours, as if Ctrl-C came at that moment.
    script = (
        "import sys, types\n"
        "class Hit:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'mssr_rl.cli': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Hit())\n"
        "from mssr_rl.__main__ import script; script()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 130
    assert done.stderr == "mssr_rl: ended by Ctrl-C; nothing was started\n"
