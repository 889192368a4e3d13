"""The peers' own functions on twenty random batches: peers.json holds what theirs gave.

The batches are drawn by numpy's PCG64, which gives the same numbers on every machine. For a loss:
its value and three projections of its gradient, from rewards to the end. For an advantage: one
number a rollout. peers.json names repository, commit and file of each. Where no peer's function
could be run, the paper's formula is written out here a second time, in numpy.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from mssr_rl.advantage import Batch
from mssr_rl.algos import Algorithm, algorithms
from mssr_rl.loss import PolicyLoss, Signal, token_weights
from mssr_rl.views import SIGNAL, annealed

PEERS = json.loads((Path(__file__).parent / "peers.json").read_text(encoding="utf-8"))["outputs"]
FURTHEST = 1e-5
SEEDS = range(20)
WIDTH = 24
PROBLEMS = 6


class PeerBatch(NamedTuple):
    """float64; binary and continuous rewards, ties, lengths 1 to 24, groups of 4 and 8."""

    group_size: int
    reward_B: Tensor
    mask_BT: Tensor
    old_BT: Tensor
    new_BT: Tensor
    probe_KBT: Tensor  # what gradients are projected on, so that few numbers stand for many


def peer_batch(seed: int) -> PeerBatch:
    """The batch of a seed: even ones are binary; of four, one has groups with ties."""
    rng = np.random.default_rng(1000 + seed)
    group = 8 if seed % 3 == 0 else 4
    b = PROBLEMS * group
    reward = rng.random(b)
    if seed % 2 == 0:
        reward = (reward > 0.6).astype(float)
    elif seed % 4 == 1:
        reward = np.round(reward, 1)
    length = rng.integers(1, WIDTH + 1, b)
    mask = (np.arange(WIDTH) < length[:, None]).astype(float)
    old = -(0.5 + 3 * rng.random((b, WIDTH))) * mask
    new = (old + 0.8 * (rng.random((b, WIDTH)) - 0.5)) * mask
    probe = rng.standard_normal((3, b, WIDTH))
    return PeerBatch(group, *(torch.from_numpy(x) for x in (reward, mask, old, new, probe)))


def greedy_rewards(seed: int) -> np.ndarray:
    """One reward a rollout, the same for all rollouts of a problem: that of its greedy response."""
    group = 8 if seed % 3 == 0 else 4
    return np.random.default_rng(5000 + seed).random(PROBLEMS).round().repeat(group)


def token_entropies(seed: int) -> np.ndarray:
    """One entropy a token, for the filter that goes by it."""
    return np.random.default_rng(7000 + seed).random(peer_batch(seed).mask_BT.shape)


CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "gspo": ("gspo", {}),
    "cispo": ("cispo", {}),
    "cispo narrow": ("cispo", {"clip_low": 0.2, "clip_high": 0.1}),
    "sapo": ("sapo", {}),
    "gmpo": ("gmpo", {"log_clip_low": 0.1, "log_clip_high": 0.15}),
    "kl_cov": ("kl_cov", {"fraction": 0.05}),
    "clip_cov": ("clip_cov", {"fraction": 1.0, "cov_low": 0.5}),
}


def as_batch(drawn: PeerBatch) -> Batch:
    return Batch(
        reward_B=drawn.reward_B,
        problem_B=torch.arange(PROBLEMS).repeat_interleave(drawn.group_size),
        mask_BT=drawn.mask_BT,
        logprob_BT=drawn.old_BT,
        group_size=drawn.group_size,
        response_limit=WIDTH,
    )


def advantage(made: Algorithm, batch: Batch) -> Tensor:
    fresh = made.advantage.init(PROBLEMS)
    return made.advantage.update(batch.reward_B, batch, fresh).advantage


def learnt(loss: PolicyLoss, drawn: PeerBatch, advantage_BT: Tensor) -> list[float]:
    """The surrogate's value, and projections of its gradient.

    Marks go by the policy in training here, as the peers' do: `prepared` would show the old one.
    """
    leaf_BT = drawn.new_BT.clone().requires_grad_()
    plain = Signal(leaf_BT, drawn.old_BT, advantage_BT, drawn.mask_BT)
    mark_BT = loss.mark(plain._replace(logprob_BT=drawn.new_BT), torch.Generator())
    token_loss_BT = loss.surrogate(plain._replace(mark_BT=mark_BT)).token_loss_BT
    total = (token_loss_BT * token_weights(drawn.mask_BT, loss).surrogate).sum()
    (gradient_BT,) = torch.autograd.grad(total, leaf_BT)
    return [total.item(), *((probe * gradient_BT).sum().item() for probe in drawn.probe_KBT)]


@pytest.mark.parametrize("case", CASES)
def test_a_loss_equals_the_peers_value_and_gradient(case: str) -> None:
    name, options = CASES[case]
    made = algorithms.make(name, **options)
    found = [
        learnt(made.loss, drawn, advantage(made, as_batch(drawn)).double())
        for drawn in map(peer_batch, SEEDS)
    ]
    assert np.abs(np.array(found) - np.array(PEERS[case])).max() < FURTHEST
    assert np.abs(np.array(PEERS[case])[:, 1:]).max() > 0.01  # there was something to compare


def test_the_weighed_baseline_equals_the_peers_advantage() -> None:
    for seed, expected in zip(SEEDS, PEERS["opo"], strict=True):
        found = advantage(algorithms.make("opo"), as_batch(peer_batch(seed)))[:, 0]
        assert np.abs(found.numpy() - np.array(expected)).max() < FURTHEST


def test_the_greedy_baseline_equals_the_peers_advantage() -> None:
    for seed, expected in zip(SEEDS, PEERS["remax"], strict=True):
        batch = as_batch(peer_batch(seed))._replace(greedy_B=torch.from_numpy(greedy_rewards(seed)))
        found = advantage(algorithms.make("remax"), batch)[:, 0]
        assert np.abs(found.numpy() - np.array(expected)).max() < FURTHEST


def test_noise_and_its_end_equal_the_peers() -> None:
    steps = (0, 100, 250, 450, 499, 999)
    found = [[SIGNAL[t] ** 0.5, (1 - SIGNAL[t]) ** 0.5] for t in steps]
    assert np.abs(np.array(found) - np.array(PEERS["noisy_rollout noise"])).max() < FURTHEST
    decays = [annealed(step / 60, 30, 40 / 60) for step in range(1, 61, 3)]
    assert np.abs(np.array(decays) - np.array(PEERS["noisy_rollout decay"])).max() < FURTHEST


def test_the_moving_average_equals_the_peers_over_batches() -> None:
    step = algorithms.make("rae").advantage
    state = step.init(PROBLEMS)
    for seed, expected in zip(SEEDS, PEERS["rae"], strict=True):
        batch = as_batch(peer_batch(seed))
        given = step.update(batch.reward_B, batch, state)
        state = given.state
        assert np.abs(given.advantage[:, 0].numpy() - np.array(expected)).max() < FURTHEST


@pytest.mark.parametrize(
    ("case", "kept"), [("flash_reinforce", 1.0), ("flash_reinforce filtered", 0.2)]
)
def test_the_gated_ratio_has_the_gradient_of_its_authors(case: str, kept: float) -> None:
    """Their loss weighs log p where ours has the ratio: other values, the same gradient."""
    for seed, expected in zip(SEEDS, PEERS[case], strict=True):
        drawn = peer_batch(seed)
        made = algorithms.make("flash_reinforce", delta=0.012, kept=kept)
        batch = as_batch(drawn)._replace(entropy_BT=torch.from_numpy(token_entropies(seed)))
        found = learnt(made.loss, drawn, advantage(made, batch).double())[1:]
        assert np.abs(np.array(found) - np.array(expected)).max() < FURTHEST


# ---- written out a second time ----


def test_the_gated_ratio_equals_its_formula() -> None:
    gated = 0
    for drawn in map(peer_batch, SEEDS):
        made = algorithms.make("flash_reinforce", delta=0.012)
        p, q = np.exp(drawn.old_BT.numpy()), np.exp(drawn.new_BT.numpy())
        r, m = drawn.reward_B.numpy(), drawn.mask_BT.numpy()
        p, q = np.where(m > 0, p, 0.5), np.where(m > 0, q, 0.5)
        d = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
        gate = (d * m).sum(1) / m.sum(1) <= 0.012
        gated += int((~gate).sum())
        a = (r - r.mean()) * gate
        ratio = q / p
        value = -(a * (ratio * m).sum(1) / m.sum(1)).mean()
        slope = -(a / m.sum(1))[:, None] * ratio * m / len(r)
        expected = [value, *((probe * slope).sum() for probe in drawn.probe_KBT.numpy())]
        found = learnt(made.loss, drawn, advantage(made, as_batch(drawn)).double())
        assert np.abs(np.array(found) - np.array(expected)).max() < FURTHEST
    assert gated > 20


def test_successes_against_failures_equal_their_formula() -> None:
    for drawn in map(peer_batch, SEEDS):
        made = algorithms.make("c_rf")
        old, m, r = drawn.old_BT.numpy(), drawn.mask_BT.numpy(), drawn.reward_B.numpy()
        ratio = np.exp(drawn.new_BT.numpy() - old)
        good, bad = [], []
        for i, won in enumerate(r > 0.5):
            length = int(m[i].sum())
            if won:
                good.append(np.minimum(ratio[i, :length], 11.0).sum() / length)
                continue
            kept = np.argsort(old[i, :length], kind="stable")[: int(np.ceil(0.1 * length))]
            bad.append(np.maximum(ratio[i, kept], 0.8).sum() / length)
        expected = -0.5 * (np.mean(good) - np.mean(bad))
        found = learnt(made.loss, drawn, advantage(made, as_batch(drawn)).double())[0]
        assert found == pytest.approx(expected, abs=FURTHEST)


def test_standardising_over_tokens_equals_its_formula() -> None:
    for drawn in map(peer_batch, SEEDS):
        made = algorithms.make("spo_pp", prior="uniform", n_init=None)
        raw, length = drawn.reward_B.numpy() - 0.5, drawn.mask_BT.sum(1).numpy()
        mean = (length * raw).sum() / length.sum()
        std = np.sqrt((length * (raw - mean) ** 2).sum() / (length.sum() - 1))
        found = advantage(made, as_batch(drawn))[:, 0].numpy()
        assert np.abs(found - (raw - mean) / (std + 1e-8)).max() < FURTHEST
