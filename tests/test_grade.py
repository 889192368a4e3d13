"""Grading from the shell: what comes out for what goes in, and lines that cannot be graded."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mssr_rl.errors import UserError
from mssr_rl.grade import Item, grade, main

ROOT = Path(__file__).parents[1]
BACKWARDS = """
from mssr_rl import register_environment
from mssr_rl.envs import ProblemEnv
from mssr_rl.problem import Problem
from mssr_rl.grading.verify import Verdict

def backwards(response, answer, choices):
    return Verdict("correct" if response[::-1] == answer else "wrong", response)

@register_environment("backwards")
def make(*, split: str = "train") -> ProblemEnv:
    problem = Problem(key="a", prompt="?", answer="ab")
    half = lambda verdict, response: 0.5 * verdict.correct
    return ProblemEnv([problem], name="backwards", split=split, verify=backwards, reward=half)
"""


def line(name: Any, response: Any, answer: Any = "5", **more: Any) -> dict[str, Any]:
    return {"id": name, "response": response, "answer": answer, **more}


def graded(
    lines: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str], *words: str
) -> list[dict[str, Any]]:
    file = tmp_path / "responses.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in lines))
    assert main([str(file), *words]) == 0
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
    result = grade(Item("a", response, "5", None))
    assert (result["reward"], result["reason"]) == (0, "bad_format")


def test_any_characters_pass_through_as_ascii_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = ["\ud800", "\0", "\x1b[31m", "a\u2028b", "é🙂", '"\n<']
    file = tmp_path / "odd.jsonl"
    file.write_text("".join(json.dumps(line(t, boxed(t))) + "\n" for t in texts))
    main([str(file)])
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
def test_a_precision_that_is_none_is_named(tmp_path: Path, precision: Any) -> None:
    odd = line("a", boxed("1.24"), "1.2", precision=precision, answer_type="float")
    (tmp_path / "r.jsonl").write_text(json.dumps(odd) + "\n")
    with pytest.raises(UserError, match="line 1: precision is no number of decimal places"):
        main([str(tmp_path / "r.jsonl"), "env=mathvista"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"id": 1', r"r\.jsonl line 2 is no JSON"),
        ("[" * 100_000, r"r\.jsonl line 2 is no JSON"),
        ("[1]", "line 2 is no object"),
        ('{"id": 1, "answer": "5"}', "line 2 has no 'response'; found id, answer"),
        ('{"id": 1, "response": "5"}', "line 2 has no 'answer'"),
        ('{"response": "5", "answer": ""}', "line 2 has an empty answer"),
        ('{"response": "5", "answer": [5]}', "line 2 has an empty answer, or one that is neither"),
        ('{"response": "5", "answer": "5", "choices": "AB"}', "line 2: choices is no list"),
    ],
)
def test_a_line_that_cannot_be_graded_is_named(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_text(f"{json.dumps(line('a', ''))}\n{text}\n")
    with pytest.raises(UserError, match=says):
        main([str(tmp_path / "r.jsonl")])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "grade takes a .jsonl file and, if you like, env=NAME .*; got nothing"),
        (["a.jsonl", "b.jsonl"], "got a.jsonl b.jsonl"),
        (["missing.jsonl"], "missing.jsonl cannot be read: No such file"),
        (["a.jsonl", "evn=x"], "grade takes"),
        (["a.jsonl", "env=vision_r2"], "no environment 'vision_r2'; did you mean 'vision_r1'"),
        (["a.jsonl", "--env"], "without dashes"),
    ],
)
def test_wrong_usage_is_answered_in_a_sentence(words: list[str], says: str) -> None:
    with pytest.raises(UserError, match=says):
        main(words)


def test_the_command_writes_results_to_stdout_and_talk_to_stderr(tmp_path: Path) -> None:
    done = shell([line("a", boxed("5")), {"id": "b"}], tmp_path)
    assert json.loads(done.stdout) == {
        "id": "a",
        "reward": 1,
        "extracted": "5",
        "reason": "correct",
    }
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "line 2 has no 'response'" in done.stderr
