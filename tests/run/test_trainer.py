"""A run from start to end: it learns, logs, and repeats itself bit for bit."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mssr_rl.config import Config
from mssr_rl.engine_protocol import Engine
from mssr_rl.metric_names import TABLE
from mssr_rl.run import checkpoint, trainer

Configure = Callable[..., Config]
MakeEngine = Callable[[Config], Engine]

METRICS = {
    "step",
    "reward/mean",
    *(f"critic/advantages/{name}" for name in ("mean", "std", "min", "max", "zero_fraction")),
    *(f"actor/{name}" for name in ("entropy", "plogp", "pg_loss", "kl_ref", "kl_step")),
    *(f"actor/{name}" for name in ("pg_clipfrac", "grad_norm", "lr")),
    *(f"response_length/{name}" for name in ("mean", "max", "clip_ratio")),
    *(
        f"reward/{name}_fraction"
        for name in ("no_answer", "bad_format", "wrong", "timeout", "error")
    ),
    *(f"budget/{name}" for name in ("rollouts", "prompts", "updates", "seconds")),
    *(f"budget/{name}" for name in ("generated_tokens", "trained_tokens")),
    *(f"timing_s/{name}" for name in ("rollout", "reward", "logprob", "update", "sync", "step")),
}
TRACKER = {"tracker/mean", "tracker/eta", "tracker/kl"}
SHAPING = {f"shaping/{name}" for name in ("bonus_mean", "capped_fraction", "flipped_fraction")}
ALGORITHMS = ["grpo", "rloo", "reinforce_pp", "mvsr", "mssr"]


def rows(folder: Path, stream: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{stream}.jsonl").read_text().splitlines()]


def without_seconds(folder: Path, stream: str) -> str:
    """The stream as text, wall time left out."""
    kept = [
        {k: v for k, v in row.items() if not k.startswith("timing_s/") and k != "budget/seconds"}
        for row in rows(folder, stream)
    ]
    for row in kept:
        if "budget" in row:
            row["budget"] = {k: v for k, v in row["budget"].items() if k != "seconds"}
    return "\n".join(json.dumps(row) for row in kept)


def weights(folder: Path) -> bytes:
    return (newest(folder) / "policy" / "model.safetensors").read_bytes()


def newest(folder: Path) -> Path:
    found = checkpoint.newest_valid(folder / "checkpoints").folder
    assert found is not None
    return found


# ---- what a run leaves behind ----


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_every_algorithm_runs_to_the_end_and_logs_the_keys_of_contract_b(
    configure: Configure, make_engine: MakeEngine, algo: str
) -> None:
    folder = trainer.run(configure(f"algo={algo}"), make_engine)
    extra = {"mvsr": TRACKER, "mssr": TRACKER | SHAPING}.get(algo, set())
    metrics = rows(folder, "metrics")
    assert [row["step"] for row in metrics] == [1, 2, 3, 4, 5, 6]
    for row in metrics:
        assert set(row) == METRICS | extra
        assert set(row) <= TABLE.keys()
    assert json.loads((folder / "run.json").read_text())["status"] == "done"
    for name in ("config.yaml", "summary.json", "report.html"):
        assert (folder / name).stat().st_size > 0
    assert list((folder / "tensorboard").glob("events.*"))


def test_a_run_learns(configure: Configure, make_engine: MakeEngine) -> None:
    config = configure("algo=grpo", "budget.rollouts=2560", "eval.every=0", "checkpoint.every=0")
    folder = trainer.run(config, make_engine)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["gain"]["val"]["accuracy"] > 0.3
    assert summary["gain"]["val"]["accuracy_sampled"] > 0.3
    assert summary["final"]["test"]["accuracy"] > 0.4


def test_evaluations_come_at_the_start_on_schedule_and_at_the_end(
    configure: Configure, make_engine: MakeEngine
) -> None:
    folder = trainer.run(configure("eval.every=4"), make_engine)
    found = [(row["step"], row["split"], row["n"]) for row in rows(folder, "eval")]
    assert found == [(0, "val", 30), (4, "val", 30), (6, "val", 30), (6, "test", 20)]


def test_the_ledger_of_the_last_step_is_the_sum_of_the_steps(
    configure: Configure, make_engine: MakeEngine
) -> None:
    folder = trainer.run(configure("algo=grpo", "budget.rollouts=400"), make_engine)
    last = rows(folder, "metrics")[-1]
    ledger = json.loads((folder / "summary.json").read_text())["ledger"]
    assert last["budget/rollouts"] == ledger["rollouts"] == 6 * 64  # 16 of 400 stay unspent
    assert last["budget/prompts"] == ledger["prompts"] == 6 * 8
    assert last["budget/updates"] == ledger["updates"] == 6 * 4
    assert last["budget/trained_tokens"] == last["budget/generated_tokens"]
    assert ledger["image_tokens"] == 6 * 8
    assert ledger["evaluation_rollouts"] == 3 * 30 * 5 + 20 * 5
    assert json.loads((folder / "run.json").read_text())["rollouts_left_unspent"] == 16


def test_samples_show_what_was_said_and_what_it_was_paid_for(
    configure: Configure, make_engine: MakeEngine
) -> None:
    folder = trainer.run(configure("lens.every=0"), make_engine)  # which keeps pictures, too
    samples = rows(folder, "samples")
    assert len(samples) == 6 * 4 + 4 * 16
    for sample in samples:
        assert (folder / sample["image"]).read_bytes().startswith(b"\x89PNG")
        assert sample["reward"] == (sample["reason"] == "correct")
        if sample["reason"] == "correct":
            assert sample["extracted"] == sample["answer"]
            assert sample["answer"] in sample["response"]
    pictures = {sample["key"]: sample["image"] for sample in samples}
    assert len(list((folder / "samples").iterdir())) == len(pictures)


def test_run_json_says_what_the_numbers_depend_on(
    configure: Configure, make_engine: MakeEngine
) -> None:
    known = json.loads((trainer.run(configure(), make_engine) / "run.json").read_text())
    assert known["versions"]["torch"] == torch.__version__
    assert known["data"]["train"]["problems"] == 60
    assert "64 of 64 rollouts" in known["kl_step_measured_on"]
    assert known["machine"]["cores"] == os.cpu_count()
    assert len({split["fingerprint"] for split in known["data"].values()}) == 3


def test_the_first_lines_say_what_is_used_and_the_first_rewards_are_shown(
    configure: Configure, make_engine: MakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = trainer.run(configure("algo=grpo"), make_engine)
    said = capsys.readouterr()
    assert said.out == ""  # stdout is for data
    first = said.err.splitlines()[:8]
    assert "grpo, seed 0" in first[0]
    assert "on engine local: cpu" in first[1]
    assert "60 train / 30 val / 20 test problems" in first[3]
    assert "384 rollouts: 6 steps of 64 (8 problems × 8), 4 updates" in first[4]
    assert first[5] == "read    as Vision-R1: problem, images, answer, id"
    assert "no problem of val or test is in train" in first[6]
    assert str(folder) in first[7]
    assert "rewards of step 1" in said.err


# ---- the same again ----


@pytest.mark.parametrize("algo", ["grpo", "mssr"])
def test_the_same_config_and_seed_give_the_same_bytes(
    configure: Configure, make_engine: MakeEngine, algo: str
) -> None:
    one, two = (
        trainer.run(configure(f"algo={algo}", f"name={name}"), make_engine) for name in "ab"
    )
    for stream in ("metrics", "eval", "samples"):
        assert without_seconds(one, stream) == without_seconds(two, stream)
    assert weights(one) == weights(two)


@pytest.mark.slow
def test_another_seed_gives_another_run(configure: Configure, make_engine: MakeEngine) -> None:
    one, two = (trainer.run(configure(f"seed={s}", f"name=s{s}"), make_engine) for s in "01")
    assert without_seconds(one, "metrics") != without_seconds(two, "metrics")


@pytest.mark.slow
def test_arms_are_posed_the_same_problems(configure: Configure, make_engine: MakeEngine) -> None:
    arms = [trainer.run(configure(f"algo={a}", f"name={a}"), make_engine) for a in ("grpo", "mssr")]
    orders = {json.loads((arm / "run.json").read_text())["problem_order"] for arm in arms}
    assert len(orders) == 1


@pytest.mark.parametrize(
    ("bound", "steps", "reason"),
    [
        ("budget.updates=9", 2, "budget.updates=9 is too small for one step"),
        ("budget.generated_tokens=200", 2, "budget.generated_tokens=200 is spent"),
        ("budget.seconds=0.000001", 1, "budget.seconds=1e-06 is spent"),
    ],
)
def test_any_currency_of_the_ledger_can_end_a_run(
    configure: Configure, make_engine: MakeEngine, bound: str, steps: int, reason: str
) -> None:
    folder = trainer.run(configure(bound, "name=bounded"), make_engine)
    run = json.loads((folder / "run.json").read_text())
    assert (run["status"], run["exit_reason"]) == ("done", reason)
    assert [row["step"] for row in rows(folder, "metrics")] == list(range(1, steps + 1))
    assert [row["step"] for row in rows(folder, "eval") if row["split"] == "test"] == [steps]
    assert newest(folder).name == f"step_{steps}"
