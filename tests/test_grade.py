"""Grading from the shell: what comes out for what goes in, and lines that cannot be graded."""

import csv
import gzip
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mssr_rl.disagreements import Disagreements
from mssr_rl.errors import UserError
from mssr_rl.grade import GradedLine, grade, grade_file

ROOT = Path(__file__).parents[1]
BACKWARDS = """
from mssr_rl import register_environment
from mssr_rl.envs import ProblemEnv, Rules
from mssr_rl.problem import Problem
from mssr_rl.grading.verify import Verdict

def backwards(response, answer, choices):
    return Verdict("correct" if response[::-1] == answer else "wrong", response)

@register_environment("backwards")
def make(*, split: str = "train") -> ProblemEnv:
    problem = Problem(key="a", prompt="?", answer="ab")
    half = lambda verdict, response: 0.5 * verdict.correct
    rules = Rules(verify=backwards)
    return ProblemEnv([problem], name="backwards", split=split, rules=rules, reward=half)
"""


def line(name: Any, response: Any, answer: Any = "5", **more: Any) -> dict[str, Any]:
    return {"id": name, "response": response, "answer": answer, **more}


def graded(
    lines: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str], *words: str
) -> list[dict[str, Any]]:
    file = tmp_path / "responses.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in lines))
    assert grade_file([str(file), *words]) == 0
    return [json.loads(text) for text in capsys.readouterr().out.splitlines()]


def shell(
    lines: list[dict[str, Any]], folder: Path, *words: str
) -> subprocess.CompletedProcess[str]:
    (folder / "r.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    return subprocess.run(
        [sys.executable, "-m", "mssr_rl", "grade", "r.jsonl", *words],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )


def boxed(answer: str) -> str:
    return f"<think>so</think>\\boxed{{{answer}}}"


def test_each_line_gets_its_verdict_in_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [
        line("a", boxed("5")),
        line(2, boxed("6")),
        line(None, "<think>5</think>"),
        line("d", "5"),
        line("e", boxed("7" * 5000)),
        line("f", boxed("B"), "B", choices=["4", "5"]),
        line("g", boxed("5"), "B", choices=["4", 5]),
        line("h", boxed("5"), 5, choices=[]),
        line("i", boxed("5"), "<answer>5</answer>", choices=None, extra=1),
    ]
    assert graded(lines, tmp_path, capsys) == [
        {"id": "a", "reward": 1, "extracted": "5", "reason": "correct"},
        {"id": 2, "reward": 0, "extracted": "6", "reason": "wrong"},
        {"id": None, "reward": 0, "extracted": None, "reason": "no_answer"},
        {"id": "d", "reward": 0, "extracted": None, "reason": "bad_format"},
        {"id": "e", "reward": 0, "extracted": "7" * 4096, "reason": "timeout"},
        {"id": "f", "reward": 1, "extracted": "B", "reason": "correct"},
        {"id": "g", "reward": 1, "extracted": "5", "reason": "correct"},
        {"id": "h", "reward": 1, "extracted": "5", "reason": "correct"},
        {"id": "i", "reward": 1, "extracted": "5", "reason": "correct"},
    ]


@pytest.mark.parametrize("response", [None, 5, 1.5, True, [boxed("5")], {"text": boxed("5")}])
def test_a_response_that_is_no_text_has_no_format(response: Any) -> None:
    result = grade(GradedLine("a", response, "5", None))
    assert (result["reward"], result["reason"]) == (0, "bad_format")


def test_any_characters_pass_through_as_ascii_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = ["\ud800", "\0", "\x1b[31m", "a\u2028b", "é🙂", '"\n<']
    file = tmp_path / "odd.jsonl"
    file.write_text("".join(json.dumps(line(t, boxed(t))) + "\n" for t in texts))
    grade_file([str(file)])
    out = capsys.readouterr().out
    assert out.isascii()
    assert out.count("\n") == len(texts)
    assert [json.loads(text)["extracted"] for text in out.splitlines()] == texts


