"""Comparisons that older releases made are verified by what their version of the report promised.

`recorded_0_1` holds two that release 0.1 made (revision b463823), without checkpoints and with few
of the recorded answers: two arms, and three arms against a baseline on two environments.
"""

import json
import tarfile
from pathlib import Path

import msgspec
import pytest

from mssr_rl.comparison import document
from mssr_rl.comparison.comparison_page import write
from mssr_rl.comparison.evidence import read_evidence
from mssr_rl.comparison.findings import findings
from mssr_rl.comparison.verify_report import verify
from mssr_rl.errors import RunFailed

RECORDED = Path(__file__).parent / "recorded_0_1"


def unpacked(name: str, place: Path) -> Path:
    with tarfile.open(RECORDED / f"{name}.tar.xz") as archive:
        archive.extractall(place, filter="data")
    return place / name


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    return unpacked("two_arms", tmp_path)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["two_arms", "two_environments"])
def test_a_comparison_of_release_0_1_is_verified(name: str, tmp_path: Path) -> None:
    said = verify(unpacked(name, tmp_path))
    assert "report.html, report.md, table.tex say just that (version 1 of the report)" in said


def test_its_page_is_no_less_checked_than_one_of_now(recorded: Path) -> None:
    edit(recorded / "report.html", "inconclusive at", "better at")
    with pytest.raises(RunFailed, match=r"report\.html: line \d+ has .*better at"):
        verify(recorded)


@pytest.mark.slow
def test_drawn_again_it_is_of_the_newest_version(recorded: Path) -> None:
    write(recorded)
    assert f"(version {document.VERSION} of the report)" in verify(recorded)


@pytest.mark.parametrize("number", [0, 3, 99, True, "1", None, [1]])
def test_a_version_that_nobody_knows_is_never_verified(recorded: Path, number: object) -> None:
    path = recorded / "report.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": number}))
    with pytest.raises(RunFailed, match=r"knows 1 and 2: nothing was verified"):
        verify(recorded)


def test_the_newest_schema_is_that_of_the_types() -> None:
    kept = (document.SCHEMAS / f"report_{document.VERSION}.json").read_text("utf-8")
    assert kept == document.schema_of_now(), (
        "python -m mssr_rl.comparison.document > mssr_rl/comparison/schemas/report_N.json; "
        "after a release N goes up, see docs/compare.md"
    )


def test_a_document_read_back_is_the_same(recorded: Path) -> None:
    report = findings(read_evidence(recorded))
    assert document.typed(json.loads(document.text(document.plain(report)))) == report


def test_a_document_with_a_wrong_field_is_refused_by_name(recorded: Path) -> None:
    plain = document.plain(findings(read_evidence(recorded)))
    plain["envs"][0]["leaderboard"][0]["accuracy"]["value"] = "high"
    with pytest.raises(msgspec.ValidationError, match=r"\$\.envs\[0\]\.leaderboard\[0\]\.accuracy"):
        document.typed(plain)


def test_a_version_keeps_its_keys_and_no_others(recorded: Path) -> None:
    plain = document.plain(findings(read_evidence(recorded)))
    then = document.promised({**plain, "format": 1, "later": 1}, 1)
    assert "later" not in then
    assert "version" not in then
    assert "interval" not in then["envs"][0]["kinds"]["level"]["0"]  # came with version 2
    assert "interval" in plain["envs"][0]["kinds"]["level"]["0"]
