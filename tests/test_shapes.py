"""The shapes that stand in names are checked by jaxtyping and beartype, in tests only.

`advantage_BT` and `mask_BT` say that both have the same B and the same T. The annotations are made
from these names, so nothing is written twice, and a run loads neither package: torch broadcasts a
tensor of a wrong shape in silence, the checked function refuses it.
"""

import inspect
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from beartype import beartype
from jaxtyping import Shaped, TypeCheckError, jaxtyped
from torch import Tensor

from mssr_rl import loss, metrics, objective
from mssr_rl.advantage import shaping, steps
from mssr_rl.algos import Algorithm, algorithms
from mssr_rl.check_algo import batches
from mssr_rl.loss import Loss, Weights
from mssr_rl.objective import Extras, Given, Policy

MODULES = (loss, metrics, objective, shaping, steps)
B, T = 6, 5


def dimensions(name: str) -> str | None:
    """`advantage_BT` -> "B T", `std_P1` -> "P 1"; None where the name says no shape."""
    ending = re.search(r"_([A-Z][A-Z0-9]*)$", name)
    return " ".join(ending[1]) if ending else None


def named_shapes(arguments: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The tensors among arguments whose names say a shape, those inside of tuples included."""
    for name, value in arguments.items():
        if isinstance(value, Tensor) and dimensions(name):
            yield name, value
        elif isinstance(value, Weights):  # the only one whose shape stands in its docstring
            yield from ((f"{field}_BT", x) for field, x in value._asdict().items())
        elif hasattr(value, "_asdict"):
            yield from named_shapes(value._asdict())


def check(arguments: dict[str, Any]) -> None:
    """Raise `TypeCheckError` if two names disagree about a length."""
    tensors = list(named_shapes(arguments))
    kinds = {f"x{i}": Shaped[Tensor, dimensions(name) or ""] for i, (name, _) in enumerate(tensors)}
    source = f"def together({', '.join(kinds)}): pass"
    made: dict[str, Any] = {}
    exec(source, made)
    made["together"].__annotations__ = kinds
    jaxtyped(typechecker=beartype)(made["together"])(*(x for _, x in tensors))


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, refusing arguments whose shapes are not what their names say."""
    signature = inspect.signature(function)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        check(dict(signature.bind(*args, **kwargs).arguments))
        return function(*args, **kwargs)

    return wrapped


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every function of `MODULES` is checked; the names of those that were called."""
    called: list[str] = []

    def noted(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            called.append(function.__name__)
            return checked(function)(*args, **kwargs)

        return wrapped

    for module in MODULES:
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == module.__name__ and function.__name__ != "require":
                monkeypatch.setattr(module, name, noted(function))
    return called


def given(**other: Tensor) -> Given:
    generator = torch.Generator().manual_seed(0)
    tensors = {
        name: torch.rand(B, T, generator=generator)
        for name in ("old_BT", "advantage_BT", "reference_BT")
    }
    return Given(**{"mask_BT": torch.ones(B, T), **tensors, **other})


def policy(shape: tuple[int, ...] = (B, T)) -> Policy:
    return Policy(torch.zeros(shape, requires_grad=True), torch.zeros(shape))


@pytest.mark.parametrize("name", algorithms.names())
def test_every_algorithm_keeps_the_shapes_that_names_say(name: str, watched: list[str]) -> None:
    algorithm: Algorithm = algorithms.make(name)
    batch = batches.draw(1, max(algorithm.min_group_size, 2))
    state = algorithm.advantage.init(batches.NUM_PROBLEMS)
    step = algorithm.advantage.update(batch.reward_B, batch, state)
    assert step.advantage.shape == batch.mask_BT.shape
    some = Given(batch.mask_BT, batch.logprob_BT, step.advantage, batch.logprob_BT)
    own = algorithm.loss.within(batches.WIDTH)
    plan = objective.prepared(some, own, 0)
    now = Policy(batch.logprob_BT.clone().requires_grad_(), batch.logprob_BT)
    objective.objective(now, plan.given, plan.weights, own, Extras())
    metrics.advantage_metrics(step.advantage, batch.mask_BT)
    assert {"prepared", "objective", "advantage_metrics"} <= set(watched)


WRONG: dict[str, Callable[[], Any]] = {
    "a mask of another width": lambda: shaping.shaped_by(torch.ones(B, T), torch.ones(1, T), 1, 1),
    "a row where a column belongs": lambda: objective.objective(
        policy(), given(advantage_BT=torch.ones(T)), WEIGHTS, Loss(), Extras()
    ),
    "one old log-probability for all tokens": lambda: objective.objective(
        policy(), given(old_BT=torch.zeros(B, 1)), WEIGHTS, Loss(), Extras()
    ),
    "a reference of one response for all": lambda: objective.objective(
        policy(), given(reference_BT=torch.zeros(1, T)), WEIGHTS, Loss(kl_coef=0.1), Extras()
    ),
    "weights of one response for all": lambda: objective.objective(
        policy(), given(), Weights(*(w[:1] for w in WEIGHTS)), Loss(), Extras()
    ),
    "a ratio per response for clipped tokens": lambda: loss.clipped_surrogate(
        torch.ones(B, 1), torch.ones(B, T), 0.2, 0.2, None
    ),
}
WEIGHTS = Weights(*(torch.full((B, T), 1 / (B * T)) for _ in range(3)))


@pytest.mark.parametrize("fault", WRONG)
def test_a_wrong_shape_that_torch_broadcasts_in_silence_is_found(
    fault: str, request: pytest.FixtureRequest
) -> None:
    WRONG[fault]()  # nothing is said without the check
    request.getfixturevalue("watched")
    with pytest.raises(TypeCheckError):
        WRONG[fault]()


@pytest.mark.slow
def test_a_run_loads_neither_package() -> None:
    script = (
        "import sys, mssr_rl.run.trainer, mssr_rl.engine.local; "
        "print(*{'jaxtyping', 'beartype'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""
