"""`python -m mssr_rl lens FILE`: contract D, against the three steps worked out for everybody."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mssr_rl import cli

LINES = [
    {
        "problem": ["a", "b", "c"],
        "reward": [1, 0, 1],
        "logprob": [[-0.1, -0.7], [-2.3], [-0.5, -0.01, -1.2]],
        "logprob_ref": [[-0.2, -0.7], [-2.2], [-0.5, -0.05, -1.1]],
        "entropy": [[0.3, 1.1], [2.0], [0.9, 0.05, 1.5]],
    },
    {
        "problem": ["a", "a", "b"],
        "reward": [1, 0, 0],
        "logprob": [[-0.2], [-0.9, -0.4], [-0.3, -0.3]],
        "logprob_ref": [[-0.1], [-1.0, -0.4], [-0.3, -0.2]],
        "entropy": [[0.5], [1.3, 0.7], [0.1, 0.6]],
        "kl_step": 0.004,
    },
    {
        "problem": ["b", "c", "d"],
        "reward": [1, 1, 0],
        "logprob": [[-0.6, -1.6], [-0.05], [-0.8]],
        "logprob_ref": [[-0.9, -1.4], [-0.05], [-0.7]],
        "entropy": [[1.0, 1.8], [0.2], [0.4]],
        "kl_step": 0.012,
    },
]
GROUPS = {
    "problem": ["a"] * 4 + ["b"] * 4,
    "reward": [1, 0, 0, 0, 1, 1, 0, 0],
    "logprob": [[-0.5] * n for n in (2, 3, 1, 4, 2, 2, 3, 1)],
}
PER_RESPONSE = {
    "reinforce_pp": [
        [0.447214, -2.236068, 0.447214],
        [2, -0.5, -0.5],
        [0.577350, 0.577350, -1.732051],
    ],
    "batch_mean": [
        [0.333333, -0.666667, 0.333333],
        [0.666667, -0.333333, -0.333333],
        [0.333333, 0.333333, -0.666667],
    ],
    "mvsr": [
        [0.707107, -1.414214, 0.707107],
        [1.406354, -0.832121, -0.574232],
        [0.868738, 0.532053, -1.400791],
    ],
    "mvsr_released": [
        [0.707107, -1.414214, 0.707107],
        [1.405392, -0.839282, -0.566110],
        [0.877425, 0.521805, -1.399230],
    ],
}
PER_TOKEN = {
    "mssr": [
        [[1.307107, 2.474874], [2.121320], [2.474874, 0.807107, 2.474874]],
        [[2.406354], [1.248182, 0.567879], [-0.374232, 0.625768]],
        [[2.868738, 3.040583], [0.932053], [-0.600791]],
    ],
    "mssr_released": [
        [[0.743300, 0.846151], [-1.321975], [0.828413, 0.711067, 0.851680]],
        [[1.470890], [-0.692917, -0.732031], [-0.477212, -0.477212]],
        [[1.009140, 1.006639], [0.540830], [-1.255445]],
    ],
}
Lens = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def lens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Lens:
    def run(*words: str, lines: list[dict[str, Any]] = LINES) -> list[dict[str, Any]]:
        file = tmp_path / "batches.jsonl"
        file.write_text("\n".join(map(json.dumps, lines)) + "\n\n")
        assert cli.main(["lens", str(file), *words]) == 0, capsys.readouterr().err
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return run


def flat(rows: list[list[float]]) -> list[float]:
    return [value for row in rows for value in row]


@pytest.mark.parametrize("name", PER_RESPONSE)
def test_every_token_has_the_advantage_of_its_response(lens: Lens, name: str) -> None:
    for line, found, wanted in zip(LINES, lens(f"algo={name}"), PER_RESPONSE[name], strict=True):
        lengths = [len(row) for row in line["logprob"]]  # type: ignore[attr-defined]
        rows = [[value] * length for value, length in zip(wanted, lengths, strict=True)]
        assert [len(row) for row in found["advantage"]] == lengths
        assert flat(found["advantage"]) == pytest.approx(flat(rows), abs=1e-6)


@pytest.mark.parametrize("name", PER_TOKEN)
def test_shaping_differs_token_by_token(lens: Lens, name: str) -> None:
    for found, wanted in zip(lens(f"algo={name}"), PER_TOKEN[name], strict=True):
        assert flat(found["advantage"]) == pytest.approx(flat(wanted), abs=1e-6)


def test_the_state_is_that_after_the_line_and_holds_what_was_met(lens: Lens) -> None:
    first, second, third = (found["state"] for found in lens("algo=mvsr"))
    assert first.keys() == second.keys() == {"a", "b", "c"}
    assert third.keys() == {"a", "b", "c", "d"}
    assert second["a"] == pytest.approx(
        {"alpha": 5.076184, "beta": 4.292708, "value": 5.076184 / 9.368892}, abs=1e-6
    )
    assert third["d"] == pytest.approx(
        {"alpha": 3.568, "beta": 4.568, "value": 3.568 / 8.136}, abs=1e-6
    )


@pytest.mark.parametrize(
    ("name", "etas", "kls"),
    [
        ("mvsr", [0.96, 0.926, 0.892], [0, 0.004, 0.008]),
        ("mvsr_released", [0.902133, 0.902981, 0.927920], [0.0031921, 0.0032919, 0.0062259]),
    ],
)
def test_the_rate_follows_the_kl(
    lens: Lens, name: str, etas: list[float], kls: list[float]
) -> None:
    metrics = [found["metrics"] for found in lens(f"algo={name}")]
    assert [m["tracker/eta"] for m in metrics] == pytest.approx(etas, abs=1e-6)
    assert [m["tracker/kl"] for m in metrics] == pytest.approx(kls, abs=1e-7)


def test_groups_are_runs_of_one_problem(lens: Lens) -> None:
    together = lens("algo=grpo,dr_grpo,rloo,reinforce_pp_baseline,dapo", lines=[GROUPS])[0]
    firsts = {name: [row[0] for row in found["advantage"]] for name, found in together.items()}
    assert list(firsts) == ["grpo", "dr_grpo", "rloo", "reinforce_pp_baseline", "dapo"]
    half = 0.8660239038
    assert firsts["grpo"] == pytest.approx(
        [1.499997, *[-0.499999] * 3, half, half, -half, -half], abs=1e-6
    )
    assert firsts["dapo"] == firsts["grpo"]  # no length limit is known here
    assert firsts["dr_grpo"] == pytest.approx([0.75, *[-0.25] * 3, 0.5, 0.5, -0.5, -0.5])
    third = 1 / 3
    assert firsts["rloo"] == pytest.approx(
        [1, -third, -third, -third, 2 * third, 2 * third, -2 * third, -2 * third]
    )
    assert firsts["reinforce_pp_baseline"] == pytest.approx(
        [1.7364862842, *[-0.4961389384] * 3, *[1.1783299786] * 2, *[-1.054295244] * 2], abs=1e-6
    )
    assert "state" not in together["grpo"]


def test_options_reach_the_algorithms_that_have_them(lens: Lens) -> None:
    plain = lens("algo=mvsr,mssr")
    other = lens("algo=mvsr,mssr", "algo.lam=0.4", "algo.gamma=2.0", "algo.entropy=plogp")
    assert [line["mvsr"] for line in plain] == [line["mvsr"] for line in other]
    assert plain[0]["mssr"]["advantage"] != other[0]["mssr"]["advantage"]
    assert other[2]["mssr"]["metrics"]["shaping/flipped_fraction"] == 0


def test_the_signal_is_measured(lens: Lens) -> None:
    metrics = lens("algo=dr_grpo", lines=[GROUPS])[0]["metrics"]
    sums = 0.75 * 2 + 0.25 * 8 + 0.5 * 8
    squares = 0.75**2 * 2 + 0.25**2 * 8 + 0.5**2 * 8
    assert metrics["signal/effective_sample_size"] == pytest.approx(sums**2 / squares)
    assert metrics["critic/advantages/zero_fraction"] == 0
    assert metrics["reward/mean"] == 0.375


def changed(**entries: object) -> list[dict[str, Any]]:
    return [{**LINES[0], **entries}]


@pytest.mark.parametrize(
    ("words", "lines", "message"),
    [
        (["algo=grpo"], LINES, r"line 1: grpo compares the answers .* a: 1, b: 1, c: 1\. Use"),
        (["algo=rloo"], LINES[1:], "line 1: rloo compares .* a: 2, b: 1"),
        (["algo=mvsr", "algo.lam=1"], LINES, "algo=mvsr has no option lam"),
        (["algo=mvrs"], LINES, r"no algorithm 'mvrs'; did you mean 'mvsr'\?"),
        (["algo=mvsr,mvsr"], LINES, "names mvsr twice"),
        ([], LINES, r"lens takes run=\.\.\., or FILE algo="),
        (["algo=mssr", "algo.entropy_policy=current"], LINES, "use entropy_policy=rollout"),
        (["algo=mssr"], [{k: v for k, v in LINES[0].items() if k != "entropy"}], "entropy=full"),
        (
            ["algo=mvsr_released"],
            [{k: v for k, v in LINES[0].items() if k != "logprob_ref"}],
            "line 1: mvsr_released: kl_source=reference needs",
        ),
        (["algo=mvsr"], changed(reward=[1, 0]), "line 1: reward has 2 entries for 3 rollouts"),
        (["algo=mvsr"], changed(entropy=[[1.0], [1.0], [1.0]]), "entropy and logprob give the sam"),
        (["algo=mvsr"], changed(reward=[1, float("nan"), 0]), "reward: value 2 is nan, not finite"),
        (["algo=mvsr"], changed(logprob=[["x"], [], []]), "logprob must be a list of numbers"),
        (["algo=mvsr"], changed(kl_step=-0.02), "kl_step=-0.02 is below 0"),
        (["algo=mvsr"], changed(kl_step="much"), "kl_step=much is not a number"),
        (["algo=mvsr"], [], "holds no batch"),
        (["algo=mvsr", "step=3"], LINES, "unknown argument step; known here: algo, plugins"),
        (["algo=mvsr", "speed=3"], LINES, "unknown argument speed"),
    ],
)
def test_what_is_wrong_is_said(
    words: list[str],
    lines: list[dict[str, Any]],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "batches.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert cli.main(["lens", str(file), *words]) == cli.USAGE

    said = capsys.readouterr().err
    assert re.search(message, said), said


def test_what_is_null_is_not_there(lens: Lens) -> None:
    assert lens("algo=mvsr", lines=changed(logprob_ref=None, kl_step=None))


def test_responses_without_tokens_keep_their_place(lens: Lens) -> None:
    line = {"problem": ["a", "b"], "reward": [1, 0], "logprob": [[], [-0.5]]}
    found = lens("algo=batch_mean", lines=[line])[0]
    assert found["advantage"] == [[], [-0.5]]
