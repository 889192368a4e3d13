"""Apply an algorithm to recorded batches: compute advantages, metrics and the next state.

Shapes: B rollouts, T response tokens.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from torch import Tensor

from mssr_rl.advantage import find_beliefs
from mssr_rl.algos import Algorithm
from mssr_rl.errors import UserError
from mssr_rl.lens.lines import LensStep, Recording, sizes_in_words
from mssr_rl.lens.signal import signal_metrics
from mssr_rl.metric_names import REWARD_MEAN
from mssr_rl.metrics import advantage_metrics, policy_metrics


class StepView(NamedTuple):
    """The advantages, the metrics and the next state of one algorithm on one step."""

    advantage_BT: Tensor  # float64
    metrics: Mapping[str, float]
    state: Any  # after the step


def first_look(algorithm: Algorithm, recording: Recording) -> Any:
    """Return the state of an algorithm before the first line of a recording.

    Raise `UserError` if the algorithm needs data that no recorded batch holds.
    """
    if algorithm.extras.live_shaping is not None:
        raise UserError(
            f"{algorithm.name} with entropy_policy=current takes the entropy of the policy in "
            "training, which no recorded batch holds; use entropy_policy=rollout"
        )
    return algorithm.advantage.init(recording.size)


def look(algorithm: Algorithm, line: LensStep, state: Any) -> StepView:
    """Return every token's advantage under one algorithm, with metrics and the next state.

    Raise `UserError` if the batch does not fit the algorithm.
    """
    _check_groups(algorithm, line)
    batch = line.batch
    try:
        credit = algorithm.advantage.update(batch.reward_B, batch, state)
    except UserError as error:
        raise UserError(f"{line.where}: {algorithm.name}: {error}") from error
    metrics = {
        REWARD_MEAN: batch.reward_B.mean().item(),
        **advantage_metrics(credit.advantage, batch.mask_BT),
        **signal_metrics(credit.advantage, batch.mask_BT),
        **policy_metrics(batch),
        **credit.metrics,
    }
    return StepView(credit.advantage, metrics, credit.state)


def _check_groups(algorithm: Algorithm, line: LensStep) -> None:
    if algorithm.min_group_size == 1 or line.batch.group_B is not None:
        return
    unequal = "group_size" not in line.record and len(set(line.groups)) > 1
    if not unequal and line.batch.group_size >= algorithm.min_group_size:
        return
    raise UserError(
        f"{line.where}: {algorithm.name} compares the answers to one problem, at least "
        f"{algorithm.min_group_size} and to each equally many, one after the other; here are "
        f"{sizes_in_words(line.problems)}. Use a batch with whole groups, or an algorithm that "
        "takes single rollouts"
    )


def as_record(seen: StepView, line: LensStep, shown: Iterable[str], rows: Mapping[str, int]) -> Any:
    """Return the object that the lens prints for one step.

    `shown` are the problems that occurred up to this step.
    """
    result = {
        "advantage": [
            row[:length].tolist()
            for row, length in zip(seen.advantage_BT, line.lengths, strict=True)
        ],
        "metrics": seen.metrics,
    }
    beliefs = find_beliefs(seen.state)
    if beliefs is None:
        return result
    alpha, beta, value = (x.tolist() for x in (beliefs.alpha_N, beliefs.beta_N, beliefs.value_N))
    state = {
        key: {"alpha": alpha[rows[key]], "beta": beta[rows[key]], "value": value[rows[key]]}
        for key in shown
    }
    return {**result, "state": state}
