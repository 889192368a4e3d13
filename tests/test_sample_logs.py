"""Logs of other suites: files in the forms that they document, regraded and held against them."""

import csv
import json
import zipfile
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest

from mssr_rl.data.workbooks import workbook_rows
from mssr_rl.errors import UserError
from mssr_rl.grade import grade_file
from mssr_rl.sample_logs import boxed, logged, suite_of


def lmms(doc_id: int, target: Any, response: str, **metrics: Any) -> dict[str, Any]:
    """A sample as lmms-eval writes it with --log_samples."""
    return {"doc_id": doc_id, "input": metrics.pop("asked", "What?"), "target": target,
            "filtered_resps": [response], "doc_hash": "0" * 8, **metrics}  # fmt: skip


def regraded(
    file: Path, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[list[tuple[Any, int]], str]:
    code = grade_file([str(file), *words])
    out, err = capsys.readouterr()
    assert code == (1 if "left out" in err else 0)
    return [(r["id"], r["reward"]) for r in map(json.loads, out.splitlines())], err


def test_samples_of_lmms_eval_are_regraded_and_held_against_their_own_verdicts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        lmms(0, "12", "So the area is \\boxed{12}.", gpt_eval_score=1),
        lmms(1, "\\frac{1}{2}", "The answer is 0.5.", gpt_eval_score=0),
        lmms(2, "7", "I see a cat.", gpt_eval_score=1),
        lmms(3, "B", "B", asked="Which?\n(A) 3\n(B) 4\n(C) 5", gpt_eval_score=1),
        lmms(4, "B", "4", asked="Which?\n(A) 3\n(B) 4\n(C) 5", gpt_eval_score=1),
        lmms(5, "9", "Answer: 8", gpt_eval_score=0),
        lmms(6, "9", "<think>8?</think> **Answer: 9**", gpt_eval_score=1),
    ]
    file = tmp_path / "20261201_samples_mathverse_testmini.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    came, said = regraded(file, capsys, "against=recorded")
    assert came == [(0, 1), (1, 1), (2, 0), (3, 1), (4, 1), (5, 0), (6, 1)]
    assert "read as lmms-eval's" in said
    assert "recorded agrees on 5 of 7 answers" in said
    assert "1: 0.5 for \\frac{1}{2}: ours correct, recorded wrong" in said
    assert "2: I see a cat for 7: ours wrong, recorded right" in said


def test_verdicts_inside_of_a_metrics_object_are_found() -> None:
    vista = {"choices": ["3", "4.5"], "answer": "4.5", "prediction": "4.5", "true_false": True,
             "precision": 1}  # fmt: skip
    found = logged(lmms(0, "4.5", "(B)", llm_as_judge_eval=vista, submission=vista))
    assert (found.recorded, found.choices) == (True, ("3", "4.5"))
    assert found.extras == {"precision": "1"}
    vision = {"response": ["A"], "scores": [False]}
    assert logged(lmms(0, "A", "A", mathvision_standard_eval=vision)).recorded is False
    assert logged(lmms(0, "A", "A", anls=0.4)).recorded is None


def test_resps_are_read_where_they_are_all_there_is_and_several_are_refused() -> None:
    row = {"doc_id": 1, "target": 3, "resps": [["3"]], "acc": 1.0}
    assert logged(row)[:3] == (1, "3", "3")
    with pytest.raises(ValueError, match="has 2 responses: give each a line of its own"):
        logged({**row, "resps": [["3"], ["4"]]})


def workbook(file: Path, rows: list[tuple[Any, ...]], sheet: str = "") -> None:
    """An .xlsx: texts apart in their own part, as Excel and openpyxl write them."""
    texts = sorted({cell for row in rows for cell in row if isinstance(cell, str)})
    cells = ""
    for r, row in enumerate(rows, 1):
        cells += f'<row r="{r}">'
        for place, cell in zip("ABCDEFGHIJ", row, strict=False):
            kind, value = ("s", texts.index(cell)) if isinstance(cell, str) else ("n", cell)
            cells += f'<c r="{place}{r}" t="{kind}"><v>{value}</v></c>' if cell != "" else ""
        cells += "</row>"
    space = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    items = "".join(f"<si><r><t>{escape(text)}</t></r></si>" for text in texts)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr("xl/sharedStrings.xml", f"<sst {space}>{items}</sst>")
        made = sheet or f"<worksheet {space}><sheetData>{cells}</sheetData></worksheet>"
        book.writestr("xl/worksheets/sheet1.xml", made)


