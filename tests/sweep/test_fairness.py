"""Who differs in what, and who accounts for it."""

import re
from pathlib import Path

import pytest

from mssr_rl.config.words import parse_words
from mssr_rl.errors import UserError
from mssr_rl.sweep import fairness, matrix, settings
from mssr_rl.sweep.derived import deriver
from mssr_rl.sweep.fairness import Fairness, FairnessRow

BASE = ("env=vision_r1", "env.limit=16", "seeds=1")


def examined(*words: str) -> Fairness:
    own = parse_words(settings.Settings, [*BASE, *words])
    runs = matrix.spell_out(own.runs, own, Path("runs")).runs
    return fairness.examine({r.arm.label: r.config for r in runs}, deriver(), own.varies)


def row(found: Fairness, name: str) -> FairnessRow:
    (one,) = (row for row in found.rows if row.name == name)
    return one


def test_the_algorithms_as_they_come_are_a_fair_comparison() -> None:
    found = examined("algo=grpo,rloo,reinforce_pp,mvsr,mssr")
    assert found.confounders == ()
    assert row(found, "updates per step").kind == "same"
    assert row(found, "rollouts").kind == "same"
    assert row(found, "initial weights").kind == "same"
    assert row(found, "evaluation card").kind == "same"
    assert row(found, "rollout.group_size").kind == "definition"
    posed = row(found, "problems per step")
    assert (posed.kind, posed.because) == ("consequence", ("rollout.group_size",))


def test_an_algorithm_that_drops_groups_may_get_fewer_updates() -> None:
    found = examined("algo=grpo,dapo")
    updates = row(found, "updates in all")
    assert updates.values == (480, "at most 480")
    assert (updates.kind, updates.because) == ("consequence", ("the algorithm",))


@pytest.mark.parametrize("word", ["eval.limit=8,16", "env.instruction=short,paper"])
def test_arms_on_different_problems_are_refused_even_if_declared(word: str) -> None:
    found = examined("algo=grpo", word, f"varies=[{word.partition('=')[0]}]")
    with pytest.raises(UserError, match="scored on different problems of vision_r1"):
        fairness.refuse_other_questions(found)


def test_the_released_scripts_are_refused_with_their_four_reasons() -> None:
    """Settings of ruiiu/MSSR's example scripts: MSSR against GRPO and RLOO."""
    found = examined(
        "algo=grpo,rloo,mssr",
        "train.rollouts_per_step=2048",
        "train.samples_per_update=1024",
        "budget.rollouts=245760",
        "rollout.top_p=0.99",
        "mssr.train.samples_per_update=128",
        "mssr.train.max_grad_norm=0.5",
        "mssr.rollout.top_p=1.0",
    )
    mssr = found.arms[-1]
    assert {row.name: (row.values[0], row.values[-1]) for row in found.confounders} == {
        "train.samples_per_update": (1024, 128),
        "train.max_grad_norm": (1.0, 0.5),
        "rollout.top_p": (0.99, 1.0),
        "updates per step": (2, 16),
        "updates in all": (240, 1920),
    }
    said = str(fairness.refusal(found))
    assert mssr in said
    assert re.search(r"updates per step +2 +2 +16 +UNDECLARED, follows from", said)
    assert "varies=[train.samples_per_update,train.max_grad_norm,rollout.top_p]" in said


@pytest.mark.parametrize(
    "word",
    [
        "mssr.kl_coef=0",
        "mssr.clip_high=0.28",
        "mssr.train.epochs=2",
        "mssr.rollout.temperature=0.7",
        "mssr.rollout.group_size=8",
        "mssr.eval.samples=2",
        "mssr.env.instruction=none",
        "mssr.budget.rollouts=15360",
    ],
)
def test_a_planted_difference_is_found(word: str) -> None:
    key = word.partition("=")[0].removeprefix("mssr.")
    names = {row.name for row in examined("algo=mvsr,mssr", word).confounders}
    assert names & {key, f"algo.{key}"}


def test_a_declared_difference_is_accounted_for_with_what_follows_from_it() -> None:
    found = examined("algo=mvsr,mssr", "mssr.train.epochs=2", "varies=[train.epochs]")
    assert found.confounders == ()
    assert row(found, "train.epochs").kind == "declared"
    assert row(found, "updates per step").kind == "consequence"


def test_a_swept_option_of_an_algorithm_is_what_is_compared() -> None:
    assert examined("algo=mssr", "algo.gamma=0.4,2.0").confounders == ()
    assert [r.name for r in examined("algo=mssr", "algo.kl_coef=0,0.01").confounders] == [
        "algo.kl_coef"
    ]


def test_a_declaration_without_effect_is_an_error() -> None:
    with pytest.raises(UserError, match=r"varies=\[train\.lr\], but it is 0\.0001 in all arms"):
        examined("algo=mvsr,mssr", "varies=[train.lr]")
    with pytest.raises(UserError, match=r"not a setting .* did you mean train\.lr"):
        examined("algo=mvsr,mssr", "varies=[train.rl]")


def test_a_fingerprint_that_differs_without_a_cause_is_a_confounder() -> None:
    settled = {"a": ("x",), "b": ("y",)}
    row = fairness._derived_row(
        "initial weights",
        {arm: {"initial weights": fairness.Derived(*v, ("model.",))} for arm, v in settled.items()},
        [FairnessRow("train.lr", (1, 2), "declared")],
    )
    assert (row.kind, row.because) == ("undeclared", ())
