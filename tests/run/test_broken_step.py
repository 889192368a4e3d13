"""A step that breaks: named, kept for replay, stopped at or left out; the policy stays sound."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from mssr_rl import cli
from mssr_rl.config import Config
from mssr_rl.engine_protocol import Engine, Rollouts
from mssr_rl.errors import Collapsed, UserError
from mssr_rl.run import checkpoint, replay, sameness, trainer

pytestmark = pytest.mark.slow

Configure = Callable[..., Config]
MakeEngine = Callable[[Config], Engine]
NAN = float("nan")


class Breaking:
    """An engine one of whose tensors is no number in some of its steps."""

    def __init__(self, inner: Any, tensor: str, steps: set[int]) -> None:
        self._inner, self._tensor, self._steps = inner, tensor, steps
        self._step = 0
        inner.logits.register_hook(self._gradient)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def _now(self, tensor: str) -> bool:
        return tensor == self._tensor and self._step in self._steps

    def _gradient(self, gradient: Tensor) -> Tensor:
        return gradient * NAN if self._now("gradient") else gradient

    def rollout(self, problems: Any, group_size: int, sampling: Any, seed: int) -> Rollouts:
        found: Rollouts = self._inner.rollout(problems, group_size, sampling, seed)
        self._step += problems[0].key.startswith("train")
        if self._now("logprob"):
            found.logprob_BT[3, 0] = NAN
        return found

    def update(self, rollouts: Any, advantage_BT: Tensor, reference_BT: Tensor, plan: Any) -> Any:
        if self._now("loss"):  # only the last rollout's: the updates before its own are sound
            reference_BT = reference_BT.clone()
            reference_BT[-1] = NAN
        return self._inner.update(rollouts, advantage_BT, reference_BT, plan)


def breaking(make_engine: MakeEngine, tensor: str, *steps: int) -> MakeEngine:
    return lambda config: Breaking(make_engine(config), tensor, set(steps))  # type: ignore[return-value]


def of(configure: Configure, name: str) -> Path:
    return Path(configure().runs_dir) / name


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


NAMED = {
    "logprob": "the log-probability",
    "loss": "the loss",
    "gradient": "the gradient of logits",
}


@pytest.mark.parametrize("tensor", NAMED)
def test_the_first_bad_tensor_is_named_and_the_run_stops_before_the_optimiser(
    configure: Configure, make_engine: MakeEngine, tensor: str
) -> None:
    with pytest.raises(
        Collapsed, match=f"step 4: {NAMED[tensor]} is not finite .*its batch is kep"
    ):
        trainer.run(configure("name=run"), breaking(make_engine, tensor, 4))
    folder = of(configure, "run")
    kept = folder / "faults" / "step_4"
    assert checkpoint.fault(kept) is None
    assert torch.isfinite(load_file(kept / "policy" / "model.safetensors")["logits"]).all()
    assert json.loads((kept / "batch.json").read_text())["bad"] == NAMED[tensor]
    assert len(rows(folder)) == 3


def test_what_was_completed_before_is_saved_where_the_policy_is_untouched(
    configure: Configure, make_engine: MakeEngine
) -> None:
    with pytest.raises(Collapsed):
        trainer.run(configure("name=run"), breaking(make_engine, "logprob", 4))
    assert (of(configure, "run") / "checkpoints" / "step_3").is_dir()


@pytest.mark.parametrize("tensor", NAMED)
def test_a_step_may_be_left_out_instead(
    configure: Configure, make_engine: MakeEngine, tensor: str
) -> None:
    words = ("name=run", "fault.non_finite=skip")
    folder = trainer.run(configure(*words), breaking(make_engine, tensor, 3))
    found = rows(folder)
    assert [row["step"] for row in found] == [1, 2, 3, 4, 5, 6]
    assert [row.get("fault/skipped", 0) for row in found] == [0, 0, 1, 0, 0, 0]
    assert [row["budget/rollouts"] for row in found] == [64, 128, 192, 256, 320, 384]
    made = 1 if tensor == "loss" else 0  # the first of the step's updates was sound
    assert found[2]["budget/updates"] == found[1]["budget/updates"] + made
    ledger = json.loads((folder / "summary.json").read_text())["ledger"]
    assert ledger["discarded_rollouts"] == 64
    assert "</html>" in (folder / "report.html").read_text()


def test_a_run_that_left_out_a_step_resumes_bit_for_bit(
    configure: Configure, make_engine: MakeEngine
) -> None:
    skip = "fault.non_finite=skip"
    whole = trainer.run(configure("name=whole", skip), breaking(make_engine, "gradient", 3))
    short = configure("name=half", skip, "budget.rollouts=192", "eval.every=0")
    trainer.run(short, breaking(make_engine, "gradient", 3))
    half = trainer.run(configure("name=half", skip, "eval.every=0", "resume=true"), make_engine)
    weights = "checkpoints/step_6/policy/model.safetensors"
    assert sameness.rows(half, "metrics") == sameness.rows(whole, "metrics")
    assert (half / weights).read_bytes() == (whole / weights).read_bytes()


def test_three_broken_steps_in_a_row_end_the_run_all_the_same(
    configure: Configure, make_engine: MakeEngine
) -> None:
    words = ("name=run", "fault.non_finite=skip")
    with pytest.raises(Collapsed, match="step 5"):
        trainer.run(configure(*words), breaking(make_engine, "loss", 1, 3, 4, 5))
    assert len(list((of(configure, "run") / "faults").iterdir())) == 3


@pytest.mark.parametrize("tensor", NAMED)
def test_replay_shows_the_place_and_does_the_step_again(
    configure: Configure, make_engine: MakeEngine, tensor: str
) -> None:
    with pytest.raises(Collapsed):
        trainer.run(configure("name=run"), breaking(make_engine, tensor, 4))
    said = list(replay.replay(of(configure, "run"), make_engine))
    assert said[0].endswith(f"in which {NAMED[tensor]} was not finite")
    if tensor == "logprob":
        assert "  rollout 3, token 0, of problem train/" in "\n".join(said)
        assert said[-1] == "again: the log-probability is not finite (1 of 192 values)"
    else:  # the fault lay in the engine of this test, not in batch or policy
        assert "this time every number is finite" in said[-1]


def test_replay_of_a_policy_that_is_broken_finds_it_broken(
    configure: Configure, make_engine: MakeEngine
) -> None:
    with pytest.raises(Collapsed):
        trainer.run(configure("name=run"), breaking(make_engine, "gradient", 4))
    said = list(replay.replay(of(configure, "run"), breaking(make_engine, "gradient", 0)))
    assert said[-1].startswith("again: the gradient of logits is not finite")


def test_replay_without_a_broken_step_says_so(
    configure: Configure, make_engine: MakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = trainer.run(configure("name=run"), make_engine)
    with pytest.raises(UserError, match="keeps no step that broke"):
        list(replay.replay(folder, make_engine))
    assert cli.main(["replay"]) == cli.USAGE
    assert "replay takes run=..." in capsys.readouterr().err


def test_a_kept_step_that_was_tampered_with_is_not_replayed(
    configure: Configure, make_engine: MakeEngine
) -> None:
    with pytest.raises(Collapsed):
        trainer.run(configure("name=run"), breaking(make_engine, "loss", 2))
    batch = of(configure, "run") / "faults" / "step_2" / "batch.json"
    batch.write_text(batch.read_text().replace("<think>", "<thunk>"))
    with pytest.raises(UserError, match=r"cannot be replayed: batch\.json is not what was written"):
        list(replay.replay(of(configure, "run"), make_engine))
