"""Who changes one digit of a report, or one answer it was made from, is found out."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from mssr_rl import cli
from mssr_rl.comparison.comparison_page import write
from mssr_rl.comparison.verify_report import verify
from mssr_rl.errors import RunFailed, UserError

ARMS = {"grpo": 0.5, "mssr": 0.7}


@pytest.fixture
def folder(make_comparison: Any) -> Path:
    return write(make_comparison(ARMS)).page.parent


def change(path: Path, pattern: str, to: str) -> None:
    text = path.read_text()
    changed = re.sub(pattern, to, text, count=1)
    assert changed != text
    path.write_text(changed)


def test_a_report_that_nobody_touched_is_verified_wherever_it_lies(
    folder: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(folder, elsewhere)
    shutil.rmtree(folder)
    assert re.search(r"verified +\d+ numbers", verify(elsewhere))


def test_one_digit_in_the_page_is_found(folder: Path) -> None:
    change(folder / "report.html", r'class="big">(\d)', r'class="big">9\1')
    with pytest.raises(RunFailed, match=r"report\.html: line \d+ has .*class=\"big\">9"):
        verify(folder)


def test_one_number_in_the_document_is_named(folder: Path) -> None:
    change(folder / "report.json", r'"value": 0\.7', '"value": 0.8')
    with pytest.raises(RunFailed, match=r"report\.json: envs\[0\]\.leaderboard\[0\]\.accuracy"):
        verify(folder)


@pytest.mark.slow
def test_one_answer_in_a_raw_file_is_found_and_named(folder: Path) -> None:
    raw = folder / "runs/vision_r1-mssr-s1/eval.jsonl"
    change(raw, r'("p\d+": )0\b', r"\g<1>1")
    with pytest.raises(RunFailed) as caught:
        verify(folder)
    said = str(caught.value)
    assert "runs/vision_r1-mssr-s1/eval.jsonl was changed" in said
    assert "on val at step 0 accuracy is 0.3, its problems say" in said


def test_a_missing_raw_file_is_named(folder: Path) -> None:
    (folder / "runs/vision_r1-grpo-s0/metrics.jsonl").unlink()
    with pytest.raises(RunFailed, match=r"grpo-s0/metrics\.jsonl is missing"):
        verify(folder)


@pytest.mark.slow
def test_the_table_and_the_markdown_are_checked_too(folder: Path) -> None:
    for name in ("report.md", "table.tex"):
        shutil.copy(folder / name, folder / "kept")
        change(folder / name, r"70\.", "71.")
        with pytest.raises(RunFailed, match=re.escape(name)):
            verify(folder)
        shutil.move(folder / "kept", folder / name)


def test_a_folder_without_a_report_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no compare\.json, so it is not a comparison"):
        verify(tmp_path)


def test_the_command_line_answers_with_its_exit_code(folder: Path, capsys: Any) -> None:
    assert cli.main(["report", f"verify={folder}"]) == cli.DONE
    change(folder / "report.md", r"70\.", "71.")
    assert cli.main(["report", f"verify={folder}"]) == cli.FAILED
    assert cli.main(["report", f"run={folder}"]) == cli.DONE
    assert cli.main(["report", f"verify={folder}"]) == cli.DONE
    capsys.readouterr()
