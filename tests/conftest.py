"""A small policy that really learns, for tests of everything above the engine.

`TabularEngine` implements the whole engine protocol in memory: a softmax over eleven tokens for
every (digit in the prompt, position), real sampling, real gradients through `mssr_rl.loss`, AdamW,
and safetensors on disk. So learning, determinism and resuming can be tested in seconds.
"""

import io
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from hypothesis import settings
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from mssr_rl.config import Config
from mssr_rl.config.compose import load
from mssr_rl.engine_protocol import Rollouts, Sampling, UpdatePlan, UpdateStats
from mssr_rl.objective import Given, Policy, added, objective
from mssr_rl.problem import Problem
from mssr_rl.seeds import derive
from mssr_rl.stability.finite import blaming, check_finite, check_gradients

# The time of an example depends on how busy the machine is, not on the code.
settings.register_profile("any pace", deadline=None)
settings.load_profile("any pace")

END = 10  # the token after the ten digits
POSITIONS = 3


class Heard(NamedTuple):
    """A policy's log-probabilities and entropies of a batch of token rows."""

    logprob_BT: Tensor
    entropy_BT: Tensor


class TabularEngine:
    """Has one row of logits for each digit at the end of a prompt and each response position."""

    computes = "a table of logits"

    def __init__(self, config: Config) -> None:
        train = config.train
        generator = torch.Generator().manual_seed(derive(0, "tabular"))
        logits = 0.3 * torch.randn(10, POSITIONS, END + 1, generator=generator)
        logits[:, 1:, END] += 4.0  # mostly one digit and then the end
        self.logits = torch.nn.Parameter(logits)
        self.reference = logits.clone()
        self.max_grad_norm = train.max_grad_norm
        self.optimiser = torch.optim.AdamW(
            [self.logits], train.lr, (train.beta1, train.beta2), weight_decay=train.weight_decay
        )

    def expect(self, problems: Sequence[Problem]) -> None:
        self.expected = tuple(problems)

    def rollout(
        self, problems: Sequence[Problem], group_size: int, sampling: Sampling, seed: int
    ) -> Rollouts:
        rows = torch.tensor([_digit(problem) for problem in problems])
        logits_BTV = self.logits.detach()[rows].repeat_interleave(group_size, 0)
        if sampling.temperature == 0:
            token_BT = logits_BTV.argmax(-1)
        else:
            generator = torch.Generator().manual_seed(seed)
            flat = (logits_BTV / sampling.temperature).softmax(-1).flatten(0, 1)
            token_BT = torch.multinomial(flat, 1, generator=generator).view(-1, POSITIONS)
        ended_BT = (token_BT == END).long().cumsum(1)
        mask_BT = ((ended_BT - (token_BT == END).long()) == 0).float()
        heard = _hear(logits_BTV, token_BT, mask_BT)
        return Rollouts(
            problems=tuple(problems),
            group_size=group_size,
            responses=tuple(_text(row) for row in token_BT.tolist()),
            token_BT=token_BT,
            mask_BT=mask_BT,
            logprob_BT=heard.logprob_BT,
            entropy_BT=heard.entropy_BT,
            truncated_B=ended_BT[:, -1] == 0,
            prompt_tokens=5 * len(problems),
            image_tokens=sum(len(problem.images) for problem in problems),
        )

    def pieces(self, tokens: Sequence[int]) -> list[str]:
        return [str(token) for token in tokens]

    def reference_logprob(self, rollouts: Rollouts) -> Tensor:
        return self._logprob(self.reference, rollouts, range(len(rollouts.problems)))

    def logprob(self, rollouts: Rollouts, problem_rows: Sequence[int]) -> Tensor:
        return self._logprob(self.logits.detach(), rollouts, problem_rows)

    def _logprob(self, table: Tensor, rollouts: Rollouts, rows: Sequence[int]) -> Tensor:
        group = rollouts.group_size
        digits = torch.tensor([_digit(rollouts.problems[row]) for row in rows])
        row_B = [row * group + g for row in rows for g in range(group)]
        logits_BTV = table[digits].repeat_interleave(group, 0)
        return _hear(logits_BTV, rollouts.token_BT[row_B], rollouts.mask_BT[row_B]).logprob_BT

    def update(
        self, rollouts: Rollouts, advantage_BT: Tensor, reference_BT: Tensor, plan: UpdatePlan
    ) -> UpdateStats:
        group, problems = rollouts.group_size, len(rollouts.problems)
        order = torch.randperm(problems, generator=torch.Generator().manual_seed(plan.seed))
        given = Given(
            rollouts.loss_mask_BT, rollouts.logprob_BT, advantage_BT, reference_BT, plan.anchor_BTK
        )
        done = []
        for rows in torch.split(order, max(1, plan.samples_per_update // group)):
            with blaming(rows.tolist(), len(done)):
                done.append(self._one_update(rollouts, given, plan, rows.tolist()))
        measured = done[0][1]
        pg_loss, kl_loss, clipped, norm = torch.stack([s for s, _ in done]).mean(0).tolist()
        means = {key: sum(m[key] for _, m in done) / len(done) for key in measured}
        tokens = plan.tokens(rollouts.loss_mask_BT)
        return UpdateStats(pg_loss, kl_loss, clipped, norm, len(done), tokens, means)

    def _one_update(
        self, rollouts: Rollouts, given: Given, plan: UpdatePlan, rows: list[int]
    ) -> tuple[torch.Tensor, dict[str, float]]:
        row_B = [r * rollouts.group_size + g for r in rows for g in range(rollouts.group_size)]
        picked, weights = plan.prepared(given, torch.tensor(row_B), 0)
        heard = self._heard(rollouts, rollouts.problems, rows)
        views = [self._heard(rollouts, view, rows) for view in plan.view_problems]
        policy = Policy(*heard, tuple(view[0] for view in views))
        part = objective(policy, picked, weights, plan.loss, plan.extras)
        self.optimiser.zero_grad()
        check_finite({"the loss": part.total})
        part.total.backward()  # type: ignore[no-untyped-call]
        assert self.logits.grad is not None
        check_gradients(self.logits.grad.norm(), [("logits", self.logits)])
        norm = torch.nn.utils.clip_grad_norm_([self.logits], self.max_grad_norm)
        self.optimiser.step()
        sums, measured = added([part])
        return torch.cat([sums, norm.double()[None]]), measured

    def _heard(
        self, rollouts: Rollouts, problems: Sequence[Problem], rows: list[int]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        group = rollouts.group_size
        row_B = [r * group + g for r in rows for g in range(group)]
        digits = torch.tensor([_digit(problems[row]) for row in rows])
        logits_BTV = self.logits[digits].repeat_interleave(group, 0)
        return _hear(logits_BTV, rollouts.token_BT[row_B], rollouts.mask_BT[row_B])

    def save(self, folder: Path) -> None:
        (folder / "policy").mkdir()
        save_file({"logits": self.logits.detach()}, folder / "policy" / "model.safetensors")
        save_file(dict(self.optimiser.state[self.logits]), folder / "optimiser.safetensors")

    def load(self, folder: Path) -> None:
        with torch.no_grad():
            self.logits.copy_(load_file(folder / "policy" / "model.safetensors")["logits"])
        self.optimiser.state[self.logits] = load_file(folder / "optimiser.safetensors")

    def close(self) -> None:
        pass


def _digit(problem: Problem) -> int:
    return int(re.findall(r"\d", problem.prompt)[-1])


def _text(tokens: list[int]) -> str:
    said = tokens[: tokens.index(END)] if END in tokens else tokens
    return f"<think>counting</think>\\boxed{{{''.join(map(str, said))}}}" if said else ""


def _hear(logits_BTV: Tensor, token_BT: Tensor, mask_BT: Tensor) -> Heard:
    logp_BTV = logits_BTV.log_softmax(-1)
    logprob_BT = logp_BTV.gather(-1, token_BT[..., None]).squeeze(-1) * mask_BT
    return Heard(logprob_BT, -(logp_BTV.exp() * logp_BTV).sum(-1) * mask_BT)


Configure = Callable[..., Config]


@pytest.fixture(scope="session")
def counting_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a data folder in the usual columns: which digit follows this one? Sixty questions."""
    folder = tmp_path_factory.mktemp("counting")
    picture = io.BytesIO()
    Image.new("RGB", (32, 32), "white").save(picture, "PNG")
    (folder / "dot.png").write_bytes(picture.getvalue())
    for split, size in (("train", 60), ("val", 30), ("test", 20)):
        rows = [_counting_row(split, index) for index in range(size)]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{split}.jsonl").write_text(lines)
    return folder


def _counting_row(split: str, index: int) -> dict[str, object]:
    digit = index % 10
    return {
        "id": f"{split}/{index}",  # with a slash, because keys are not file names
        "problem": f"<image>{split} {'I' * (index // 10)}: which digit follows {digit}",
        "images": [{"bytes": None, "path": "dot.png"}],
        "answer": str((digit + 1) % 10),
        "family": "even" if digit % 2 == 0 else "odd",
    }


@pytest.fixture
def configure(counting_data: Path, tmp_path: Path) -> Configure:
    """Return a function that makes the config of a short run on the counting problems.

    Its `key=value` arguments change the config.
    """
    settled = {
        "env": "vision_r1",
        "model.path": str(counting_data),  # `TabularEngine` starts from a seed; any folder does
        "env.data": str(counting_data),
        "train.rollouts_per_step": "64",
        "train.samples_per_update": "16",
        "train.lr": "0.05",
        "rollout.max_response_tokens": "3",
        "budget.rollouts": "384",
        "eval.every": "3",
        "checkpoint.every": "2",
        "runs_dir": str(tmp_path / "runs"),
    }

    def make(*words: str) -> Config:
        given = dict(word.split("=", 1) for word in words)
        return load([f"{key}={value}" for key, value in {**settled, **given}.items()])

    return make


@pytest.fixture
def make_engine() -> Callable[[Config], TabularEngine]:
    """Return the class that a trainer makes its engine with."""
    return TabularEngine
