"""Which runs a command stands for."""

from pathlib import Path

import pytest

from mssr_rl.config.words import parse_words
from mssr_rl.errors import UserError
from mssr_rl.sweep import matrix, settings
from mssr_rl.sweep.matrix import Matrix


def spelled(*words: str) -> Matrix:
    own = parse_words(settings.Settings, words)
    return matrix.spell_out(own.runs, own, Path("runs"))


def labels(*words: str) -> list[str]:
    return [arm.label for arm in spelled(*words).arms]


def test_arms_times_seeds_seed_by_seed() -> None:
    found = spelled("algo=grpo,mssr", "env=vision_r1", "seeds=2", "seed=5")
    assert [run.name for run in found.runs] == [
        "vision_r1-grpo-s5",
        "vision_r1-mssr-s5",
        "vision_r1-grpo-s6",
        "vision_r1-mssr-s6",
    ]
    assert [run.config.seed for run in found.runs] == [5, 5, 6, 6]
    assert found.runs[1].words == ["algo=mssr", "env=vision_r1", "seed=5"]


def test_a_comma_sweeps_a_key_and_names_the_arms() -> None:
    assert labels("algo=mssr", "algo.gamma=0.4,2.0") == ["mssr gamma=0.4", "mssr gamma=2.0"]
    assert labels("algo=grpo", "train.lr=1e-4,2e-4", "algo.eps=1e-6,1e-4") == [
        "grpo train.lr=1e-4 eps=1e-6",
        "grpo train.lr=1e-4 eps=1e-4",
        "grpo train.lr=2e-4 eps=1e-6",
        "grpo train.lr=2e-4 eps=1e-4",
    ]


def test_a_list_in_brackets_is_one_value() -> None:
    assert matrix._values("[a,b],c") == ("[a,b]", "c")
    assert matrix._values("'a,b'") == ("'a,b'",)


def test_runs_begin_seed_by_seed_and_those_with_many_pictures_first() -> None:
    found = spelled("algo=grpo,mssr,rloo", "seeds=2", "seed=5")
    assert [(run.seed, run.arm.label) for run in matrix.in_turn(found.runs)] == [
        (seed, algo) for seed in (5, 6) for algo in ("mssr", "grpo", "rloo")
    ]


def test_a_key_behind_an_algorithms_name_is_for_its_arms_only() -> None:
    found = spelled("algo=grpo,mssr", "mssr.gamma=0.4,2.0", "mssr.train.lr=1e-3", "train.lr=1e-4")
    assert [arm.label for arm in found.arms] == [
        "grpo",
        "mssr train.lr=1e-3 gamma=0.4",
        "mssr train.lr=1e-3 gamma=2.0",
    ]
    assert [run.config.train.lr for run in found.runs[:3]] == [1e-4, 1e-3, 1e-3]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["algo=grpo,grpo"], "the arm grpo is there twice"),
        (["algo=dapoo,mssr"], "did you mean 'dapo'"),
        (["algo=grpo,mssr", "algo.gamma=1"], "algo=grpo has no option gamma"),
        (["algo=grpo,,mssr"], "nothing between two of its commas"),
        (["resume=true"], "takes up an interrupted comparison by itself"),
        (["runs_dir=x"], "comparisons_dir= moves it"),
        (["seed=1,2"], "compare takes one number, the first seed"),
        (["seeds=0"], "seeds=0 must be at least 1"),
        (["fair=maybe"], "fair=maybe is not one of refuse, report"),
        (["algo=grpo", "ablate=all"], "algo=grpo declares no parts that can be left out"),
    ],
)
def test_what_cannot_be_spelled_out_is_refused_in_a_sentence(words: list[str], says: str) -> None:
    with pytest.raises(UserError, match=says):
        spelled(*words)


def test_ablations_leave_one_part_out_each_and_carry_the_name_of_what_remains() -> None:
    assert labels("algo=mssr", "ablate=all") == [
        "mssr",
        "mvsr",
        "mssr without tracker",
        "mssr without whitening",
        "mssr with fixed eta",
    ]
    found = spelled("algo=mssr,mvsr", "ablate=all", "mssr.gamma=2.0", "seeds=1")
    own = {run.arm.label: run.config.algo.options for run in found.runs}
    assert own["mssr gamma=2.0"]["gamma"] == own["mssr without tracker gamma=2.0"]["gamma"] == 2.0
    assert own["mvsr with fixed eta"]["eta_min"] == own["mvsr with fixed eta"]["eta_max"] == 0.9175


def test_an_ablation_that_is_another_algorithm_keeps_the_options_it_has() -> None:
    words = ("algo=mssr", "ablate=all", "seeds=1", "mssr.gamma=2.0", "mssr.kl_target=0.02")
    own = {run.arm.label: run.config.algo.options for run in spelled(*words).runs}
    assert own["mvsr kl_target=0.02"]["kl_target"] == 0.02
    words = ("algo=mssr", "ablate=all", "seeds=1", "algo.gamma=2.0", "algo.lam=0.4")
    assert "mvsr" in labels(*words)
