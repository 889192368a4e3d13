"""Tokens without loss: what the environment says reaches chain, loss, record and replay."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from mssr_rl.advantage import Batch
from mssr_rl.config import Config
from mssr_rl.engine.local import LocalEngine, LocalOptions
from mssr_rl.engine.regroup import joined, picked
from mssr_rl.engine_protocol import Engine, Rollouts, Sampling, UpdatePlan
from mssr_rl.envs import ProblemEnv
from mssr_rl.errors import UserError
from mssr_rl.lens.lines import open_recording
from mssr_rl.loss import Loss
from mssr_rl.problem import Problem
from mssr_rl.run import trainer
from mssr_rl.run.marking import learns
from mssr_rl.run.mishaps import EnvironmentFailed


def second_token(problem: Problem, pieces: Sequence[str]) -> list[bool]:
    return [place == 1 for place in range(len(pieces))]


def env(without_loss: Any) -> ProblemEnv:
    made = ProblemEnv([Problem(key="k", prompt="1", answer="1")], name="told", split="train")
    made.without_loss = without_loss
    return made


def test_an_environment_names_the_tokens_without_loss() -> None:
    told = env(lambda problem, pieces: [piece.startswith("<tool>") for piece in pieces])
    assert learns(told, told.problems[0], ["a", "<tool>9", "b"]) == [True, False, True]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([True], "one bool for each of the 2 tokens"),
        ([0, 1], "one bool"),
        (None, "raised TypeError"),
    ],
)
def test_a_wrong_answer_names_the_environment_and_the_problem(given: Any, says: str) -> None:
    told = env(lambda problem, pieces: given)
    with pytest.raises(EnvironmentFailed, match=f"environment told .*{says}"):
        learns(told, told.problems[0], ["a", "b"])


def two(learns_BT: torch.Tensor | None) -> Rollouts:
    one = torch.ones(2, 3)
    posed = tuple(Problem(key=k, prompt=k, answer=k) for k in "ab")
    cut_B = torch.zeros(2, dtype=torch.bool)
    texts = ("x", "y")
    return Rollouts(posed, 1, texts, one.long(), one, -one, one, cut_B, 5, 0, learns_BT=learns_BT)


def test_lots_with_and_without_a_loss_mask_are_cut_and_joined() -> None:
    mask = torch.tensor([[1.0, 0, 1], [1, 1, 0]])
    both = joined([two(mask), two(None)])
    assert both.loss_mask_BT.tolist() == [*mask.tolist(), [1, 1, 1], [1, 1, 1]]
    assert picked(both, [1]).loss_mask_BT.tolist() == [[1, 1, 0]]
    assert joined([two(None), two(None)]).learns_BT is None


@pytest.mark.slow
def test_a_run_leaves_them_out_of_advantages_and_loss_and_records_them(
    configure: Callable[..., Config],
    make_engine: Callable[[Config], Engine],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ("algo=mssr", "checkpoint.every=1", "lens.every=1", "eval.limit=2")
    plain = trainer.run(configure(*words, "name=plain"), make_engine)
    monkeypatch.setattr(ProblemEnv, "__getattribute__", _told)
    whole = trainer.run(configure(*words, "name=whole"), make_engine)
    trainer.run(configure(*words, "name=half", "budget.rollouts=192"), make_engine)
    half = trainer.run(configure(*words, "name=half", "resume=true"), make_engine)
    assert _rows(whole) == _rows(half)
    told, untold = _rows(whole), _rows(plain)
    assert told[0]["budget/generated_tokens"] == untold[0]["budget/generated_tokens"]
    assert told[0]["budget/trained_tokens"] < untold[0]["budget/trained_tokens"]
    (line,) = open_recording(whole / "lens" / "step_1.jsonl").lines()
    raw = json.loads((whole / "lens" / "step_1.jsonl").read_text())
    long = [i for i, row in enumerate(raw["logprob"]) if len(row) > 1]
    assert long
    assert all(line.batch.mask_BT[i, 1] == 0 for i in long)
    assert all(line.lengths[i] == len(raw["token"][i]) for i in long)
    assert "loss_mask" not in json.loads((plain / "lens" / "step_1.jsonl").read_text())


def _told(self: ProblemEnv, name: str) -> Any:
    return second_token if name == "without_loss" else object.__getattribute__(self, name)


def _rows(folder: Path) -> list[dict[str, Any]]:
    timed = ("timing_s/", "budget/seconds")
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(x).items() if not k.startswith(timed)} for x in lines]


@pytest.mark.slow
def test_the_local_engine_does_not_learn_from_them() -> None:
    """Whatever is credited there, the update is the same."""
    posed = [Problem(key="k", prompt="How many?", answer="3")]
    norms = []
    for credit in (0.0, 50.0):
        engine = LocalEngine(LocalOptions(model="tiny", lr=1e-3))
        rollouts = engine.rollout(posed, 4, Sampling(max_response_tokens=8), seed=1)
        learns_BT = torch.ones_like(rollouts.mask_BT)
        learns_BT[:, 1] = 0
        told = rollouts._replace(learns_BT=learns_BT)
        advantage_BT = torch.linspace(-1, 1, 4)[:, None] * rollouts.mask_BT
        advantage_BT[:, 1] += credit
        plan = UpdatePlan(loss=Loss(), samples_per_update=4, seed=5)
        norms.append(engine.update(told, advantage_BT, told.logprob_BT, plan).grad_norm)
        length = int(rollouts.mask_BT[0].sum())
        pieces = engine.pieces(rollouts.token_BT[0, :length].tolist())
        assert len(pieces) == length
        engine.close()
    assert norms[0] == norms[1] > 0


def test_a_recorded_loss_mask_is_checked(tmp_path: Path) -> None:
    line = {"problem": ["a"], "reward": [1], "logprob": [[-1.0, -2.0]], "loss_mask": [[1, 2]]}
    (tmp_path / "x.jsonl").write_text(json.dumps(line))
    with pytest.raises(UserError, match="loss_mask must hold 1 for a token with loss"):
        list(open_recording(tmp_path / "x.jsonl").lines())
    line["loss_mask"] = [[1, 0]]
    (tmp_path / "x.jsonl").write_text(json.dumps(line))
    (step,) = open_recording(tmp_path / "x.jsonl").lines()
    batch: Batch = step.batch
    assert batch.mask_BT.tolist() == [[1, 0]]
    assert step.lengths == [2]
