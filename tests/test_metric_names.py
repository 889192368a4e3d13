"""Every metric has one declaration; code, charts and docs take its name from there."""

import ast
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import get_args

import pytest

from mssr_rl.budget import Ledger
from mssr_rl.grading.verify import Reason
from mssr_rl.metric_names import (
    BUDGETS,
    FAILURES,
    PHASES,
    TABLE,
    Metric,
    drawn,
    is_timing,
    markdown,
)
from mssr_rl.report.panels import charts

ROOT = Path(__file__).parents[1]
FOLDERS = ("mssr_rl", "algos", "envs")
OTHER_TRAINERS = ROOT / "mssr_rl" / "imports" / "naming.py"  # patterns of their names
TABLE_FILE = ROOT / "mssr_rl" / "metric_names.py"
FAMILIES = tuple({f"{name.partition('/')[0]}/" for name in TABLE if "/" in name})


def written_out(source: str) -> Iterator[str]:
    """Texts of a source that are a metric's name, or the beginning of one."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
            if (
                text in FAMILIES
                or (text in TABLE and "/" in text)
                or (text.startswith(FAMILIES) and text.replace("/", "").replace("_", "").isalpha())
            ):
                yield text


def test_no_module_writes_the_name_of_a_metric_out() -> None:
    paths = [p for folder in FOLDERS for p in (ROOT / folder).rglob("*.py")]
    sources = {p for p in paths if p not in (OTHER_TRAINERS, TABLE_FILE)}
    seen = {p.relative_to(ROOT): list(written_out(p.read_text("utf-8"))) for p in sources}
    assert len(seen) > 200
    assert {path: names for path, names in seen.items() if names} == {}, (
        "declare the metric in mssr_rl/metric_names.py and use the constant"
    )


@pytest.mark.parametrize(
    "source", ['x["actor/entropy"]', 'f"budget/{name}"', '{"actor/of_my_own": 1.0}']
)
def test_a_name_that_is_written_out_is_found(source: str) -> None:
    assert list(written_out(source))
    assert not list(written_out('"""Metrics such as actor/entropy are read."""'))


def test_every_metric_says_its_unit_its_meaning_and_a_module_that_exists() -> None:
    for metric in TABLE.values():
        assert metric.unit, metric.name
        assert len(metric.meaning) > 5, metric.name
        assert find_spec(f"mssr_rl.{metric.source}"), metric.name
        assert bool(metric.title) == bool(metric.section), metric.name


def test_the_table_has_every_reason_every_currency_and_every_phase() -> None:
    assert set(FAILURES) == set(get_args(Reason)) - {"correct"}
    assert list(BUDGETS) == list(Ledger().marks())
    assert {name for name in TABLE if is_timing(name)} == {
        "budget/seconds",
        *(f"timing_s/{phase}" for phase in (*PHASES, "step")),
    }


def test_the_docs_hold_the_table_as_it_is() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text("utf-8")
    assert page.endswith(f"\n{markdown()}"), "python -m mssr_rl.metric_names writes the table"


def test_a_declared_metric_is_drawn_with_its_title_and_a_foreign_one_by_its_name() -> None:
    (first, *_) = drawn("own")
    row = {"step": 1, first.name: 0.5, "mine/measure": 1.0, "actor/of_a_plugin": 2.0}
    page = charts([row], [])
    assert [chart.title for chart in page.own] == [first.title, "actor/of_a_plugin", "mine/measure"]


def test_shares_are_shown_in_percent() -> None:
    assert Metric("x", "share of tokens", "a share", "metrics").share
    assert not Metric("x", "tokens", "no share", "metrics").share
