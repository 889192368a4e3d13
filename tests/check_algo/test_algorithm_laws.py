"""Every registered algorithm keeps the laws, and algorithms with a planted fault are caught."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from mssr_rl import cli
from mssr_rl.advantage import (
    Batch,
    Step,
    Tracker,
    Transform,
    chain,
    stateless,
    subtract_group_mean,
    subtract_tracked_value,
    to_tokens,
    whiten_over_batch,
)
from mssr_rl.algos import Algorithm, algorithms, register
from mssr_rl.check_algo.algorithm_laws import LAWS, CheckedAlgorithm
from mssr_rl.check_algo.check_algo_verb import verdict
from mssr_rl.loss import Loss


class Counts(NamedTuple):
    """The memory of the trackers below."""

    sum_N: Tensor
    visits_N: Tensor


def no_memory(num_problems: int) -> Counts:
    return Counts(torch.zeros(num_problems).double(), torch.ones(num_problems).double())


def tracking(update: Callable[[Tensor, Batch, Counts], Step]) -> Transform:
    return Transform("track", "rollout", "rollout", no_memory, update)


def counted(state: Counts, batch: Batch) -> Counts:
    rows = batch.problem_B
    added = torch.zeros_like(state.sum_N).index_add(0, rows, batch.reward_B)
    visits = torch.zeros_like(state.sum_N).index_add(0, rows, torch.ones_like(batch.reward_B))
    return Counts(state.sum_N + added, state.visits_N + visits)


def honest(a_B: Tensor, batch: Batch, state: Counts) -> Step:
    value_N = state.sum_N / state.visits_N
    return Step(a_B - value_N[batch.problem_B], counted(state, batch), {})


def leaks_its_own_reward(a_B: Tensor, batch: Batch, state: Counts) -> Step:
    after = counted(state, batch)
    return Step(a_B - (after.sum_N / after.visits_N)[batch.problem_B], after, {})


def leaks_a_tenth(a_B: Tensor, batch: Batch, state: Counts) -> Step:
    value_B = state.sum_N[batch.problem_B]
    moved_B = value_B + 0.1 * (batch.reward_B - value_B)
    after = state._replace(sum_N=state.sum_N.index_copy(0, batch.problem_B, moved_B))
    return Step(a_B - moved_B, after, {})


def leaks_later(a_B: Tensor, batch: Batch, state: Counts) -> Step:
    return Step(a_B - 0.3 * batch.reward_B, counted(state, batch), {})


def scales_by_what_it_saw(a_B: Tensor, batch: Batch, state: Counts) -> Step:
    return Step(a_B / (1 + state.sum_N.mean()), counted(state, batch), {})


def writes_into_its_state(a_B: Tensor, batch: Batch, state: Counts) -> Step:
    step = honest(a_B, batch, state)
    state.visits_N[batch.problem_B] += 1
    return step


def sees_who_came_earlier(a_B: Tensor, batch: Batch, state: Counts) -> Step:
    earlier_B = batch.reward_B.cumsum(0) - batch.reward_B
    return Step(a_B - earlier_B / (1 + torch.arange(len(a_B))), counted(state, batch), {})


def divides_by_a_spread_of_zero(a_B: Tensor, _: Batch) -> Tensor:
    return (a_B - a_B.mean()) / a_B.std(correction=0)


def forgets_the_mask(a_B: Tensor, batch: Batch) -> Tensor:
    return a_B[:, None].expand(batch.mask_BT.shape).float()


def writes_over_the_reward(a_B: Tensor, _: Batch) -> Tensor:
    return a_B.sub_(a_B.mean())


def remembers_in_a_closure() -> Transform:
    seen: list[float] = []

    def f(a_B: Tensor, batch: Batch) -> Tensor:
        seen.append(batch.reward_B.mean().item())
        return a_B - sum(seen) / len(seen)

    return stateless("hidden", "rollout", "rollout", f)


def forgets_half_of_its_state() -> Transform:
    """Remembers the mean reward beside the state: what a checkpoint cannot hold."""
    aside: dict[int, float] = {}

    def update(a_B: Tensor, batch: Batch, state: Counts) -> Step:
        value = aside.get(id(state), 0.0)
        after = counted(state, batch)
        aside[id(after)] = batch.reward_B.mean().item()
        return Step(a_B - value, after, {})

    return tracking(update)


def rollout_step(f: Callable[[Tensor, Batch], Tensor]) -> Transform:
    return stateless("step", "rollout", "rollout", f)


WHITE = (whiten_over_batch(), to_tokens())
FAULTS: dict[str, tuple[Callable[[], Transform], str, str]] = {
    "in-place change of the reward": (
        lambda: chain(rollout_step(writes_over_the_reward), to_tokens()),
        "writes to no input",
        "the batch's reward_B was written to",
    ),
    "in-place change of the state": (
        lambda: chain(tracking(writes_into_its_state), *WHITE),
        "writes to no input",
        "the state's 0.visits_N was written to",
    ),
    "leak of the own reward": (
        lambda: chain(tracking(leaks_its_own_reward), *WHITE),
        "never holds a rollout against its own reward",
        "depends on that rollout's own reward: in track, 1 more reward gives",
    ),
    "leak of a tenth, which whitening hides": (
        lambda: chain(tracking(leaks_a_tenth), *WHITE),
        "never holds a rollout against its own reward",
        "1 more reward gives 0.9 more",
    ),
    "leak in a later step": (
        lambda: chain(tracking(honest), tracking(leaks_later), *WHITE),
        "never holds a rollout against its own reward",
        "1 more reward gives -0.3 more",
    ),
    "leak inside one big step": (
        lambda: as_one_step(chain(tracking(leaks_its_own_reward), *WHITE)),
        "never holds a rollout against its own reward",
        "1 more reward for every rollout gives between",
    ),
    "padding not zero": (
        lambda: chain(stateless("spread", "rollout", "token", forgets_the_mask)),
        "is exactly 0 outside",
        "outside a response is not exactly 0",
    ),
    "NaN on equal rewards": (
        lambda: chain(rollout_step(divides_by_a_spread_of_zero), to_tokens()),
        "is finite on degenerate batches",
        "NaN or infinity when every reward is 0",
    ),
    "state lost on reload": (
        lambda: chain(forgets_half_of_its_state(), to_tokens()),
        "goes on from a checkpoint",
        "must be in the state",
    ),
    "memory outside the state": (
        lambda: chain(remembers_in_a_closure(), to_tokens()),
        "goes on from a checkpoint",
        "must be in the state",
    ),
    "order dependence": (
        lambda: chain(tracking(sees_who_came_earlier), *WHITE),
        "does not depend on the order",
        "the order of the groups in a batch changes their advantages",
    ),
    "a group baseline that declares single rollouts": (
        lambda: chain(subtract_group_mean(), to_tokens()),
        "works with the smallest group",
        "min_group_size=1 is declared, but a batch of such groups fails",
    ),
}


def as_one_step(whole: Transform) -> Transform:
    return whole._replace(parts=())


def subject(make: Callable[[], Transform]) -> CheckedAlgorithm:
    return CheckedAlgorithm(
        "planted", lambda: Algorithm(name="planted", advantage=make(), loss=Loss())
    )


def findings(of: CheckedAlgorithm) -> dict[str, str]:
    found = {law.says: verdict(law, of) for law in LAWS}
    return {says: why for says, why in found.items() if why is not None}


@pytest.mark.parametrize("name", algorithms.names())
def test_everything_registered_keeps_every_law(name: str) -> None:
    assert findings(CheckedAlgorithm(name, lambda: algorithms.make(name))) == {}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught_and_named(fault: str) -> None:
    make, law, sentence = FAULTS[fault]
    caught = [why for says, why in findings(subject(make)).items() if says.startswith(law)]
    assert len(caught) == 1
    assert sentence in caught[0]


@pytest.mark.parametrize(
    "make",
    [
        lambda: chain(tracking(honest), *WHITE),
        lambda: chain(tracking(honest), to_tokens()),
        lambda: as_one_step(chain(tracking(honest), *WHITE)),
        lambda: chain(chain(tracking(honest), WHITE[0]), WHITE[1]),
        lambda: chain(tracking(scales_by_what_it_saw), to_tokens()),
        lambda: chain(tracking(honest), tracking(scales_by_what_it_saw), to_tokens()),
        lambda: chain(subtract_tracked_value(Tracker(eta_min=0.5, eta_max=0.5)), to_tokens()),
    ],
)
def test_an_honest_tracker_is_let_through(make: Callable[[], Transform]) -> None:
    assert findings(subject(make)) == {}


@pytest.mark.parametrize(
    "options", [{"normalisation": "none"}, {"normalisation": "token"}, {"prior": "rollouts"}]
)
def test_options_do_not_make_mssr_break_a_law(options: dict[str, Any]) -> None:
    assert findings(CheckedAlgorithm("mssr", lambda: algorithms.make("mssr", **options))) == {}


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(algorithms, "_entries", dict(algorithms._entries))

    @register("planted")
    def planted(*, loss: Loss = Loss()) -> Algorithm:
        """Crashes."""

        def crash(a_B: Tensor, _: Batch) -> Tensor:
            raise ZeroDivisionError("by nothing")

        return Algorithm(name="other", advantage=chain(rollout_step(crash), to_tokens()), loss=loss)

    return


@pytest.mark.usefixtures("planted")
def test_the_command_says_law_by_law_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "algo=planted"]) == cli.FAILED
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert len(lines) == len(LAWS)
    assert "calls itself other, registered as planted" in lines[0]
    assert "it fails with ZeroDivisionError: by nothing" in lines[1]
    assert "planted breaks 8 of 14 laws" in said.err


def test_the_command_lets_a_sound_algorithm_pass(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "algo=mssr", "algo.gamma=2.0"]) == cli.DONE
    assert all(line.startswith("ok ") for line in capsys.readouterr().out.splitlines())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["seed=1"], "check takes env=..., or algo=..."),
        (["algo=mssr", "seed=1"], "unknown argument seed; known here: algo, plugins"),
    ],
)
def test_other_words_are_refused(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["check", *words]) == cli.USAGE
    assert says in capsys.readouterr().err
