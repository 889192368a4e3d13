"""The set-up scripts, run for real: environments, pip and locks, on packages of a few bytes."""

import os
import shutil
import subprocess
import textwrap
import time
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "scripts").glob("*.sh"))
COMMANDS = [script for script in SCRIPTS if script.name != "bootstrap.sh"]
STAGES = ("virtual environment", "torch", "other libraries", "mssr_rl itself")

BACKEND = """
    import shutil
    from pathlib import Path

    def build_editable(folder, config_settings=None, metadata_directory=None):
        (wheel,) = Path(__file__).parents[1].glob("wheels/mssr_rl-*.whl")
        return Path(shutil.copy(wheel, folder)).name
"""
PYPROJECT = """
    [build-system]
    requires = []
    build-backend = "backend"
    backend-path = ["."]
    [project]
    name = "mssr_rl"
    version = "1"
"""


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_every_script_is_sound_bash(script: Path) -> None:
    subprocess.run(["bash", "-n", str(script)], check=True)


@pytest.mark.parametrize("script", COMMANDS, ids=lambda script: script.name)
def test_every_command_can_be_executed_and_stops_at_an_error(script: Path) -> None:
    assert os.access(script, os.X_OK)
    text = script.read_text(encoding="utf-8")
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "set -euo pipefail" in text


def test_ci_runs_the_command_of_the_readme() -> None:
    assert "exec bash scripts/test.sh" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_every_pin_is_exact_and_none_names_an_index() -> None:
    for name in ("requirements.txt", "requirements-dev.txt", "requirements-docs.txt"):
        lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
        pins = [line for line in lines if line and not line.startswith("#")]
        assert all(pin.count("==") == 1 and "/" not in pin for pin in pins)


