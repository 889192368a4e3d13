"""Standard streams that are closed, full or read by nobody: nothing ends by it, or complains."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mssr_rl import cli

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parent / "verbs_without_output.py"
WRONG = {"wrong"}  # refused for another reason
KEPT = {"train", "compare", "eval"}  # their work is in a folder
FULL = "mssr_rl: standard output cannot be written: No space left on device"

CONDITIONS = ["output_left", "reader_left", "terminal_gone", "closed", "full", "both_full"]

CameTo = dict[str, tuple[int, str]]


@pytest.fixture(scope="module")
def folder(counting_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the verbs have been run, and what each came to under each condition."""
    made = tmp_path_factory.mktemp("lost")
    command = [sys.executable, str(SCRIPT), str(counting_data), str(made), *CONDITIONS]
    subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    return made


def under(condition: str, folder: Path) -> CameTo:
    found: CameTo = json.loads((folder / f"{condition}.json").read_text())
    return found


def refuse_tracebacks(came_to: CameTo) -> None:
    assert [name for name, (_, said) in came_to.items() if "Traceback" in said] == []


def codes(came_to: CameTo) -> dict[str, int]:
    return {name: code for name, (code, _) in came_to.items()}


def refuse_a_broken_record(run: Path) -> None:
    assert json.loads((run / "run.json").read_text())["status"] == "done"
    for stream in ("metrics", "eval", "samples"):
        lines = (run / f"{stream}.jsonl").read_text().splitlines()
        assert all(json.loads(line)["step"] >= 0 for line in lines)
        assert lines


def test_every_verb_ends_quietly_where_the_reader_of_its_output_has_left(
    folder: Path,
) -> None:
    came_to = under("output_left", folder)
    assert {words.split()[0] for words in came_to} >= {*cli.VERBS} - {"replay"} | {"wrong"}
    refuse_tracebacks(came_to)
    assert codes(came_to) == {name: 2 if name in WRONG else 0 for name in came_to}
    quiet = set(came_to) - KEPT - WRONG - {"lens of a run", "resume", "import", "view"}
    assert [name for name in quiet if came_to[name][1]] == []
    refuse_a_broken_record(folder / "runs" / "output_left")


@pytest.mark.parametrize("condition", ["reader_left", "terminal_gone", "closed"])
def test_a_run_goes_on_without_anybody_who_reads_it(folder: Path, condition: str) -> None:
    came_to = under(condition, folder)
    refuse_tracebacks(came_to)
    assert codes(came_to) == {name: 2 if name in WRONG else 0 for name in came_to}
    refuse_a_broken_record(folder / "runs" / condition)


@pytest.mark.parametrize("condition", ["full", "both_full"])
def test_what_only_goes_to_a_full_disk_is_no_success(folder: Path, condition: str) -> None:
    came_to = under(condition, folder)
    refuse_tracebacks(came_to)
    lost = set(came_to) - KEPT - WRONG
    assert {name for name, (code, _) in came_to.items() if code == 1} == lost
    if condition == "full":
        assert all(FULL in came_to[name][1] for name in lost)
    refuse_a_broken_record(folder / "runs" / condition)


@pytest.mark.parametrize("lost", ["<&- >&- 2>&-", "| head -n 1", ">/dev/null 2>&-"])
def test_the_program_itself_starts_without_its_streams(lost: str) -> None:
    shell = f"set -o pipefail; {sys.executable} -m mssr_rl --help {lost}"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
