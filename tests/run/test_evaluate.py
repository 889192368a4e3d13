"""Scores: greedy and sampled, problem by problem, and the `eval` verb that makes them."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mssr_rl.budget import Ledger
from mssr_rl.config import Config
from mssr_rl.engine_protocol import Engine
from mssr_rl.errors import UserError
from mssr_rl.run import evaluate, scoring, trainer
from mssr_rl.run.arm import eval_plan
from mssr_rl.run.scoring import Evaluation
from mssr_rl.run.splits import environment

Configure = Callable[..., Config]
MakeEngine = Callable[[Config], Engine]


def nothing() -> None:
    pass


@pytest.fixture
def found(configure: Configure, make_engine: MakeEngine) -> Evaluation:
    config = configure()
    val = environment(config, "val")
    return scoring.evaluate(make_engine(config), val, eval_plan(config), 7, nothing)


def test_the_record_holds_both_accuracies_and_every_problem(found: Evaluation) -> None:
    record = scoring.evaluation_record(found, Ledger(rollouts=64, image_tokens=9))
    assert (record["step"], record["split"], record["n"], record["samples"]) == (7, "val", 30, 4)
    assert set(record["per_problem"]) == set(record["per_problem_sampled"])
    assert len(record["per_problem"]) == 30
    assert record["accuracy"] == sum(record["per_problem"].values()) / 30
    assert record["accuracy_sampled"] == sum(record["per_problem_sampled"].values()) / 120
    assert set(record["per_problem"].values()) <= {0, 1}
    assert set(record["per_problem_sampled"].values()) <= {0, 1, 2, 3, 4}
    assert record["budget"]["rollouts"] == 64
    assert record["budget"]["image_tokens"] == 9


def test_tags_split_the_problems_without_rest(found: Evaluation) -> None:
    families = scoring.by_tag(found)["family"]
    assert list(families) == ["even", "odd"]
    assert sum(part["n"] for part in families.values()) == 30
    mean = sum(part["n"] * part["accuracy_sampled"] for part in families.values()) / 30
    assert mean == pytest.approx(found.score.accuracy_sampled, abs=1e-12)


def test_evaluation_rollouts_are_listed_and_not_charged(found: Evaluation) -> None:
    assert found.spent == Ledger(evaluation_rollouts=30 + 4 * 30)


def test_greedy_answers_do_not_depend_on_the_seed_and_sampled_ones_do(
    configure: Configure, make_engine: MakeEngine
) -> None:
    one, two = (score_val(configure(f"seed={seed}"), make_engine) for seed in (0, 1))
    assert one.right == two.right
    assert one.right_sampled != two.right_sampled


def test_the_same_policy_scores_the_same_at_every_step(
    configure: Configure, make_engine: MakeEngine
) -> None:
    one, two = (score_val(configure(), make_engine, step) for step in (0, 50))
    assert one.right_sampled == two.right_sampled


def test_a_limit_takes_the_first_problems(configure: Configure, make_engine: MakeEngine) -> None:
    some = score_val(configure("eval.limit=7"), make_engine)
    every = score_val(configure(), make_engine)
    assert some.right == every.right[:7]


def test_no_more_rollouts_are_drawn_at_once_than_four_steps_draw(
    configure: Configure, make_engine: MakeEngine
) -> None:
    drawn: list[int] = []

    class Counting:
        def __init__(self, inner: Engine) -> None:
            self.inner = inner

        def rollout(self, problems: Any, group_size: int, sampling: Any, seed: int) -> Any:
            drawn.append(len(problems) * group_size)
            return self.inner.rollout(problems, group_size, sampling, seed)

    config = configure("train.rollouts_per_step=8", "train.samples_per_update=8")
    score_val(config, lambda config: Counting(make_engine(config)))  # type: ignore[arg-type, return-value]
    assert max(drawn) == 4 * 8
    assert sum(drawn) == 30 + 120


def test_an_evaluation_can_be_ended_between_batches(
    configure: Configure, make_engine: MakeEngine
) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    config = configure()
    val = environment(config, "val")
    with pytest.raises(KeyboardInterrupt):
        scoring.evaluate(make_engine(config), val, eval_plan(config), 0, stop)


def score_val(config: Config, make_engine: MakeEngine, step: int = 0) -> Evaluation:
    val = environment(config, "val")
    return scoring.evaluate(make_engine(config), val, eval_plan(config), step, nothing)


# ---- the verb ----


def test_the_eval_verb_prints_a_score_for_each_split_and_keeps_every_result(
    configure: Configure, make_engine: MakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = evaluate.run([configure("name=scores")], make_engine)
    out = capsys.readouterr()
    said = [f"results {folder}", "scoring vision_r1 val: 30 problems"]
    assert out.err.splitlines()[:2] == said
    assert "scoring vision_r1 test: 20 problems" in out.err.splitlines()
    printed = [json.loads(line) for line in out.out.splitlines()]
    assert [(p["split"], p["n"]) for p in printed] == [("val", 30), ("test", 20)]
    kept = [json.loads(line) for line in (folder / "eval.jsonl").read_text().splitlines()]
    assert [row["accuracy"] for row in kept] == [p["accuracy"] for p in printed]
    assert json.loads((folder / "run.json").read_text())["status"] == "done"
    assert len((folder / "samples.jsonl").read_text().splitlines()) == 32


def test_a_run_directory_stands_for_its_newest_checkpoint(
    configure: Configure, make_engine: MakeEngine
) -> None:
    folder = trainer.run(configure(), make_engine)
    newest = folder / "checkpoints" / "step_6"
    assert evaluate.policy_folder(str(folder)) == str(newest / "policy")
    assert evaluate.policy_folder(str(newest)) == str(newest / "policy")
    assert evaluate.policy_folder(str(newest / "policy")) == str(newest / "policy")
    assert evaluate.policy_folder("tiny") == "tiny"


def test_a_run_directory_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(UserError, match="holds no valid checkpoint to score"):
        evaluate.policy_folder(str(tmp_path))


def test_a_split_without_problems_is_refused(configure: Configure) -> None:
    config = configure()
    options = {**config.env.options, "limit": 0}
    with pytest.raises(UserError):
        environment(replace(config, env=replace(config.env, options=options)), "val")
