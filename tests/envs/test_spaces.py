"""Spaces for text and pictures: what lies in them, samples, equality, JSON."""

from typing import Any

import numpy as np
import pytest
from PIL import Image

from mssr_rl.envs.spaces import ImageSpace, UnicodeText

SPACES = [UnicodeText(), UnicodeText(9), ImageSpace(), ImageSpace(10)]


@pytest.mark.parametrize("text", ["", "a b", "é", "\\boxed{3}", "\n", "\ud800", "🙂"])
def test_any_text_lies_in_the_text_space(text: str) -> None:
    assert text in UnicodeText()


@pytest.mark.parametrize("thing", ["x" * 10, None, 5, b"text"])
def test_over_long_text_and_other_things_do_not(thing: Any) -> None:
    assert thing not in UnicodeText(9)


def test_rgb_pictures_of_any_size_lie_in_the_picture_space() -> None:
    assert Image.new("RGB", (1, 300)) in ImageSpace()


@pytest.mark.parametrize(
    "thing", [Image.new("L", (2, 2)), Image.new("RGB", (4, 3)), None, np.zeros((2, 2, 3), np.uint8)]
)
def test_other_modes_too_large_pictures_and_arrays_do_not(thing: Any) -> None:
    assert thing not in ImageSpace(10)


@pytest.mark.parametrize("space", SPACES, ids=repr)
def test_samples_lie_in_the_space_and_follow_its_seed(space: Any) -> None:
    space.seed(3)
    samples = [space.sample() for _ in range(20)]
    assert all(sample in space for sample in samples)
    assert len({repr(space.to_jsonable([s])) for s in samples}) > 1
    space.seed(3)
    assert [space.sample() for _ in range(20)] == samples


@pytest.mark.parametrize("space", SPACES, ids=repr)
def test_samples_survive_json(space: Any) -> None:
    samples = [space.sample() for _ in range(5)]
    assert space.from_jsonable(space.to_jsonable(samples)) == samples


def test_spaces_are_equal_by_kind_and_bound() -> None:
    assert UnicodeText(5) == UnicodeText(5, seed=1) != UnicodeText(6)
    assert ImageSpace(5) == ImageSpace(5) != ImageSpace(6)
    assert len({*SPACES, UnicodeText(9), ImageSpace(10)}) == len(SPACES)


@pytest.mark.parametrize("space", SPACES, ids=repr)
def test_a_mask_is_refused_rather_than_ignored(space: Any) -> None:
    with pytest.raises(ValueError, match="without mask"):
        space.sample(mask=np.ones(3))
    assert not space.is_np_flattenable
