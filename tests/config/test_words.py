"""Words are declared once, and read in one way by every verb."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pytest

from mssr_rl.config import overrides
from mssr_rl.config.compose import load
from mssr_rl.config.words import called, declared, file_name, options_of, others, parse_words
from mssr_rl.errors import UserError
from mssr_rl.typed import COUNT, option


@dataclass(frozen=True, kw_only=True)
class Words:
    """A declaration with a word of every kind."""

    file: str = file_name("what is read")
    env: str = option("an environment")
    limit: int | None = option("at most so many", None, COUNT)
    audit: bool = option("look twice", False)
    split: tuple[Literal["val", "test"], ...] = option("which part", ("val",))
    plugins: tuple[str, ...] = option("modules", ())
    address: str | None = called("cluster.address", "where", None)
    options: Mapping[str, str] = options_of("env")


def test_every_kind_of_word_is_read() -> None:
    told = ["a.jsonl", "env=mine", "limit=3", "audit=true", "cluster.address=auto", "env.data=x=1"]
    assert parse_words(Words, told) == Words(
        file="a.jsonl",
        env="mine",
        limit=3,
        audit=True,
        address="auto",
        options={"env.data": "x=1"},
    )


@pytest.mark.parametrize("text", ["a,b", "[a,b]", "[a, b]", "['a','b']", '["a", b]', " [ a , b ] "])
def test_a_list_may_be_typed_in_every_usual_way(text: str) -> None:
    assert overrides.listed("plugins", text) == ("a", "b")


def test_every_reader_of_plugins_reads_the_same() -> None:
    for text, names in (("[json, re]", ("json", "re")), ("['json']", ("json",)), ("re", ("re",))):
        assert parse_words(Words, ["f", "env=a", f"plugins={text}"]).plugins == names
        assert load([f"plugins={text}", "env.limit=1"]).plugins == names


@pytest.mark.parametrize(
    ("told", "says"),
    [
        (["env=a"], "the name of a file is missing: what is read"),
        (["f"], "env= is missing: an environment"),
        (["f", "g", "env=a"], "one file at a time, but got f and g"),
        (["f", "env=a", "limt=3"], "unknown argument limt; did you mean limit?"),
        (["f", "env=a", "xyzzy=3"], "unknown argument xyzzy; known here: env, limit, audit"),
        (["f", "env=a", "limit=0"], "limit=0 must be at least 1"),
        (["f", "env=a", "limit=a"], "limit=a is not a whole number or null"),
        (["f", "env=a", "audit=yes"], "audit=yes is not true or false"),
        (["f", "env=a", "split=dev"], "split=[dev] is not a list of val, test"),
        (["f", "env=a", "env=b"], "env is given twice"),
        (["f", "env=a", "plugins=[a"], "has only one bracket"),
        (["f", "env=a", "plugins=[a,,b]"], "has nothing between two commas"),
        (["f", "env=a", "algo.gamma=2"], "unknown argument algo.gamma"),
    ],
)
def test_a_word_that_cannot_be_meant_is_refused_in_one_sentence(told: list[str], says: str) -> None:
    with pytest.raises(UserError) as refused:
        parse_words(Words, told)
    assert says in str(refused.value)


def test_a_declaration_with_others_hands_on_what_it_does_not_know() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Rest:
        plan: bool = option("show", False)
        keys: Mapping[str, str] = others("the run's")

    told = parse_words(Rest, ["seed=3", "plan=true", "algo.gamma=2"])
    assert told == Rest(plan=True, keys={"seed": "3", "algo.gamma": "2"})


def test_needed_words_are_those_without_a_default() -> None:
    assert [word.name for word in declared(Words) if word.needed] == ["FILE", "env"]
