"""The plug-in under examples/, installed as its user would: found in every process, and trained."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WORDS = [
    *("algo=median", "env=sums", "env.largest=3", "algo.caution=0.5", "engine.threads=1"),
    *("train.rollouts_per_step=16", "train.samples_per_update=8", "budget.rollouts=32"),
    *("eval.limit=4", "eval.samples=1", "eval.every=0", "name=mine"),
]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment: our dependencies, and the plug-in installed."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder / "venv", symlinks=True)
    found = folder / "venv" / "bin" / "python"
    site = next((folder / "venv" / "lib").glob("python*/site-packages"))
    # Our dependencies are large and pinned: they are borrowed, not installed a second time.
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    source = folder / "source"
    for path in (ROOT / "examples" / "mssr_rl_median").rglob("*"):
        if path.is_file() and path.suffix in (".py", ".toml"):
            target = source / path.relative_to(ROOT / "examples" / "mssr_rl_median")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    install = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    _run(found, *install, str(source), cwd=folder)
    return found


def _run(python: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [str(python), *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_it_is_not_there_where_it_is_not_installed(tmp_path: Path) -> None:
    script = "from mssr_rl.algos import algorithms; print('median' in algorithms.names())"
    assert _run(Path(sys.executable), "-c", script, cwd=tmp_path).stdout.strip() == "False"


def test_it_trains_by_name_alone(python: Path, tmp_path: Path) -> None:
    _run(python, "-m", "mssr_rl", "train", *WORDS, cwd=tmp_path)
    run = tmp_path / "runs" / "mine"
    assert json.loads((run / "run.json").read_text())["status"] == "done"
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 2
    assert "caution: 0.5" in (run / "config.yaml").read_text()


def test_a_worker_process_finds_it_too(python: Path, tmp_path: Path) -> None:
    script = tmp_path / "spawns.py"
    script.write_text(
        "from concurrent.futures import ProcessPoolExecutor\n"
        "from multiprocessing import get_context\n\n"
        "def names():\n"
        "    from mssr_rl.algos import algorithms\n"
        "    from mssr_rl.envs import environments\n"
        "    return algorithms.make('median', caution=0.5).name, environments.make('sums').name\n\n"
        "if __name__ == '__main__':\n"
        "    with ProcessPoolExecutor(1, mp_context=get_context('spawn')) as pool:\n"
        "        print(*pool.submit(names).result())\n"
    )
    assert _run(python, str(script), cwd=tmp_path).stdout.split() == ["median", "sums"]


def test_it_keeps_the_laws(python: Path, tmp_path: Path) -> None:
    lines = _run(python, "-m", "mssr_rl", "check", "algo=median", cwd=tmp_path).stdout.splitlines()
    assert all(line.startswith("ok ") for line in lines)


def test_the_lens_sees_through_it(python: Path, tmp_path: Path) -> None:
    line = {"problem": ["a"] * 3, "reward": [1, 0, 0], "logprob": [[-1.0], [-1.0], [-1.0]]}
    (tmp_path / "batch.jsonl").write_text(json.dumps(line))
    words = ("lens", "batch.jsonl", "algo=median", "algo.caution=0.5")
    found = json.loads(_run(python, "-m", "mssr_rl", *words, cwd=tmp_path).stdout)
    assert found["advantage"] == [[0.5], [0], [0]]