@pytest.mark.parametrize(
    ("others", "cluster", "words", "code"),
    [
        (0, 0, "", 0), (1, 0, "", 1), (0, 1, "", 1), (0, 5, "", 5),
        (0, 5, "tests/test_loss.py", 0), (5, 0, "-k ray", 0), (5, 1, "-k ray", 1),
        (1, 5, "-k loss", 1), (5, 5, "-k nothing", 5),
    ],
)  # fmt: skip
def test_words_that_choose_no_test_of_one_kind_fail_nothing(
    tmp_path: Path, others: int, cluster: int, words: str, code: int
) -> None:
    """test.sh with a Python that only ends with the codes given."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "test.sh", tmp_path / "scripts")
    python = tmp_path / "python"
    python.write_text(
        "#!/bin/bash\n"
        f'case "$*" in *"not cluster"*) exit {others};; *"-m cluster"*) exit {cluster};; esac\n'
    )
    python.chmod(0o755)
    stub = f"ROOT={tmp_path}; bootstrap() {{ PYTHON={python}; }}\n"
    (tmp_path / "scripts" / "bootstrap.sh").write_text(stub)
    command = ["bash", str(tmp_path / "scripts" / "test.sh"), *words.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert ("no test is chosen by: -k nothing" in done.stdout) == (words == "-k nothing")


# ---- the real thing, small ----


class Project:
    """A folder with our bootstrap.sh and packages of its own to install."""

    def __init__(self, folder: Path, wheels: Path) -> None:
        self.folder, self.wheels = folder, wheels
        (folder / "scripts").mkdir(parents=True)
        wheels.mkdir()
        shutil.copy(ROOT / "scripts" / "bootstrap.sh", folder / "scripts")
        for name, version in (("torch", "9"), ("tool", "1"), ("tool", "2"), ("mssr_rl", "1")):
            self.offer(name, version)
        self.write("pyproject.toml", PYPROJECT)
        self.write("backend.py", BACKEND)
        self.require("torch==9\ntool==1\n")
        self.write("requirements-dev.txt", "tool==1\n")
        self.command = self.shell("bootstrap")

    def shell(self, words: str) -> list[str]:
        script = f'source "{self.folder}/scripts/bootstrap.sh"; {words}; echo "$PYTHON"'
        return ["bash", "-c", f"set -euo pipefail; {script}"]

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(textwrap.dedent(text), encoding="utf-8")

    def require(self, pins: str) -> None:
        self.write("requirements.txt", pins)

    def offer(self, name: str, version: str) -> None:
        """A wheel with one module that knows its version."""
        info = f"{name}-{version}.dist-info"
        tag = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        files = {
            f"{name}.py": f"VERSION = {version!r}\n",
            f"{info}/METADATA": metadata,
            f"{info}/WHEEL": tag,
        }
        files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in (*files, f"{info}/RECORD"))
        wheel = self.wheels / f"{name}-{version}-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            for path, text in files.items():
                archive.writestr(path, text)

    def environment(self, **more: str) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "MSSR_"))}
        offline = f"--no-index --find-links {self.wheels}"
        return {**inherited, "PIP_CONFIG_FILE": os.devnull, "MSSR_PIP_ARGS": offline, **more}

    def bootstrap(self, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command, env=self.environment(**more), capture_output=True, text=True, check=False
        )

    def version(self, name: str, venv: str = ".venv") -> str:
        """Which version of a package the environment has."""
        script = f"import {name}; print({name}.VERSION)"
        command = [str(self.folder / venv / "bin" / "python"), "-I", "-c", script]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "a clone", tmp_path / "wheels")  # folders with blanks exist


@pytest.fixture
def ready(project: Project) -> Project:
    """A project that is set up."""
    done = project.bootstrap()
    assert done.returncode == 0, done.stderr
    return project


@pytest.mark.slow
def test_the_first_call_sets_up_and_the_second_is_silent_and_quick(project: Project) -> None:
    first = project.bootstrap()
    lines = first.stderr.splitlines()
    assert len(lines) == len(STAGES), first.stderr
    assert all(stage in line for stage, line in zip(STAGES, lines, strict=True))
    assert first.stdout == f"{project.folder}/.venv/bin/python\n"
    begun = time.perf_counter()
    second = project.bootstrap()
    assert (second.returncode, second.stderr) == (0, "")
    assert time.perf_counter() - begun < 3
    assert [project.version(name) for name in ("torch", "tool", "mssr_rl")] == ["9", "1", "1"]


@pytest.mark.slow
def test_a_changed_pin_costs_its_own_stage(ready: Project) -> None:
    ready.require("torch==9\ntool==2\n")
    done = ready.bootstrap()
    assert done.stderr.count("\n") == 1
    assert "other libraries" in done.stderr
    assert ready.version("tool") == "2"


@pytest.mark.slow
def test_the_packages_of_the_site_change_no_version_that_is_there(ready: Project) -> None:
    ready.command = ready.shell("bootstrap docs")
    ready.write("requirements-docs.txt", "tool==2\n")
    refused = ready.bootstrap()
    assert refused.returncode == 1
    assert ready.version("tool") == "1"
    ready.write("requirements-docs.txt", "tool==1\n")
    assert ready.bootstrap().returncode == 0


@pytest.mark.slow
def test_an_install_that_was_cut_short_is_repaired(ready: Project) -> None:
    (packages,) = ready.folder.glob(".venv/lib/python3*/site-packages")
    (packages / "tool.py").unlink()  # half unpacked: metadata there, code not, no INSTALLER yet
    (packages / "tool-1.dist-info" / "INSTALLER").unlink()
    (ready.folder / ".venv" / ".mssr_rl" / "libraries.stamp").unlink()
    assert ready.bootstrap().returncode == 0
    assert ready.version("tool") == "1"


@pytest.mark.slow
def test_a_virtual_environment_without_pip_is_made_again(project: Project) -> None:
    (project.folder / ".venv" / "bin").mkdir(parents=True)
    (project.folder / ".venv" / "bin" / "python").symlink_to("/bin/false")
    assert project.bootstrap().returncode == 0
    assert project.version("torch") == "9"


@pytest.mark.slow
def test_a_failed_stage_says_why_and_where_and_is_tried_again(ready: Project) -> None:
    ready.require("torch==9\ntool==3\n")
    failed = ready.bootstrap()
    assert failed.returncode == 1
    assert "No matching distribution found for tool==3" in failed.stderr
    log = ready.folder / ".venv" / ".mssr_rl" / "libraries.log"
    assert str(log) in failed.stderr
    assert "tool==3" in log.read_text(encoding="utf-8")
    ready.offer("tool", "3")
    assert ready.bootstrap().returncode == 0
    assert ready.version("tool") == "3"


@pytest.mark.slow
def test_two_calls_at_once_install_once(project: Project) -> None:
    started = [
        subprocess.Popen(
            project.command, env=project.environment(), stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    said = [process.communicate()[1] for process in started]
    assert [process.returncode for process in started] == [0, 0]
    assert "".join(said).count("installing torch") == 1
    assert "".join(said).count("waiting for it") <= 1
    assert project.version("tool") == "1"


@pytest.mark.slow
def test_another_environment_is_filled_where_it_is_named(project: Project) -> None:
    done = project.bootstrap(MSSR_VENV=str(project.folder / "theirs"))
    assert done.returncode == 0, done.stderr
    assert project.version("tool", "theirs") == "1"
    assert not (project.folder / ".venv").exists()


@pytest.fixture
def bare_path(tmp_path: Path) -> str:
    """A PATH with the everyday tools and without any Python."""
    tools = "bash cat cut dirname flock grep mkdir mv realpath rm sha256sum tail"
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in tools.split():
        (folder / tool).symlink_to(shutil.which(tool) or tool)
    return str(folder)


def test_a_machine_without_python_is_told_what_is_missing(project: Project, bare_path: str) -> None:
    done = project.bootstrap(PATH=bare_path)
    assert done.returncode == 1
    assert "no Python 3.11 or newer with the venv module was found on PATH" in done.stderr