def test_an_environment_grades_with_its_own_verifier(tmp_path: Path) -> None:
    (tmp_path / "backwards_env.py").write_text(BACKWARDS)
    lines = [line("a", "ba", "ab"), line("b", "ab", "ab")]
    done = shell(lines, tmp_path, "env=backwards", "plugins=[backwards_env]")
    results = [json.loads(text) for text in done.stdout.splitlines()]
    assert [(r["reward"], r["reason"]) for r in results] == [(0.5, "correct"), (0, "wrong")]


def test_the_default_environment_grades_as_no_environment_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [line(i, boxed(text)) for i, text in enumerate(["5", "6", ""])]
    without = graded(lines, tmp_path, capsys)
    assert graded(lines, tmp_path, capsys, "env=vision_r1") == without


def test_an_environment_s_rule_for_single_problems_grades(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in training: MathVista rounds to a row's precision, MathVerse takes letters as a set."""
    floats = {"precision": 1.0, "answer_type": "float"}
    lines = [
        line("rounded", boxed("1.24"), "1.2", **floats),
        line("off", boxed("1.34"), "1.2", **floats),
        line("exact", boxed("1.24"), "1.2"),
    ]
    rewards = [r["reward"] for r in graded(lines, tmp_path, capsys, "env=mathvista")]
    assert rewards == [1, 0, 0]
    letters = [line("set", boxed("D, C"), "C\nD"), line("half", boxed("C"), "C\nD")]
    rewards = [r["reward"] for r in graded(letters, tmp_path, capsys, "env=mathverse")]
    assert rewards == [1, 0]


@pytest.mark.parametrize("precision", ["much", [1], {"a": 1}, 1e400, float("nan")])
def test_a_precision_that_is_none_is_named(
    tmp_path: Path, precision: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = line("a", boxed("1.24"), "1.2", precision=precision, answer_type="float")
    (tmp_path / "r.jsonl").write_text(json.dumps(odd) + "\n")
    assert grade_file([str(tmp_path / "r.jsonl"), "env=mathvista"]) == 1
    assert "line 1: precision is not a number of decimal places" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"id": 1', r"r\.jsonl line 2 is not JSON"),
        ("[" * 100_000, r"r\.jsonl line 2 is not JSON"),
        ("[1]", "line 2 is not an object"),
        ('{"id": 1, "answer": "5"}', "line 2 has no 'response'; found id, answer"),
        ('{"id": 1, "response": "5"}', "line 2 has no 'answer'"),
        ('{"response": "5", "answer": ""}', "line 2 has an empty answer"),
        ('{"response": "5", "answer": [5]}', "line 2 has an empty answer, or one that is neither"),
        ('{"response": "5", "answer": "5", "choices": "AB"}', "line 2: choices is not a list"),
    ],
)
def test_a_line_that_cannot_be_graded_is_named_and_the_others_are_graded(
    text: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, last = json.dumps(line("a", "")), json.dumps(line("b", boxed("5")))
    (tmp_path / "r.jsonl").write_text(f"{first}\n{text}\n{last}\n")
    assert grade_file([str(tmp_path / "r.jsonl")]) == 1
    out, err = capsys.readouterr()
    assert [json.loads(found)["id"] for found in out.splitlines()] == ["a", "b"]
    assert re.search(says, err)
    assert "graded 2 in" in err
    assert "1 correct" in err
    assert "1 lines left out" in err


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_a_file_without_a_line_is_an_error(text: str, tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_text(text)
    with pytest.raises(UserError, match="no line to grade: the file is empty"):
        grade_file([str(tmp_path / "r.jsonl")])


def test_a_packed_file_and_standard_input_are_graded_alike(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [line("a", boxed("5")), line("b", boxed("6"))]
    plain = graded(lines, tmp_path, capsys)
    content = (tmp_path / "responses.jsonl").read_bytes()
    (tmp_path / "r.jsonl.gz").write_bytes(gzip.compress(content))
    assert grade_file([str(tmp_path / "r.jsonl.gz")]) == 0
    assert [json.loads(text) for text in capsys.readouterr().out.splitlines()] == plain
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert grade_file(["-"]) == 0
    assert [json.loads(text) for text in capsys.readouterr().out.splitlines()] == plain


def test_a_packed_file_that_is_cut_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.dumps(line("a", boxed("5"))).encode() + b"\n"
    (tmp_path / "r.jsonl.gz").write_bytes(gzip.compress(content * 500)[:-20])
    with pytest.raises(UserError, match=r"r\.jsonl\.gz cannot be read to its end"):
        grade_file([str(tmp_path / "r.jsonl.gz")])
    assert capsys.readouterr().out


def test_gold_answers_that_pay_only_word_for_word_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "r.jsonl"
    golds = [r"\unknownmacro{3}", "5", r"\unknownmacro{3}", "B"]
    file.write_text("".join(json.dumps(line(g, boxed(g), g)) + "\n" for g in golds))
    assert grade_file([str(file)]) == 0
    assert r"1 gold answer pays only word for word: '\\unknownmacro{3}'" in capsys.readouterr().err


def test_disagreements_with_another_grader_are_printed_and_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [
        line("same", boxed("5")),
        line("time", boxed("3:20"), "3/20"),
        line("order", boxed("4,3"), "3,4"),
        line("no box", "<think></think>5"),
    ]
    page, sheet = tmp_path / "d.html", tmp_path / "d.csv"
    for file in (page, sheet):
        graded(lines, tmp_path, capsys, "against=math-verify", f"export={file}")
    grade_file([str(tmp_path / "responses.jsonl"), "against=math-verify"])
    said = capsys.readouterr().err
    assert "math-verify agrees on 1 of 3 answers" in said
    assert "time: 3:20 for 3/20: ours wrong, math-verify right" in said
    with sheet.open(newline="", encoding="utf-8") as found:
        rows = list(csv.reader(found))
    assert rows[1:] == [
        ["time", "3:20", "3/20", "wrong", "right"],
        ["order", "4,3", "3,4", "wrong", "right"],
    ]
    assert "<td>3:20</td><td>3/20</td>" in page.read_text(encoding="utf-8")


def test_what_a_model_wrote_stays_data_in_the_files_that_keep_disagreements(tmp_path: Path) -> None:
    kept = Disagreements("exact")
    for answer in ("<script>alert(1)</script>", "=cmd|'/c calc'!A1", "-5", "\u202e5\ud800"):
        kept.add("a", "5", {"extracted": answer, "reason": "correct"})
    kept.write(tmp_path / "d.html")
    kept.write(tmp_path / "d.csv")
    page = (tmp_path / "d.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert r"\u202e5\ud800" in page
    with (tmp_path / "d.csv").open(newline="", encoding="utf-8") as found:
        cells = [row[1] for row in csv.reader(found)][1:]
    assert cells[1:3] == ["'=cmd|'/c calc'!A1", "-5"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "the name of a file is missing: responses, .jsonl or .jsonl.gz"),
        (["a.jsonl", "b.jsonl"], "one file at a time, but got a.jsonl and b.jsonl"),
        (["missing.jsonl"], "missing.jsonl cannot be read: No such file"),
        (["a.jsonl", "evn=x"], "unknown argument evn; known here: env, plugins, against"),
        (["a.jsonl", "env=vision_r2"], "no environment 'vision_r2'; did you mean 'vision_r1'"),
        (["a.jsonl", "--env"], "without dashes"),
        (["a.jsonl", "against=math_verify"], "no such grader; did you mean math-verify"),
        (["a.jsonl", "export=d.html"], "name the other grader, e.g. against=math-verify"),
        (["a.jsonl", "against=exact", "export=d.pdf"], "ends in .html or .csv"),
    ],
)
def test_wrong_usage_is_answered_in_a_sentence(words: list[str], says: str) -> None:
    with pytest.raises(UserError, match=says):
        grade_file(words)


def test_the_command_writes_results_to_stdout_and_talk_to_stderr(tmp_path: Path) -> None:
    done = shell([line("a", boxed("5")), {"id": "b"}], tmp_path)
    assert json.loads(done.stdout) == {
        "id": "a",
        "reward": 1,
        "extracted": "5",
        "reason": "correct",
    }
    assert done.returncode == 1
    assert "r.jsonl line 2 has no 'response'; found id; left out\n" in done.stderr
    assert done.stderr.count("\n") == 2
