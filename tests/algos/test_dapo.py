"""DAPO: the length penalty, the groups it keeps, and its loss."""

import pytest
import torch

from mssr_rl.advantage import Batch, Transform, penalise_overlong
from mssr_rl.algos import algorithms
from mssr_rl.errors import UserError


def penalties(step: Transform, lengths: list[int], limit: int | None) -> list[float]:
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).float()
    zero_B = torch.zeros(len(lengths)).double()
    b = Batch(zero_B, torch.arange(len(lengths)), mask, -mask, response_limit=limit)
    found: list[float] = step.update(zero_B, b, None).advantage.tolist()
    return found


def test_the_penalty_grows_over_the_buffer() -> None:
    lengths = [16384, 16385, 18432, 20480]
    found = penalties(penalise_overlong(4096, 1.0), lengths, 20480)
    assert found == pytest.approx([0, -0.0002441406, -0.5, -1], abs=1e-9)
    assert penalties(penalise_overlong(4096, 0.5), lengths, 20480)[3] == -0.5


def test_the_buffer_is_a_fifth_of_the_limit_unless_set() -> None:
    step = penalise_overlong(None, 1.0)
    assert penalties(step, [8, 9, 10], 10) == [0, -0.5, -1]
    assert penalties(step, [2, 3, 4], 4) == [0, 0, -1]  # and one token of a very short limit


def test_a_short_response_earns_nothing_by_it() -> None:
    assert penalties(penalise_overlong(2, 1.0), [1, 4, 9, 10], 10) == [0, 0, -0.5, -1]


def test_without_a_known_limit_it_is_grpo() -> None:
    assert penalties(penalise_overlong(2, 1.0), [8, 9, 10], None) == [0, 0, 0]


def test_it_keeps_the_groups_that_disagree() -> None:
    resampling = algorithms.make("dapo").resampling
    assert resampling is not None
    rewards = torch.tensor([[1.0, 1, 1], [0, 1, 0], [0, 0, 0], [1, 1, 0]])
    assert resampling.keeps(rewards).tolist() == [False, True, False, True]
    assert resampling.max_batches == 10
    assert algorithms.make("dapo", dynamic_sampling=False).resampling is None


def test_its_loss_clips_higher_and_has_no_kl() -> None:
    loss = algorithms.make("dapo").loss
    assert (loss.clip_low, loss.clip_high, loss.dual_clip, loss.kl_coef) == (0.2, 0.28, 10.0, 0.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_resample": 4, "dynamic_sampling": False}, "max_resample=4 must be left at 10"),
        ({"max_resample": 0}, "max_resample=0 must be at least 1"),
        ({"overlong_buffer": 0}, "overlong_buffer=0 must be at least 1, or null"),
        ({"overlong_factor": 0.0}, "overlong_factor=0.0 must be above 0"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        algorithms.make("dapo", **options)
