"""The single files under examples/losses: short, lawful, equal to ours, trained and resumed."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from mssr_rl.algos import algorithms
from mssr_rl.check_algo.algorithm_laws import LAWS, CheckedAlgorithm
from mssr_rl.check_algo.check_algo_verb import verdict
from mssr_rl.config.compose import load as load_config
from mssr_rl.config.plugins import prepare
from mssr_rl.loss import Signal
from mssr_rl.run import plugin_sources
from mssr_rl.sweep.derived import deriver

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "examples" / "losses"
FILES = sorted(path.stem for path in FOLDER.glob("*.py"))
every = pytest.mark.parametrize("name", FILES)
TRAINS = [
    *("env=vision_r1", "train.rollouts_per_step=16", "train.samples_per_update=8", "train.lr=1e-3"),
    *("rollout.group_size=8", "budget.rollouts=48", "eval.limit=4", "eval.samples=1"),
    *("eval.every=0", "checkpoint.every=1", "checkpoint.keep=3"),
]


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(FOLDER)
    prepare(FILES)


def test_there_are_four() -> None:
    assert FILES == ["outside_cispo", "outside_gspo", "outside_papo", "outside_sapo"]


@every
def test_a_file_is_short_and_touches_nothing_private(name: str) -> None:
    text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 40
    assert "._" not in text
    assert "import _" not in text


@every
def test_it_keeps_every_law(name: str) -> None:
    subject = CheckedAlgorithm(name, lambda: algorithms.make(name))
    assert [said for law in LAWS if (said := verdict(law, subject))] == []


@pytest.mark.parametrize("name", ["gspo", "cispo", "sapo"])
def test_it_is_our_own_loss_over_again(name: str) -> None:
    generator = torch.Generator().manual_seed(1)
    old, moved, advantage = (torch.rand(6, 5, generator=generator) for _ in range(3))
    mask = (torch.arange(5) < torch.tensor([5, 1, 3, 2, 5, 4])[:, None]).float()
    signal = Signal((-old + moved - 0.5) * mask, -old * mask, (advantage - 0.5) * mask, mask)
    one, two = (algorithms.make(n).loss.surrogate(signal) for n in (name, f"outside_{name}"))
    assert torch.allclose(one.token_loss_BT * mask, two.token_loss_BT * mask)


@pytest.mark.slow
def test_a_plug_ins_formula_is_part_of_what_an_arm_is(tmp_path: Path) -> None:
    """The same options, another formula: fairness table and run record tell them apart."""
    text = (FOLDER / "outside_cispo.py").read_text(encoding="utf-8")
    other = text.replace("outside_cispo", "other_cispo").replace("max=1 +", "max=2 +")
    (tmp_path / "other_cispo.py").write_text(other)
    sys.path.insert(0, str(tmp_path))
    try:
        prepare(["other_cispo"])
    finally:
        sys.path.remove(str(tmp_path))
    derive = deriver()
    said = {}
    for name in ("outside_cispo", "other_cispo"):
        config = load_config([f"algo={name}", "env=vision_r1", f"plugins=[{name}]"])
        said[name] = derive(config)["policy loss"].value
        assert f"{name}.py" in plugin_sources.of(config)[name]["files"]
    assert said["outside_cispo"].startswith("outside_cispo · ")
    assert len(set(said.values())) == 2
    assert said["outside_cispo"].split()[-1] != said["other_cispo"].split()[-1]
    assert derive(load_config(["algo=gspo", "env=vision_r1"]))["policy loss"].value == "gspo"


def _mssr_rl(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join((str(ROOT), str(FOLDER)))
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "mssr_rl", *words]
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


def _metrics(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
@every
def test_it_trains_and_resumes_bit_for_bit(name: str, tmp_path: Path) -> None:
    words = (f"algo={name}", f"plugins=[{name}]", *TRAINS, "name=mine")
    _mssr_rl("train", *words, cwd=tmp_path)
    run = tmp_path / "runs" / "mine"
    rows = _metrics(run)
    assert len(rows) == 3
    assert all(row["actor/grad_norm"] > 0 for row in rows)
    assert ("actor/perception_kl" in rows[0]) == (name == "outside_papo")
    said = _mssr_rl("resume", f"verify={run}", f"plugins=[{name}]", cwd=tmp_path).stdout
    assert "bit for bit" in said
