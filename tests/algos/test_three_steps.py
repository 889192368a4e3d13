"""Three training steps with one memory, against numbers worked out once for everybody.

Each line of `LINES` is a step in the form `mssr_rl lens` reads. The tolerance, 1e-4, is that of the
table; the numbers have six decimals.
"""

import json
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from mssr_rl.advantage import Batch, Step, find_beliefs
from mssr_rl.algos import algorithms

LINES = """
{"problem":["a","b","c"],"reward":[1,0,1],"logprob":[[-0.1,-0.7],[-2.3],[-0.5,-0.01,-1.2]],
 "logprob_ref":[[-0.2,-0.7],[-2.2],[-0.5,-0.05,-1.1]],"entropy":[[0.3,1.1],[2.0],[0.9,0.05,1.5]]}
;{"problem":["a","a","b"],"reward":[1,0,0],"logprob":[[-0.2],[-0.9,-0.4],[-0.3,-0.3]],
 "logprob_ref":[[-0.1],[-1.0,-0.4],[-0.3,-0.2]],"entropy":[[0.5],[1.3,0.7],[0.1,0.6]],"kl_step":0.004}
;{"problem":["b","c","d"],"reward":[1,1,0],"logprob":[[-0.6,-1.6],[-0.05],[-0.8]],
 "logprob_ref":[[-0.9,-1.4],[-0.05],[-0.7]],"entropy":[[1.0,1.8],[0.2],[0.4]],"kl_step":0.012}
"""
RELEASED = {"eta_schedule": "released", "kl_source": "reference", "kl_window": 10}
Ragged = list[list[float]]

PER_RESPONSE: list[tuple[str, dict[str, object], Ragged]] = [
    (
        "reinforce_pp",
        {},
        [
            [0.447214, -2.236068, 0.447214],
            [2, -0.5, -0.5],
            [0.577350, 0.577350, -1.732051],
        ],
    ),
    (
        "mvsr",
        {},
        [
            [0.707107, -1.414214, 0.707107],
            [1.406354, -0.832121, -0.574232],
            [0.868738, 0.532053, -1.400791],
        ],
    ),
    (
        "mvsr",
        RELEASED,
        [
            [0.707107, -1.414214, 0.707107],
            [1.405392, -0.839282, -0.566110],
            [0.877425, 0.521805, -1.399230],
        ],
    ),
]
PER_TOKEN: list[tuple[dict[str, object], list[Ragged]]] = [
    (
        {},
        [
            [[1.307107, 2.474874], [2.121320], [2.474874, 0.807107, 2.474874]],
            [[2.406354], [1.248182, 0.567879], [-0.374232, 0.625768]],
            [[2.868738, 3.040583], [0.932053], [-0.600791]],
        ],
    ),
    (
        {**RELEASED, "gamma": 2.0, "lam": 0.4, "entropy": "plogp"},
        [
            [[0.743300, 0.846151], [-1.321975], [0.828413, 0.711067, 0.851680]],
            [[1.470890], [-0.692917, -0.732031], [-0.477212, -0.477212]],
            [[1.009140, 1.006639], [0.540830], [-1.255445]],
        ],
    ),
]
named = pytest.mark.parametrize


@named(("name", "options", "expected"), PER_RESPONSE)
def test_every_token_has_the_advantage_of_its_response(
    name: str, options: dict[str, object], expected: Ragged
) -> None:
    for step, b, wanted in zip(steps(name, options), batches(), expected, strict=True):
        token_by_token = torch.tensor(wanted)[:, None] * b.mask_BT
        assert torch.allclose(step.advantage, token_by_token, rtol=0, atol=1e-4)


@named(("options", "expected"), PER_TOKEN)
def test_mssr_shapes_token_by_token(options: dict[str, object], expected: list[Ragged]) -> None:
    for step, wanted in zip(steps("mssr", options), expected, strict=True):
        assert torch.allclose(step.advantage, padded(wanted), rtol=0, atol=1e-4)


@named(
    ("options", "etas", "kls"),
    [
        ({}, [0.96, 0.926, 0.892], [0, 0.004, 0.008]),
        (RELEASED, [0.902133, 0.902981, 0.927920], [0.0031921, 0.0032919, 0.0062259]),
    ],
)
def test_the_rate_follows_the_kl(
    options: dict[str, object], etas: list[float], kls: list[float]
) -> None:
    measured = [step.metrics for step in steps("mvsr", options)]
    assert [m["tracker/eta"] for m in measured] == pytest.approx(etas, abs=1e-6)
    assert [m["tracker/kl"] for m in measured] == pytest.approx(kls, abs=1e-7)


@pytest.mark.parametrize("name", ["mvsr", "mssr"])
def test_the_memory_after_the_second_and_the_third_step(name: str) -> None:
    _, second, third = [counts(step) for step in steps(name, {})]
    assert second[:3] == [
        pytest.approx(pair, abs=1e-6)
        for pair in ((5.076184, 4.292708), (3.55584, 5.48184), (4.84, 3.84))
    ]
    assert third[1:] == [
        pytest.approx(pair, abs=1e-6)
        for pair in ((4.171809, 4.889801), (5.31728, 3.42528), (3.568, 4.568))
    ]


def batches() -> Iterator[Batch]:
    for text in LINES.split(";"):
        line = json.loads(text)
        yield Batch(
            reward_B=torch.tensor(line["reward"], dtype=torch.float64),
            problem_B=torch.tensor(["abcd".index(p) for p in line["problem"]]),
            mask_BT=padded([[1.0] * len(row) for row in line["logprob"]]),
            logprob_BT=padded(line["logprob"]),
            entropy_BT=padded(line["entropy"]),
            logprob_ref_BT=padded(line["logprob_ref"]),
            kl_step=line.get("kl_step"),
        )


def steps(name: str, options: dict[str, object]) -> Iterator[Step]:
    advantage = algorithms.make(name, **options).advantage
    state = advantage.init(4)
    for b in batches():
        step = advantage.update(b.reward_B, b, state)
        state = step.state
        yield step


def counts(step: Step) -> list[tuple[float, float]]:
    beliefs = find_beliefs(step.state)
    assert beliefs is not None
    return list(zip(beliefs.alpha_N.tolist(), beliefs.beta_N.tolist(), strict=True))


def padded(rows: Ragged) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
