"""Cards, intervals, and the refusal to compare what was not scored alike."""

import json
from pathlib import Path
from typing import Any

import pytest

from mssr_rl import cli
from mssr_rl.envs import environments
from mssr_rl.errors import UserError
from mssr_rl.problem import Problem
from mssr_rl.run import evaluate_words, scorecard

FIVE = "mathverse,mathvista,mmk12,r1_onevision_bench,hallusion_bench"


def problems(*groups: str) -> list[Problem]:
    return [
        Problem(key=str(i), prompt="?", answer="1", extras={"problem_index": group})
        for i, group in enumerate(groups)
    ]


def test_rows_of_one_problem_widen_the_interval() -> None:
    right = [1, 1, 0, 0, 1, 1, 0, 0]
    together = scorecard.interval(problems(*"aabbccdd"), right)
    apart = scorecard.interval(problems(*"abcdefgh"), right)
    # four groups, each one off by 1: sqrt(4) / 8 = 0.25 standard errors; eight by a half: 0.177
    assert together.high - 0.5 == pytest.approx(1.959964 * 0.25, abs=1e-5)
    assert apart.high - 0.5 == pytest.approx(1.959964 * 2**0.5 / 8, abs=1e-5)
    plain = [Problem(key=str(i), prompt="?", answer="1") for i in range(8)]
    assert scorecard.interval(plain, right) == pytest.approx((0.5, 0.2152, 0.7848), abs=1e-3)


def test_a_card_tells_every_setting_that_moves_a_number() -> None:
    def card(n: int = 10, name: str = "mmk12", **options: Any) -> dict[str, Any]:
        return scorecard.card(environments.make(name, split="test", limit=20, **options), n)

    usual = card()
    assert scorecard.differences(usual, card()) == []
    for other, changed in (
        (card(n=9), "items"), (card(instruction="short"), "prompt"), (card(blind=True), "pictures"),
        (card(name="mathvista"), "metric"),
    ):  # fmt: skip
        assert changed in " ".join(scorecard.differences(usual, other))
    strict = card(name="hallusion_bench")
    released = card(name="hallusion_bench", compat="mssr")
    assert [d.split(":")[0] for d in scorecard.differences(strict, released)] == ["extraction"]


def scores(folder: Path, right: list[int], **card: Any) -> Path:
    folder.mkdir()
    record = {
        "env": "mmk12", "split": "test", "accuracy": sum(right) / len(right),
        "per_problem": {str(i): one for i, one in enumerate(right)},
        "card": {"prompt": "paper", **card},
    }  # fmt: skip
    (folder / "eval.jsonl").write_text(json.dumps(record) + "\n")
    return folder


def test_two_results_with_one_card_are_compared_problem_by_problem(tmp_path: Path) -> None:
    one, two = scores(tmp_path / "a", [1, 0, 0, 0]), scores(tmp_path / "b", [1, 1, 0, 0])
    (row,) = scorecard.compare(one, two)
    assert row["accuracy"] == [0.25, 0.5]
    assert row["change"] == pytest.approx([0.25, -0.24, 0.74], abs=0.001)


def test_two_results_with_different_cards_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = scores(tmp_path / "a", [1]), scores(tmp_path / "b", [1], prompt="short")
    assert cli.main(["eval", f"compare={one},{two}"]) == cli.USAGE
    assert "their cards differ in prompt: paper / short" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"has no eval\.jsonl"):
        scorecard.compare(one, tmp_path)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["judge=x", "env=a,b,"], "has nothing between two commas"),
        (["judge_model=x"], "judge_model names the model behind judge=URL"),
        (["model=nowhere"], "model=nowhere is neither a folder nor"),
        (["algo=grpo"], "algo=grpo plays no part in scoring a model, so leave it out"),
        (["algo.kl_coef=1"], "plays no part"),
        (["budget.rollouts=64"], "budget.rollouts=64 plays no part"),
        (["train.lr=1"], "plays no part"),
        (["rollout.temperature=0.5"], "plays no part"),
        (["rollout.group_size=2"], "plays no part"),
        (["eval.every=1"], "plays no part"),
        (["resume=true", "name=a"], "plays no part"),
        (["fault.retries=1"], "plays no part"),
        (["sed=1"], "did you mean seed"),
        (["split=dev"], "a list of train, val, test"),
        (["env=mmk12,mathvista", "env.compat=mssr"], "has no option compat"),
        (["env=mmk12,mathvist"], "did you mean"),
    ],
)
def test_words_that_cannot_be_meant_are_refused(words: list[str], says: str) -> None:
    with pytest.raises(UserError, match=says):
        evaluate_words.evaluation_request(words)


def test_words_that_change_a_score_are_taken() -> None:
    words = [
        "env=mmk12", "env.limit=3", "model=tiny", "engine=local", "engine.threads=1", "seed=3",
        "name=a", "runs_dir=there", "plugins=[]", "eval.samples=2", "eval.limit=2",
        "rollout.max_response_tokens=9", "rollout.max_prompt_tokens=99", "recipe=laptop",
    ]  # fmt: skip
    (config,) = evaluate_words.evaluation_request(words).configs
    assert (config.seed, config.eval.samples, config.rollout.max_response_tokens) == (3, 2, 9)


def test_an_option_goes_to_the_environments_that_have_it() -> None:
    asked = evaluate_words.evaluation_request(
        ["env=mmk12,hallusion_bench", "env.compat=mssr", "env.limit=3"]
    )
    assert [c.env.options.get("compat") for c in asked.configs] == [None, "mssr"]
    assert [c.env.options["limit"] for c in asked.configs] == [3, 3]


@pytest.mark.slow
def test_the_papers_five_benchmarks_are_scored_in_one_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        f"env={FIVE}", "env.limit=3", "env.instruction=short", "eval.samples=1", "name=five",
        f"runs_dir={tmp_path}", "model=tiny", "rollout.max_response_tokens=16",
        "engine.threads=1",
    ]  # fmt: skip
    assert cli.main(["eval", *words]) == 0
    out = capsys.readouterr()
    rows = [json.loads(line) for line in out.out.splitlines()]
    assert [row["env"] for row in rows] == FIVE.split(",")
    assert set(rows[-1]["metrics"]) == {"aAcc", "fAcc", "qAcc"}
    table = (tmp_path / "five" / "table.md").read_text()
    assert table.count("\n") == 7
    assert table in out.err
    kept = [json.loads(t) for t in (tmp_path / "five" / "eval.jsonl").read_text().splitlines()]
    assert all(len(row["per_problem"]) == 3 and row["card"]["judge"] == "none" for row in kept)
    assert cli.main(["eval", f"compare={tmp_path / 'five'},{tmp_path / 'five'}"]) == 0
