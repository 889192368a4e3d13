"""Signatures that can serve as a config, and those that cannot."""

from dataclasses import dataclass
from typing import Any, Literal

import pytest

from mssr_rl.errors import UserError
from mssr_rl.options import arguments, options_of, require


@dataclass(frozen=True)
class Inner:
    depth: int = 1


@dataclass(frozen=True)
class Outer:
    inner: Inner = Inner()
    width: int = 2


@dataclass
class Mutable:
    width: int = 2


def nested(*, outer: Outer = Outer(), mode: Literal["a", "b"] = "a") -> None: ...


def test_dataclasses_inside_dataclasses_are_flattened_too() -> None:
    options = options_of(nested)
    assert {o.name: o.path for o in options.values()} == {
        "depth": ("outer", "inner", "depth"),
        "width": ("outer", "width"),
        "mode": ("mode",),
    }
    given = arguments(nested, options, {"depth": 5, "mode": "b"})
    assert given == {"outer": Outer(Inner(5), 2), "mode": "b"}


def test_what_is_not_given_is_left_to_the_signature() -> None:
    assert arguments(nested, options_of(nested), {}) == {}


def test_a_literal_refuses_other_words() -> None:
    with pytest.raises(UserError, match="mode=c is not one of a, b"):
        arguments(nested, options_of(nested), {"mode": "c"})


def test_two_options_of_one_name_are_refused_with_both_places() -> None:
    def clash(*, width: int = 1, outer: Outer = Outer()) -> None: ...

    with pytest.raises(UserError, match=r"width and outer\.width would both be the option 'width'"):
        options_of(clash)


def test_a_positional_parameter_is_refused() -> None:
    def positional(width: int = 1) -> None: ...

    with pytest.raises(UserError, match=r"'width' must be keyword-only; write def positional\(\*"):
        options_of(positional)


def test_open_keywords_are_refused() -> None:
    def open_(**anything: int) -> None: ...

    with pytest.raises(UserError, match="'anything' must be keyword-only"):
        options_of(open_)


def test_an_option_without_default_is_refused() -> None:
    def needy(*, width: int) -> None: ...

    with pytest.raises(UserError, match="option 'width' needs a default"):
        options_of(needy)


def test_a_dataclass_that_can_change_is_refused() -> None:
    def mutable(*, inner: Mutable = Mutable()) -> None: ...  # noqa: B008  is what is refused

    with pytest.raises(UserError, match="option 'inner': Mutable must be a frozen dataclass"):
        options_of(mutable)


def test_an_annotation_that_cannot_be_read_is_refused() -> None:
    def puzzling(*, width: "Nowhere" = 1) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(UserError, match="an annotation cannot be read: name 'Nowhere'"):
        options_of(puzzling)


def test_without_an_annotation_the_default_decides_the_type() -> None:
    def plain(*, width=1, anything=None): ...  # type: ignore[no-untyped-def]

    options = options_of(plain)
    assert (options["width"].annotation, options["anything"].annotation) == (int, Any)
    assert arguments(plain, options, {"anything": object}) == {"anything": object}


def test_a_class_is_a_factory_as_well() -> None:
    class Made:
        def __init__(self, *, width: int = 1) -> None:
            self.width = width

    options = options_of(Made)
    assert options["width"].annotation is int
    assert Made(**arguments(Made, options, {"width": 3})).width == 3


def test_a_refused_value_is_named_with_what_is_allowed() -> None:
    require(True, "gamma", 1.0, "above 0")
    with pytest.raises(UserError, match=r"^gamma=-1\.0 must be above 0$"):
        require(False, "gamma", -1.0, "above 0")
    with pytest.raises(UserError, match=r"^strength=null must be a number$"):
        require(False, "strength", None, "a number")
