"""Names, their options, and the sentences about wrong ones."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from mssr_rl.errors import UserError
from mssr_rl.registry import Registry, UnknownName, UnknownOption

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, kw_only=True)
class Wheels:
    """What a vehicle rolls on.

    Args:
        count: how many
        size: diameter [cm]
    """

    count: int = 4
    size: float | None = None

    def __post_init__(self) -> None:
        if self.size is not None and self.size < self.count:
            raise UserError(f"size={self.size} must be at least count={self.count}")


def vehicles() -> Registry[tuple[object, ...]]:
    registry: Registry[tuple[object, ...]] = Registry("vehicle")

    @registry.register("cart")
    def cart(*, load: float = 1.0, wheels: Wheels = Wheels(count=2)) -> tuple[object, ...]:
        """A cart.

        Args:
            load: what it carries, which may be a lot
                and goes on here
        """
        return ("cart", load, wheels)

    @registry.register("sledge")
    def sledge() -> tuple[object, ...]:
        return ("sledge",)

    return registry


def test_a_name_builds_what_was_registered() -> None:
    assert vehicles().make("cart") == ("cart", 1.0, Wheels(count=2))
    assert vehicles().names() == ["cart", "sledge"]


def test_fields_of_a_dataclass_are_options_at_the_same_level() -> None:
    made = vehicles().make("cart", load=3, count=3, size=60.0)
    assert made == ("cart", 3.0, Wheels(count=3, size=60.0))


def test_fields_are_set_together_so_that_no_order_is_wrong() -> None:
    assert vehicles().make("cart", size=9.0, count=8)[2] == Wheels(count=8, size=9.0)
    with pytest.raises(UserError, match=r"size=9.0 must be at least count=10"):
        vehicles().make("cart", size=9.0, count=10)


def test_options_say_where_they_come_from_and_what_they_mean() -> None:
    options = vehicles().options("cart")
    assert list(options) == ["load", "count", "size"]
    assert options["load"].doc == "what it carries, which may be a lot and goes on here"
    assert options["count"].path == ("wheels", "count")
    assert (options["count"].default, options["count"].annotation) == (2, int)
    assert (options["size"].doc, options["size"].annotation) == ("diameter [cm]", float | None)


def test_a_misspelt_name_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(UnknownName, match=r"^no vehicle 'carts'; did you mean 'cart'\?$"):
        vehicles().make("carts")


def test_a_name_unlike_any_other_is_answered_with_all_of_them() -> None:
    with pytest.raises(UnknownName, match=r"^no vehicle 'zeppelin'; choose from cart, sledge$"):
        vehicles().options("zeppelin")


def test_a_misspelt_option_is_answered_with_the_nearest_one() -> None:
    wanted = r"^vehicle 'cart' has no option 'lode'; did you mean 'load'\?$"
    with pytest.raises(UnknownOption, match=wanted):
        vehicles().make("cart", lode=1.0)


def test_an_option_of_something_without_options_says_so() -> None:
    with pytest.raises(UnknownOption, match=r"'sledge' has no option 'load'; it has none$"):
        vehicles().make("sledge", load=1.0)


def test_a_value_of_the_wrong_type_names_the_option() -> None:
    with pytest.raises(UserError, match="load=abc is not a number"):
        vehicles().make("cart", load="abc")
    with pytest.raises(UserError, match=r"count=2.5 is not a whole number"):
        vehicles().make("cart", count=2.5)


def test_registering_a_name_twice_names_both_modules() -> None:
    registry = vehicles()

    def other() -> tuple[object, ...]:
        return ()

    other.__module__ = "somebody.else_"
    with pytest.raises(
        UserError, match=r"'cart' of somebody\.else_ is already registered by .*registry"
    ):
        registry.register("cart")(other)
    assert registry.make("cart")[0] == "cart"


def test_a_decorated_factory_stays_what_it_was() -> None:
    def plain(*, n: int = 1) -> tuple[object, ...]:
        return (n,)

    assert vehicles().register("plain")(plain) is plain


def test_an_entry_point_that_fails_names_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _install(tmp_path, "broken_vehicles", "vehicles_of_others", "1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry: Registry[object] = Registry("vehicle", "vehicles_of_others")
    with pytest.raises(UserError, match=r"package broken_vehicles offers .* ZeroDivisionError"):
        registry.names()


def test_entry_points_are_loaded_when_asked_for_by_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = "import sys\nsys.modules[__name__].loaded = True\n"
    _install(tmp_path, "quiet_vehicles", "more_vehicles", source)
    monkeypatch.syspath_prepend(tmp_path)
    vehicles().load_entry_points("more_vehicles")
    assert sys.modules["quiet_vehicles"].loaded


@pytest.mark.slow
def test_an_installed_package_adds_an_algorithm_in_every_process(tmp_path: Path) -> None:
    _install(tmp_path, "their_algorithms", "mssr_rl.algorithms", THEIRS)
    script = (
        "from mssr_rl.algos.algorithm import algorithms as a;"
        "print('theirs' in a.names(), a.make('theirs', strength=2).loss.kl_coef)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=False,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"},
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["True", "2.0"], done.stderr


THEIRS = """
from mssr_rl import register_algorithm
from mssr_rl.advantage import to_tokens
from mssr_rl.algos import Algorithm
from mssr_rl.loss import Loss

@register_algorithm("theirs")
def theirs(*, strength: float = 1.0) -> Algorithm:
    return Algorithm(name="theirs", advantage=to_tokens(), loss=Loss(kl_coef=strength))
"""


def _install(folder: Path, module: str, group: str, source: str) -> None:
    """What an installed wheel leaves behind: a module and its metadata."""
    (folder / f"{module}.py").write_text(source)
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\nanything = {module}\n")
