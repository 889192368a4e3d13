"""What a reader must know: problems that are few, or that training has seen."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mssr_rl.comparison.evidence import read_evidence
from mssr_rl.comparison.findings import findings

Make = Callable[..., Path]


def cautions(folder: Path) -> tuple[str, ...]:
    return findings(read_evidence(folder)).envs[0].cautions


def edit_runs(folder: Path, **changes: Any) -> None:
    for path in folder.glob("runs/*/run.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_problems_that_are_coarser_than_the_margin_are_few(make_comparison: Make) -> None:
    said = cautions(make_comparison({"grpo": 0.5, "mssr": 0.5}))
    assert (
        "With 80 test problems, one answer changes the accuracy by 1.2 points, more than the "
        "margin of 1 point."
    ) in said


@pytest.mark.parametrize(
    ("overlap", "says"),
    [
        (
            {"split": "test", "with": "train", "of": 80, "rows": 12, "stands_in": False},
            "12 of 80 test problems are also in train.",
        ),
        (
            {"split": "test", "with": "val", "of": 80, "rows": 0, "stands_in": True},
            "test and val are the same set of problems.",
        ),
    ],
)
def test_rows_that_splits_share_are_said_once(
    make_comparison: Make, overlap: dict[str, Any], says: str
) -> None:
    folder = make_comparison({"grpo": 0.5, "mssr": 0.5})
    assert says not in cautions(folder)
    edit_runs(folder, overlap=[overlap])
    assert cautions(folder).count(says) == 1


def test_splits_of_one_fingerprint_are_one_set(make_comparison: Make) -> None:
    folder = make_comparison({"grpo": 0.5, "mssr": 0.5})
    edit_runs(folder, data={s: {"fingerprint": "same"} for s in ("train", "val", "test")})
    said = cautions(folder)
    assert "test and val are the same set of problems." in said
    assert "test and train are the same set of problems." in said


@pytest.mark.parametrize("odd", [None, "x", [1, None], [{"rows": "many", "split": "test"}], {}])
def test_odd_records_of_overlap_are_no_trouble(make_comparison: Make, odd: Any) -> None:
    folder = make_comparison({"grpo": 0.5, "mssr": 0.5})
    before = cautions(folder)
    edit_runs(folder, overlap=odd, data=odd)
    assert cautions(folder) == before
