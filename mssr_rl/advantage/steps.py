"""The stateless steps of advantage estimators. The files in `algos/` chain them to algorithms.

    grpo = chain(subtract_group_mean(), divide_by_group_std(), to_tokens())

Statistics over rollouts are float64. The last step that makes or scales token advantages returns
the dtype of the mask. Steps with a state are in `tracker` and `drift`, the step that needs the
policy's entropy is in `shaping`, and `transform` builds a chain.

Shapes: B rollouts, problem-major; P problems with G rollouts each (B = P * G); T response tokens.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from mssr_rl.advantage.transform import Batch, Transform, stateless
from mssr_rl.errors import UserError
from mssr_rl.options import require

ROUNDING = 1e-9  # rewards that differ by no more are equal

# ---- baselines from the group --------------------------------------------------------------------


def subtract_group_mean() -> Transform:
    """Return a step that subtracts the mean of the problem's G rewards: A = r - mean.

    A group of equal rewards gives exactly 0.
    """

    def f(a_B: Tensor, batch: Batch) -> Tensor:
        return _by_group(a_B, batch, _centred_groups)

    return stateless("subtract_group_mean", "rollout", "rollout", f)


def subtract_leave_one_out_mean() -> Transform:
    """Return a step that subtracts the mean of the problem's other G - 1 rewards.

    This equals A = G / (G - 1) * (r - mean), with the mean of all G rewards.
    """

    def f(a_B: Tensor, batch: Batch) -> Tensor:
        return _by_group(a_B, batch, _without_itself)

    return stateless("subtract_leave_one_out_mean", "rollout", "rollout", f)


def subtract_length_weighted_mean() -> Transform:
    """Return a step that subtracts the mean of the problem's G rewards, weighted by length (OPO).

    A = r - sum of (length * reward) / sum of lengths.
    """

    def f(a_B: Tensor, batch: Batch) -> Tensor:
        lengths_B = batch.mask_BT.sum(1).to(torch.float64)
        weighed_B = _by_group(lengths_B * a_B, batch, _sums)
        return a_B.to(torch.float64) - weighed_B / _by_group(lengths_B, batch, _sums).clamp(min=1)

    return stateless("subtract_length_weighted_mean", "rollout", "rollout", f)


def divide_by_group_std(
    eps: float = 1e-6, std: Literal["sample", "population"] = "sample"
) -> Transform:
    """Return a step that divides A by (std of the problem's G values + eps).

    std="sample" divides the variance by n - 1 (Bessel), "population" by n.
    """
    require(eps > 0, "eps", eps, "above 0")

    def f(a_B: Tensor, batch: Batch) -> Tensor:
        return _by_group(a_B, batch, divided)

    def divided(a_PG: Tensor) -> Tensor:
        if a_PG.shape[1] == 1:
            return torch.zeros_like(a_PG)  # one rollout has no standard deviation
        # EasyR1, verl, TRL and OpenRLHF agree on Bessel's n - 1, and differ in eps: 1e-6, 1e-6,
        # 1e-4 and 1e-9.
        std_P1 = a_PG.std(1, correction=1 if std == "sample" else 0, keepdim=True)
        return a_PG / (std_P1 + eps)

    return stateless("divide_by_group_std", "rollout", "rollout", f)


# ---- a baseline from a greedy response ----------------------------------------------------------


def subtract_greedy_reward() -> Transform:
    """Return a step that subtracts the reward of the greedy response to the problem: A = r - g."""

    def f(a_B: Tensor, batch: Batch) -> Tensor:
        if batch.greedy_B is None:
            raise UserError(
                "this baseline needs the reward of a greedy response to every problem (greedy), "
                "which this batch does not hold; its algorithm declares greedy_baseline"
            )
        return a_B.to(torch.float64) - batch.greedy_B.to(torch.float64)

    return stateless("subtract_greedy_reward", "rollout", "rollout", f)


# ---- a baseline from the batch ------------------------------------------------------------------


def subtract_batch_mean() -> Transform:
    """Return a step that subtracts the mean of the B rewards: A = r - mean.

    A long response counts as much as a short one.
    """

    def f(a_B: Tensor, _: Batch) -> Tensor:
        return _centred(a_B.to(torch.float64))

    return stateless("subtract_batch_mean", "rollout", "rollout", f)


def contrast_successes_with_failures() -> Transform:
    """Return a step that gives successes and failures the same total weight (C-RF).

    A = 1 / (2p) for a success and -1 / (2(1 - p)) for a failure, with p the share of successes. A
    success is a reward above 0.5. If all rollouts are of one kind, A is 1 or -1.
    """

    def f(a_B: Tensor, _: Batch) -> Tensor:
        won_B = a_B > 0.5
        count, won = len(a_B), int(won_B.sum())
        if won in (0, count):
            return torch.where(won_B, 1.0, -1.0).double()
        # With 10 % successes a success weighs 5 and a failure 0.56: neither side drowns the other.
        up, down = count / (2 * won), -count / (2 * (count - won))
        return torch.where(won_B, up, down).double()

    return stateless("contrast_successes_with_failures", "rollout", "rollout", f)


# ---- whitening -----------------------------------------------------------------------------------


def whiten_over_batch(measure: Literal["sequence", "token"] = "sequence") -> Transform:
    """Return a step that whitens over the rollouts: A = (a - mean) / sqrt(max(var, 1e-6)) (MSSR).

    The variance divides by n. measure="token" weights every rollout by its length. Then the mean
    over *tokens* is 0; otherwise a token-mean loss keeps a bias of Cov(length, A) / mean length. A
    single rollout is not changed.
    """

    def f(a_B: Tensor, batch: Batch) -> Tensor:
        if len(a_B) == 1:
            return a_B
        lengths_B = batch.mask_BT.sum(1).to(torch.float64)
        weight_B = lengths_B if measure == "token" else torch.ones_like(lengths_B)
        return _whitened(a_B.to(torch.float64), weight_B, floor=1e-6)

    return stateless("whiten_over_batch", "rollout", "rollout", f)


def standardise_over_batch(
    eps: float = 1e-8, measure: Literal["sequence", "token"] = "sequence"
) -> Transform:
    """Return a step that standardises over the rollouts: A = (a - mean) / (std + eps) (SPO).

    The variance divides by n - 1 (Bessel). A single rollout is not changed. measure="token" weights
    every rollout by its length (SPO++). `whiten_over_batch` differs only in the convention: it
    divides by n, and has a floor in place of eps.
    """

    def f(a_B: Tensor, batch: Batch) -> Tensor:
        if len(a_B) == 1:
            return a_B
        if measure == "token":
            return _standardised(a_B.to(torch.float64), batch.mask_BT.sum(1).double(), eps)
        centred_B = _centred(a_B.to(torch.float64))
        return centred_B / (centred_B.std(correction=1) + eps)

    return stateless("standardise_over_batch", "rollout", "rollout", f)


def whiten_over_tokens() -> Transform:
    """Return a step that whitens over all response tokens: A = (a - mean) / sqrt(max(var, 1e-8)).

    Every token counts once, so a long response has more weight. The variance divides by n.
    """

    def f(a_BT: Tensor, batch: Batch) -> Tensor:
        # The floors differ because their sources do: 1e-8 in OpenRLHF's REINFORCE++, 1e-6 in MSSR's
        # code.
        white_BT = _whitened(a_BT.to(torch.float64), batch.mask_BT.to(torch.float64), floor=1e-8)
        return _on_tokens(white_BT, batch)

    return stateless("whiten_over_tokens", "token", "token", f)


# ---- from rollouts to tokens ---------------------------------------------------------------------


def to_tokens() -> Transform:
    """Return a step that gives every response token the advantage of its rollout."""

    def f(a_B: Tensor, batch: Batch) -> Tensor:
        return _on_tokens(a_B[:, None].expand(batch.mask_BT.shape), batch)

    return stateless("to_tokens", "rollout", "token", f)


def filter_of_failures(
    share: float, by: Literal["probability", "entropy"]
) -> tuple[Transform, ...]:
    """Return `keep_some_tokens_of_failures` for the end of a chain, and nothing for a share of 1.

    Algorithms have the share as their option `kept`.
    """
    require(0 < share <= 1, "kept", share, "above 0, and at most 1, which keeps all")
    return () if share == 1 else (keep_some_tokens_of_failures(share, by),)


def keep_some_tokens_of_failures(share: float, by: Literal["probability", "entropy"]) -> Transform:
    """Return a step that sets A = 0 on some tokens of failures (rewards of at most 0.5).

    Of each failure, ceil(share * length) tokens keep their advantage. by="probability" keeps the
    tokens that were least likely when they were sampled. by="entropy" keeps those of highest
    entropy. Of equal tokens the earlier one is kept.
    """

    def f(a_BT: Tensor, batch: Batch) -> Tensor:
        score_BT = batch.logprob_BT if by == "probability" else -_entropy(batch)
        off_BT = batch.mask_BT == 0
        place_BT = score_BT.masked_fill(off_BT, torch.inf).argsort(dim=1, stable=True).argsort(1)
        kept_B1 = (share * batch.mask_BT.sum(1, keepdim=True)).ceil()
        left_out_BT = (batch.reward_B <= 0.5)[:, None] & (place_BT >= kept_B1)
        return a_BT.masked_fill(left_out_BT | off_BT, 0)

    return stateless("keep_some_tokens_of_failures", "token", "token", f)


def to_last_token() -> Transform:
    """Return a step that gives a rollout's value to the last token of its response.

    The other tokens get 0. The result is float64.
    """

    def f(a_B: Tensor, batch: Batch) -> Tensor:
        on_BT = batch.mask_BT > 0
        # Counted from the right: a response without tokens then has no last token, and no index is
        # needed.
        tokens_left_BT = on_BT.flip(1).cumsum(1).flip(1)
        return a_B[:, None].to(torch.float64) * (on_BT & (tokens_left_BT == 1))

    return stateless("to_last_token", "rollout", "token", f)


def return_to_go(gamma: float = 1.0) -> Transform:
    """Return a step that sums later rewards: G_t = sum over s >= t of gamma^(s - t) * R_s.

    The sum ends with the response.
    """
    require(0 <= gamma <= 1, "gamma", gamma, "between 0 and 1")

    def f(a_BT: Tensor, batch: Batch) -> Tensor:
        g_BT = a_BT.clone()
        # Backwards, one column at a time: powers of gamma over a long response would underflow.
        for t in reversed(range(a_BT.shape[1] - 1)):
            g_BT[:, t] += gamma * g_BT[:, t + 1]
        return g_BT.masked_fill(batch.mask_BT == 0, 0)

    return stateless("return_to_go", "token", "token", f)


# ---- what they share -----------------------------------------------------------------------------


def _by_group(a_B: Tensor, batch: Batch, f: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the result of `f` on the groups, which it gets as a float64 matrix [P, G].

    If groups have different sizes, `f` is called once for each size.
    """
    if batch.group_B is None:
        return f(_groups(a_B, batch)).flatten()
    out_B = torch.empty_like(a_B, dtype=torch.float64)
    size_B = torch.bincount(batch.group_B)[batch.group_B]
    for size in size_B.unique().tolist():
        row = (size_B == size).nonzero()[:, 0]
        # Stable, so that rollouts of a group keep their order and equal batches give equal bits.
        row = row[batch.group_B[row].sort(stable=True).indices]  # now groups are contiguous
        out_B[row] = f(a_B[row].to(torch.float64).view(-1, size)).flatten()
    return out_B


def _groups(a_B: Tensor, batch: Batch) -> Tensor:
    """Return the values as float64 [P, G]; raise `UserError` if the batch has no such groups."""
    g = batch.group_size
    if g < 2:
        raise UserError(
            f"a group baseline needs at least 2 rollouts per problem, not {g}; set "
            "rollout.group_size, or choose an algorithm that takes single rollouts"
        )
    if len(a_B) % g:
        raise UserError(
            f"{len(a_B)} rollouts are not whole groups of {g}; every problem needs {g} consecutive "
            "rollouts: change rollout.group_size or train.rollouts_per_step"
        )
    problem_PG = batch.problem_B.view(-1, g)
    if (problem_PG != problem_PG[:, :1]).any():
        raise UserError(
            f"a group of {g} consecutive rollouts mixes problems; order the rollouts by problem "
            "and give every problem equally many, or choose an algorithm that takes single rollouts"
        )
    return a_B.to(torch.float64).view(-1, g)


def decided(reward_PG: Tensor) -> Tensor:
    """Return a bool per group, shape [P]: True if all its rewards are equal up to rounding.

    For example, 0.3 and 0.1 + 0.2 count as equal. Otherwise the division by a tiny std would turn
    their rounding error into a large advantage.
    """
    return ((reward_PG - reward_PG[:, :1]).abs() <= ROUNDING).all(1)


def _sums(a_PG: Tensor) -> Tensor:
    return a_PG.sum(1, keepdim=True).expand_as(a_PG)


def _entropy(batch: Batch) -> Tensor:
    if batch.entropy_BT is None:
        raise UserError(
            "by=entropy needs the entropy of every token, which this batch does not hold; add it, "
            "or set algo.kept=1"
        )
    return batch.entropy_BT


def _without_itself(a_PG: Tensor) -> Tensor:
    """Return each value minus the mean of the other values of its group; 0 in a group of one."""
    g = a_PG.shape[1]
    return _centred_groups(a_PG) * g / max(g - 1, 1)


def _centred_groups(a_PG: Tensor) -> Tensor:
    decided_P1 = decided(a_PG)[:, None]
    # Rounding can make the mean of equal numbers differ from them. The division by a tiny standard
    # deviation would then make this error large.
    return (a_PG - a_PG.mean(1, keepdim=True)).masked_fill(decided_P1, 0)


def _centred(a_B: Tensor) -> Tensor:
    if len(a_B) == 0 or (a_B == a_B[0]).all():
        return torch.zeros_like(a_B)  # else a rounding error would be divided by eps
    return a_B - a_B.mean()


def _standardised(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Return (x - mean) / (std + eps), with mean and std weighted by `weight`.

    The weights are counts with the sum n; the variance divides by n - 1 (Bessel).
    """
    total = weight.sum()
    if (x == x[0]).all():
        return torch.zeros_like(x)
    centred = x - (weight * x).sum() / total.clamp(min=1)
    variance = (weight * centred.square()).sum() / (total - 1).clamp(min=1)
    return centred / (variance.sqrt() + eps)


def _whitened(x: Tensor, weight: Tensor, floor: float) -> Tensor:
    total = weight.sum().clamp(min=1)
    centred = x - (weight * x).sum() / total
    variance = (weight * centred.square()).sum() / total
    return centred / variance.clamp(min=floor).sqrt()


def _on_tokens(a_BT: Tensor, batch: Batch) -> Tensor:
    return a_BT.masked_fill(batch.mask_BT == 0, 0).to(batch.mask_BT.dtype)