@pytest.mark.parametrize(
    ("sheet", "said"),
    [
        ("<worksheet><row", "cannot be read as an Excel workbook"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><worksheet>&b;</worksheet>', "declares entities"),
        ("<worksheet/>", "has no header"),
    ],
)
def test_a_workbook_that_is_damaged_or_hostile_is_refused(
    sheet: str, said: str, tmp_path: Path
) -> None:
    workbook(tmp_path / "a.xlsx", [("index",)], sheet)
    with pytest.raises(UserError, match=said):
        list(workbook_rows(tmp_path / "a.xlsx"))
    (tmp_path / "b.xlsx").write_bytes(b"no zip")
    with pytest.raises(UserError, match="cannot be read as an Excel workbook"):
        list(workbook_rows(tmp_path / "b.xlsx"))


def test_numbers_booleans_and_gaps_of_a_workbook_are_read(tmp_path: Path) -> None:
    rows = [("index", "answer", "hit"), (1, "2.5", ""), (2, "", 0.5)]
    workbook(tmp_path / "a.xlsx", rows)
    assert list(workbook_rows(tmp_path / "a.xlsx")) == [
        {"index": 1, "answer": "2.5", "hit": None},
        {"index": 2, "answer": None, "hit": 0.5},
    ]


MCQ = ("index", "question", "A", "B", "C", "D", "answer", "prediction", "hit")
MCQ_ROWS = [
    (10, "How many?", "2", "3", "4", "", "B", "B", 1),
    (11, "How many?", "2", "3", "4", "5", "D", "The answer is D. 5", 1),
    (12, "How many?", "2", "3", "4", "5", "A", "The correct option is **C**.", 0),
    (13, "How many?", "2", "3", "4", "5", "A", "2", 0),
]


@pytest.mark.parametrize("ending", [".xlsx", ".tsv", ".csv", ".json"])
def test_tables_of_vlmevalkit_are_regraded(
    ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / f"model_MMStar{ending}"
    if ending == ".xlsx":
        workbook(file, [MCQ, *MCQ_ROWS])
    elif ending == ".json":
        file.write_text(json.dumps([dict(zip(MCQ, row, strict=True)) for row in MCQ_ROWS]))
    else:
        with file.open("w", newline="") as out:
            writer = csv.writer(out, delimiter="\t" if ending == ".tsv" else ",")
            writer.writerows([MCQ, *MCQ_ROWS])
    came, said = regraded(file, capsys, "against=recorded")
    assert [reward for _, reward in came] == [1, 1, 0, 1]
    assert "read as VLMEvalKit's" in said
    assert "recorded agrees on 3 of 4 answers" in said
    assert "13: 2 for A: ours correct, recorded wrong" in said


def test_mathvista_and_yes_or_no_tables_of_vlmevalkit_are_read() -> None:
    vista = {"index": 1, "question_type": "multi_choice", "choices": "['10', '20']",
             "answer": "20", "answer_option": "B", "prediction": "(B) 20", "precision": 1.0,
             "res": "B", "log": "Succeed"}  # fmt: skip
    found = logged(vista)
    assert (found.answer, found.choices, found.recorded) == ("B", ("10", "20"), None)
    yes = {"index": "VD_chart_0_0_1_0", "answer": "Yes", "prediction": "Yes, it is.", "score": True}
    assert logged(yes)[:5] == ("VD_chart_0_0_1_0", "Yes, it is.", "Yes", None, True)


def test_a_log_without_verdicts_and_an_excel_table_say_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "model_MathVision.tsv"
    file.write_text("index\tanswer\tprediction\n1\t5\t5\n")
    came, said = regraded(file, capsys, "against=recorded")
    assert [reward for _, reward in came] == [1]
    assert "the file holds no verdicts: no column hit or score" in said
    (tmp_path / "old.xls").write_bytes(b"\xd0\xcf\x11\xe0")
    with pytest.raises(UserError, match=r"old Excel table: save it as \.xlsx, \.tsv or \.csv"):
        grade_file([str(tmp_path / "old.xls")])


def test_a_row_of_a_log_that_cannot_be_graded_is_named_and_the_others_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "samples.jsonl"
    rows = [lmms(0, "", "5", acc=1), lmms(1, "5", "5", acc=1)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    came, said = regraded(file, capsys)
    assert came == [(1, 1)]
    assert "line 1 has an empty answer" in said


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ("x \\boxed{3} y", "<think></think>x \\boxed{3} y"),
        ("The answer is 4.", "<think></think>\\boxed{4}"),
        ("Answer: $\\frac12$", "<think></think>\\boxed{\\frac12}"),
        ("The answer is 4.\nNo, the answer is 5.", "<think></think>\\boxed{5}"),
        ("(C)", "<think></think>\\boxed{(C)}"),
        ("one\ntwo", "<think></think>one\ntwo"),
        ("<think>4", "<think>4"),
    ],
)
def test_the_answer_is_looked_for_in_the_box_then_behind_a_phrase_then_in_the_only_line(
    response: str, expected: str
) -> None:
    assert boxed(response) == expected


def test_our_own_lines_are_no_log() -> None:
    assert suite_of({"id": 1, "response": "", "answer": "5"}) is None
    assert suite_of({"id": 1, "response": "", "answer": "5", "prediction": "5"}) is None
