"""Screening designs: balanced, orthogonal, and clear of effects of two keys."""

from itertools import combinations

import numpy as np
import pytest

from mssr_rl.config.words import parse_words
from mssr_rl.errors import UserError
from mssr_rl.sweep import settings
from mssr_rl.sweep.matrix import spell_out
from mssr_rl.sweep.screening_design import screening


@pytest.mark.parametrize(("keys", "runs"), [(2, 4), (3, 8), (4, 8), (5, 16), (9, 32)])
def test_main_effects_are_apart_from_each_other_and_from_all_pairs(keys, runs):
    design = screening({f"k{i}": ("low", "high") for i in range(keys)})
    x_RK = np.array([[1 if one[f"k{i}"] == "high" else -1 for i in range(keys)] for one in design])
    assert x_RK.shape == (runs, keys)
    assert (x_RK.sum(0) == 0).all()
    assert (x_RK.T @ x_RK == runs * np.eye(keys)).all()
    for a, b in combinations(range(keys), 2):
        assert (x_RK.T @ (x_RK[:, a] * x_RK[:, b]) == 0).all()


def test_arms_of_a_screening_are_numbered_cells_of_each_algorithm(tmp_path):
    words = ["algo=grpo,mvsr", "design=screening", "train.lr=1e-4,3e-4", "train.epochs=1,2"]
    own = parse_words(settings.Settings, [*words, "env.reward_flip=0.0,0.1", "seeds=1"])
    found = spell_out(own.runs, own, tmp_path)
    assert len(found.arms) == 16
    assert found.arms[0].label == "grpo cell 01"
    assert found.arms[8].group == "mvsr"
    assert dict(found.arms[0].swept).keys() == {"train.lr", "train.epochs", "env.reward_flip"}
    lrs = {run.config.train.lr for run in found.runs}
    assert lrs == {1e-4, 3e-4}


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"a": ("1", "2")}, "needs at least two keys"),
        ({"a": ("1", "2"), "b": ("1", "2", "3")}, "takes two values of a key, but b=1,2,3 has 3"),
    ],
)
def test_a_design_that_cannot_be_made_is_refused(values, says):
    with pytest.raises(UserError, match=says):
        screening(values)
