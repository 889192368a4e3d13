"""The collected data sets with faults come out as their case.json says."""

import json
import sys
from pathlib import Path

import pytest

CASES = Path(__file__).parents[3] / "shared" / "cases" / "data"
sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not at hand"),
]
NAMES = sorted(path.parent.name for path in CASES.glob("*/case.json"))


@pytest.mark.parametrize("name", NAMES)
def test_a_case_comes_out_as_expected(name: str) -> None:
    import data_cases

    case = json.loads((CASES / name / "case.json").read_text("utf-8"))
    came = data_cases.came_of(CASES / name, case)
    assert data_cases.EXPECTED[case["expected"]](came), came.says
