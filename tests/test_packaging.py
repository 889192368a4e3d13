"""The wheel: everything a run needs is in it, under one top-level name."""

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
NEEDED = (
    "algos/mssr.py",
    "envs/vision_r1.py",
    "envs/families/__init__.py",
    "configs/config.yaml",
    "configs/recipe/laptop.yaml",
    "models/tiny/config.json",
    "models/tiny/model.safetensors",
    "models/tiny/chat_template.jinja",
    "py.typed",
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from what git knows, in a folder of its own."""
    clone = tmp_path_factory.mktemp("clone")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_symlink():
            (clone / name).symlink_to((ROOT / name).readlink())
        else:
            (clone / name).write_bytes((ROOT / name).read_bytes())
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", "dist", "."], cwd=clone, check=True)
    (built,) = (clone / "dist").glob("*.whl")
    return built


def test_everything_a_run_needs_is_in_the_wheel(wheel: Path) -> None:
    files = set(zipfile.ZipFile(wheel).namelist())
    assert {f"mssr_rl/{name}" for name in NEEDED} - files == set()
    package, kinds = ROOT / "mssr_rl", ("*/templates/**/*", "*/schemas/*")
    found = {path for kind in kinds for path in package.glob(kind) if path.is_file()}
    read = {str(path.relative_to(ROOT)) for path in found}
    assert len(read) > 8
    assert read - files == set()


def test_the_wheels_ranges_are_of_the_pinned_packages_and_allow_the_pins() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    ranges = {r.name: r.specifier for r in map(Requirement, project["dependencies"])}
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line[:1] not in ("", "#"))
    assert ranges.keys() == pins.keys()
    assert [name for name, pin in pins.items() if not ranges[name].contains(pin)] == []


def test_nothing_but_our_name_is_at_the_top(wheel: Path) -> None:
    top = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == {"mssr_rl"}


def test_what_is_unpacked_elsewhere_plans_a_run(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    script = "import mssr_rl; print(mssr_rl.__file__); from mssr_rl.cli import main; print(main())"
    done = subprocess.run(
        [sys.executable, "-c", script, "train", "env.limit=8", "--plan"],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, *_, last = done.stdout.splitlines()
    assert first.startswith(str(tmp_path))
    assert "nothing was started" in done.stdout
    assert last == "0"
