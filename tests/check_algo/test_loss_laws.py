"""Losses with a planted fault are caught, each by the law that is about it; sound ones keep all."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from mssr_rl.advantage import chain, subtract_batch_mean, to_tokens
from mssr_rl.algos import Algorithm
from mssr_rl.check_algo import loss_laws
from mssr_rl.errors import UserError
from mssr_rl.loss import Loss, PolicyLoss, Signal, Surrogate, losses, register_loss

LAWS = (
    loss_laws.micro_batches,
    loss_laws.order,
    loss_laws.padding,
    loss_laws.fresh,
    loss_laws.finite,
    loss_laws.pure,
)
Formula = Callable[[Signal], Tensor]


@dataclass(frozen=True, kw_only=True)
class Planted(PolicyLoss):
    """A loss per token out of any formula."""

    formula: Formula = lambda signal: -signal.advantage_BT * signal.log_ratio_BT.exp()
    says: str = ""

    @property
    def departs(self) -> str:
        return self.says

    def surrogate(self, signal: Signal) -> Surrogate:
        return Surrogate(self.formula(signal), torch.zeros_like(signal.mask_BT, dtype=torch.bool))


def broken(loss: PolicyLoss) -> dict[str, str]:
    said = {law.__name__: law(loss) for law in LAWS}
    return {name: why for name, why in said.items() if why}


def centres_in_the_micro_batch(signal: Signal) -> Tensor:
    advantage_BT = signal.advantage_BT - signal.advantage_BT.mean()
    return -advantage_BT * signal.log_ratio_BT.exp()


def sums_the_padding(signal: Signal) -> Tensor:
    mean_B1 = (signal.logprob_BT - signal.old_logprob_BT).mean(1, keepdim=True)
    return -signal.advantage_BT * mean_B1.clamp(-20, 20).exp()


def looks_at_its_neighbour(signal: Signal) -> Tensor:
    return -signal.advantage_BT.roll(1, 0) * signal.log_ratio_BT.exp()


def is_half_as_steep(signal: Signal) -> Tensor:
    return -0.5 * signal.advantage_BT * signal.log_ratio_BT.exp()


def explodes(signal: Signal) -> Tensor:
    return -signal.advantage_BT * (signal.logprob_BT - signal.old_logprob_BT).exp()


def writes_over_the_advantage(signal: Signal) -> Tensor:
    signal.advantage_BT.mul_(0.5)
    return -signal.advantage_BT * signal.log_ratio_BT.exp()


def draws(signal: Signal) -> Tensor:
    return (
        -signal.advantage_BT * signal.log_ratio_BT.exp() * torch.rand_like(signal.mask_BT).round()
    )


def gives_one_a_response(signal: Signal) -> Tensor:
    return signal.response_mean(-signal.advantage_BT * signal.log_ratio_BT.exp())


@pytest.mark.parametrize(
    ("formula", "law", "says"),
    [
        (centres_in_the_micro_batch, "micro_batches", "cut into micro-batches"),
        (sums_the_padding, "padding", "outside a response has a gradient"),
        (looks_at_its_neighbour, "order", "in another order"),
        (is_half_as_steep, "fresh", "is not that of A \\* log p"),
        (explodes, "finite", "log-ratio of \\+-10000 in torch.float32"),
        (writes_over_the_advantage, "pure", "an input of the loss was written to"),
        (draws, "pure", "different losses"),
        (gives_one_a_response, "pure", "not one per token"),
    ],
)
def test_a_planted_fault_is_caught(formula: Formula, law: str, says: str) -> None:
    found = broken(Planted(formula=formula))
    assert law in found
    assert re.search(says, found[law])


def test_what_counts_as_clipped_is_a_bool_per_token() -> None:
    class Counts(Loss):
        def surrogate(self, signal: Signal) -> Surrogate:
            return super().surrogate(signal)._replace(clipped_BT=signal.mask_BT)

    assert broken(Counts()) == {"pure": "what counts as clipped must be a bool per token"}


@pytest.mark.parametrize(
    "loss",
    [
        Planted(),
        Loss(),
        Loss(ratio="sequence"),
        Loss(aggregate="seq-mean-token-sum-norm"),
        Loss(aggregate="micro-token-mean", micro_size=2),
        Planted(formula=is_half_as_steep, says="half as steep on purpose"),
    ],
)
def test_a_sound_loss_keeps_every_law(loss: PolicyLoss) -> None:
    assert broken(loss) == {}


class Marked(Loss):
    """Counts a token by its place among the update's largest advantages: only `mark` sees them."""

    def mark(self, update: Signal, generator: torch.Generator) -> Tensor:
        on_BT = update.mask_BT > 0
        noise_N = torch.rand(int(on_BT.sum()), generator=generator)  # padding draws nothing
        noise_BT = torch.zeros_like(update.mask_BT).masked_scatter(
            on_BT, noise_N.to(update.mask_BT)
        )
        return (update.advantage_BT.abs() > 0.5) * noise_BT

    @property
    def departs(self) -> str:
        return "tokens are weighed"

    def surrogate(self, signal: Signal) -> Surrogate:
        assert signal.mark_BT is not None
        found = super().surrogate(signal)
        return found._replace(token_loss_BT=found.token_loss_BT * signal.mark_BT)


def test_a_loss_that_asks_for_a_whole_update_keeps_the_law_of_micro_batches() -> None:
    assert broken(Marked()) == {}


@pytest.fixture
def _forgotten() -> Iterator[None]:
    before = dict(losses._entries)
    yield
    losses._entries.clear()
    losses._entries.update(before)


def test_an_algorithm_whose_loss_has_no_name_is_refused() -> None:
    advantage = chain(subtract_batch_mean(), to_tokens())
    with pytest.raises(UserError, match='Planted has no name; put @register_loss\\("name"\\)'):
        Algorithm(name="mine", advantage=advantage, loss=Planted())


@pytest.mark.usefixtures("_forgotten")
def test_a_name_is_given_once_and_options_are_read_from_the_class() -> None:
    register_loss("planted")(Marked)
    assert losses.name_of(Marked) == "planted"
    options = losses.options("planted")
    assert {"kl_coef", "clip_high"} <= set(options)
    assert options["clip_high"].doc == "and at 1 + clip_high from above"
    assert options["kl_coef"].doc == "weight of the KL to the frozen initial model"
    with pytest.raises(UserError, match=r"loss 'planted' .* is already registered"):
        register_loss("planted")(Loss)
