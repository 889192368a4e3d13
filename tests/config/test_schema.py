"""What a command line turns into, and what is said when it cannot."""

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType

import pytest

from mssr_rl.algos import algorithms
from mssr_rl.config import Config, keys, registered_names, to_dict
from mssr_rl.config.compose import from_dict, load, read_config, to_yaml
from mssr_rl.envs import environments
from mssr_rl.errors import UserError

PLUGIN = """
from mssr_rl import register_algorithm
from mssr_rl.advantage import to_tokens
from mssr_rl.algos import Algorithm
from mssr_rl.loss import Loss


@register_algorithm("{name}")
def made(*, warmth: float = 0.5, loss: Loss = Loss()) -> Algorithm:
    return Algorithm(name="{name}", advantage=to_tokens(), loss=loss)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current folder; what is imported and registered from it is forgotten afterwards."""
    monkeypatch.setattr(algorithms, "_entries", dict(algorithms._entries))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p != ""])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield tmp_path
    for module in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[module], "__file__", "")):
            del sys.modules[module]


def message(*words: str) -> str:
    with pytest.raises(UserError) as caught:
        load(words)
    return str(caught.value)


# ---- what is chosen ----


def test_without_a_word_the_laptop_recipe_is_complete() -> None:
    config = load()
    assert (config.recipe, config.model.path, config.engine.device) == ("laptop", "tiny", "cpu")
    assert config.train.rollouts_per_step == 256
    assert config.budget.rollouts == 120 * 256
    assert config.rollout.group_size == 1  # filled in from the algorithm


def test_name_and_options_of_an_algorithm_are_one_group() -> None:
    config = load(["algo=mssr", "algo.gamma=2", "algo.eta_min=0.9"])
    assert config.algo.name == "mssr"
    assert config.algo.options["gamma"] == 2.0
    assert isinstance(config.algo.options["gamma"], float)
    assert config.algo.options["eta_min"] == 0.9
    assert config.algo.options["lam"] == load().algo.options["lam"]  # the rest keeps its default


@pytest.mark.parametrize("name", algorithms.names())
def test_every_algorithm_is_chosen_without_a_file(name: str) -> None:
    config = load([f"algo={name}"])
    assert config.rollout.group_size == algorithms.make(name).default_group_size
    assert set(config.algo.options) == set(algorithms.options(name))


@pytest.mark.parametrize("name", environments.names())
def test_every_environment_is_chosen_without_a_file(name: str) -> None:
    config = load([f"env={name}"])
    assert set(config.env.options) == set(environments.options(name)) - {"split"}


def test_words_win_over_the_recipe() -> None:
    assert load(["train.lr=0.5"]).train.lr == 0.5


@pytest.mark.parametrize("text", ["1e5", "a=b", "007", "true", "nan"])
def test_text_stays_text(text: str) -> None:
    assert load([f"name={text}"]).name == text
    assert load([f"env.data={text}"]).env.options["data"] == text


def test_null_is_none_where_none_is_allowed() -> None:
    assert load(["name=null", "eval.limit=null"]).name is None
    assert load(["env.limit=null"]).env.options["limit"] is None


def test_a_config_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        load().seed = 1  # type: ignore[misc]


# ---- to a file and back ----


def test_a_config_survives_its_file(tmp_path: Path) -> None:
    config = load(["algo=grpo", "seed=3", "algo.kl_coef=0.1", "env.limit=64", "name=1e5"])
    (tmp_path / "config.yaml").write_text(to_yaml(config), encoding="utf-8")
    assert read_config(tmp_path / "config.yaml") == config


def test_a_plain_config_is_complete_and_plain() -> None:
    plain = to_dict(load(["algo=grpo"]))
    assert plain["algo"] == {"name": "grpo", **load(["algo=grpo"]).algo.options}
    assert plain["rollout"]["group_size"] == 8
    assert from_dict(plain) == load(["algo=grpo"])


def test_a_file_that_is_no_config_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("- 1\n", encoding="utf-8")
    with pytest.raises(UserError, match="holds no config"):
        read_config(tmp_path / "config.yaml")


def test_reading_does_not_write_to_what_it_reads() -> None:
    plain = to_dict(load())
    from_dict(MappingProxyType(plain))
    assert plain == to_dict(load())


# ---- plugins ----


def test_a_plugin_of_the_current_folder_can_be_chosen_at_once(folder: Path) -> None:
    (folder / "my_plugin_a.py").write_text(PLUGIN.format(name="mine_a"), encoding="utf-8")
    config = load(["plugins=[my_plugin_a]", "algo=mine_a", "algo.warmth=1"])
    assert config.algo.options["warmth"] == 1.0
    assert config.plugins == ("my_plugin_a",)
    assert "did you mean algo.warmth?" in message(
        "plugins=[my_plugin_a]", "algo=mine_a", "algo.wamth=1"
    )


def test_a_missing_plugin_is_named(folder: Path) -> None:
    assert message("plugins=[no_such_module]") == (
        "plugins=[no_such_module]: no module no_such_module in this folder or among the installed "
        "packages; give its import name, without .py"
    )
    assert "no module no_such_module in this" in message("plugins=[no_such_module.part]")


def test_a_plugin_that_lacks_a_package_says_which(folder: Path) -> None:
    (folder / "my_plugin_b.py").write_text("import no_such_package\n", encoding="utf-8")
    said = message("plugins=[my_plugin_b]")
    assert said == "plugins=[my_plugin_b] imports no_such_package, which is not installed"


@pytest.mark.parametrize(
    ("source", "reason"),
    [("x = 1\ny = 1 / 0\n", "ZeroDivisionError"), ("x = 1\ny = (\n", "SyntaxError")],
)
def test_a_plugin_that_fails_says_what_and_where(folder: Path, source: str, reason: str) -> None:
    (folder / "my_plugin_c.py").write_text(source, encoding="utf-8")
    said = message("plugins=[my_plugin_c]")
    assert said.startswith(f"plugins=[my_plugin_c] failed: {reason}: ")
    assert said.endswith("my_plugin_c.py, line 2)")
    assert "\n" not in said


def test_a_name_that_is_taken_names_both_modules(folder: Path) -> None:
    (folder / "my_plugin_d.py").write_text(PLUGIN.format(name="grpo"), encoding="utf-8")
    said = message("plugins=[my_plugin_d]")
    assert "my_plugin_d" in said
    assert "mssr_rl.algos.grpo" in said


# ---- the fields themselves ----


def test_every_field_has_a_line_of_help() -> None:
    documented = {key for key, doc in _docs(Config) if doc}
    assert documented == set(keys.fixed_kinds())


def test_every_default_is_within_its_own_bounds() -> None:
    assert registered_names.choose("algo", {"name": "mssr"}, {}).name == "mssr"
    assert from_dict(to_dict(load())) == load()


def _docs(section: type, path: str = "") -> Iterator[tuple[str, str]]:
    for field in dataclasses.fields(section):
        if "doc" in field.metadata:
            yield f"{path}{field.name}", field.metadata["doc"]
        elif dataclasses.is_dataclass(field.type) and field.type.__name__ != "Choice":
            yield from _docs(field.type, f"{path}{field.name}.")
