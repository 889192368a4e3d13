"""`check env=NAME` from the shell: what it prints, what it lists, its exit code."""

import base64
import io
import json
import sys
from pathlib import Path

import psutil
import pytest
from PIL import Image

from mssr_rl import cli
from mssr_rl.check_env import audit, check_env_verb, law_trial, passport
from mssr_rl.config.words import parse_words
from mssr_rl.data import overlap
from mssr_rl.envs import ProblemEnv, environments
from mssr_rl.errors import UserError
from mssr_rl.problem import Problem

pytestmark = pytest.mark.slow


def picture(text: str = "", size: int = 96, form: str = "PNG", quality: int = 90) -> bytes:
    from PIL import ImageDraw, ImageFont

    image = Image.new("RGB", (96, 96), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((10, 50, 80, 90), outline="black", width=3)
    draw.text((20, 5), text, "black", ImageFont.load_default(size=30))
    out = io.BytesIO()
    image.resize((size, size)).save(out, form, quality=quality)
    return out.getvalue()


def problem(key: str, prompt: str, answer: str, content: bytes | None = None) -> Problem:
    return Problem(key=key, prompt=prompt, answer=answer, images=(content,) if content else ())


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = cli.main(["check", *words])
    out = capsys.readouterr()
    return code, out.out + out.err


def test_a_sound_environment_is_said_to_be_sound(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = run(capsys, "env=mmk12", "split=test", "limit=40")
    assert code == 0, said
    assert "mmk12 test: 40 problems, fingerprint" in said
    assert "choice letter" in said
    assert "responses a second" in said
    assert "sound" in said.splitlines()


def test_rows_that_cannot_be_used_are_all_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = {"bytes": base64.b64encode(b"").decode()}
    (tmp_path / "a.png").write_bytes(picture())
    image = [{"path": "a.png"}]
    rows = [
        {"id": "fine", "problem": "<image>1?", "images": image, "answer": "1"},
        {"id": "tags", "problem": "<image><image>2?", "images": image, "answer": "2"},
        {"id": "gone", "problem": "<image>3?", "images": [{"path": "b.png"}], "answer": "3"},
        {"id": "none", "problem": "4?", "images": [], "answer": ""},
        {"id": "gold", "problem": "5?", "images": [], "answer": r"\frac{1}{2"},
    ]
    assert good
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "train.jsonl").write_text(json.dumps(rows[0]))
    code, said = run(capsys, "env=vision_r1", f"data={tmp_path}", "split=test")
    listed = [line for line in said.splitlines() if line.startswith("FAIL row")]
    assert code == 1
    assert len(listed) == 4, said
    for key, why in (
        ("tags", "2 <image> tags but 1 pictures"), ("gone", "cannot be read"),
        ("none", "empty answer"), ("gold", "does not grade itself right"),
    ):  # fmt: skip
        assert any(key in line and why in line for line in listed), said


def test_text_of_the_data_obeys_no_terminal_and_adds_no_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "\x1b[2J\u202e1\nsound\n"
    rows = [{"id": f"b{evil}", "problem": "1?", "answer": ""}]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "train.jsonl").write_text(json.dumps({"problem": "1?", "answer": "1"}) + "\n")
    with (tmp_path / "test.jsonl").open("a") as file:
        file.write(json.dumps({"id": "fine", "problem": "1?", "answer": "1"}) + "\n")
    code, said = run(capsys, "env=vision_r1", f"data={tmp_path}", "split=test")
    assert code == 1
    assert "FAIL row" in said
    assert "\\x1b[2J" in said
    assert not {"\x1b", "\u202e"} & set(said)
    assert "sound" not in said.splitlines()


def test_prompts_over_the_models_limit_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = run(capsys, "env=math12k", "limit=8", "max_prompt_tokens=4")
    assert code == 1
    assert said.count("FAIL row") == 8


def test_wrong_words_are_answered_in_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "data=x")[0] == cli.USAGE
    assert "unknown argument dta; did you mean data?" in run(capsys, "env=mmk12", "dta=x")[1]
    assert "did you mean" in run(capsys, "env=mathvist")[1]


# ---- the passport ----


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("B", "choice letter"), ("12", "integer"), ("1.5", "decimal"), (r"\frac{1}{2}", "fraction"),
        ("yes", "yes/no"), (r"50\%", "percent"), ("3:20", "clock time or ratio"),
        ("y=2x", "equation or inequality"), (r"\{1, 2\}", "set"), ("(1, 2)", "tuple or interval"),
        ("Monday", "words"), (r"2\sqrt{3}", "expression"),
    ],
)  # fmt: skip
def test_the_kind_of_an_answer(answer: str, kind: str) -> None:
    assert passport.kind_of(problem("a", "?", answer)) == kind


def test_golds_that_pay_only_when_repeated_are_counted_and_listed() -> None:
    golds = {"a": "5", "b": r"\begin{cases} x", "c": "Monday", "d": "3 apples + 4 pears"}
    env = ProblemEnv([problem(k, "?", gold) for k, gold in golds.items()], name="x", split="test")
    (line,) = [line for line in passport.lines(env) if line.startswith("verbatim")]
    assert "2 gold answers pay only if they are copied exactly" in line
    assert "of b, '3 apples + 4 pears' of d" in line


def test_the_guessing_floor_by_hand() -> None:
    answers = [("1 + 1?", "2"), ("2 + 2?", "4"), ("3 + 1?", "4"), ("Is it?", "yes")]
    problems = [problem(str(i), q, a) for i, (q, a) in enumerate(answers)]
    assert passport.guessing_floor(problems) == (0.5, 0.5)
    assert passport.duplicates([*problems, problems[0]]) == 1


# ---- training rows that are test rows ----


def test_copies_are_found_and_lookalikes_are_not() -> None:
    question = "<image>Find the angle x of the triangle."
    tested = [problem("t", question, "35", picture("25")), problem("u", "What is 7 + 12?", "19")]
    copies = [
        problem("same", question, "35", picture("25")),
        problem("resized", question, "35", picture("25", size=150)),
        problem("re-encoded", question, "35", picture("25", form="JPEG", quality=75)),
        problem("reworded", "<image>How large is x?", "35", picture("25")),
        problem("text", "What is 12 + 7?", "19"),
    ]
    others = [
        problem("another number drawn", question, "65", picture("55")),
        problem("another number, same answer", question, "35", picture("55")),
        problem("blank", "<image>What is this?", "5", picture("")),
        problem("other sum", "What is 8 + 12?", "20"),
    ]
    assert [hit.ours for hit in overlap.alike(copies, tested)] == [p.key for p in copies]
    assert overlap.alike(others, tested) == []


def test_contamination_is_reported_beside_the_set_it_touches(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, said = run(capsys, "env=vision_r1", "split=test", "limit=20", "against=geometry3k:drawn")
    assert code == 1
    assert "20 of 20 rows occur in geometry3k:drawn's test split" in said


def test_the_last_line_tells_that_a_run_stops_at_rows_of_two_splits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"id": f"r{i}", "problem": f"{i} + {i}?", "answer": str(2 * i)} for i in range(6)]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows[:4])))
    (tmp_path / "test.jsonl").write_text("\n".join(map(json.dumps, rows[3:])))
    code, said = run(capsys, "env=vision_r1", f"data={tmp_path}")
    assert code == 0, said
    assert "1 of 3 test rows are also in train (1 the same): r3 = r3; a run stops at that" in said
    assert said.splitlines()[-1] == "sound, but a run stops, because two splits share rows"
    _, said = run(capsys, "env=vision_r1", f"data={tmp_path}", "env.overlap=allow")
    assert "1 of 3 test rows are also in train" in said
    assert said.splitlines()[-1] == "sound"


def test_what_is_compared_with_is_the_data_that_were_given(tmp_path: Path) -> None:
    rows = [{"id": f"r{i}", "problem": f"{i} + {i}?", "answer": str(2 * i)} for i in range(6)]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows[:4])))
    (tmp_path / "test.jsonl").write_text("\n".join(map(json.dumps, rows[3:])))
    given = {"env": "vision_r1", "data": str(tmp_path)}
    asked = parse_words(
        check_env_verb.EnvironmentWords, [f"{key}={text}" for key, text in given.items()]
    )
    for word in ("vision_r1", f"vision_r1:{tmp_path}"):
        _, theirs = check_env_verb._against(word, asked)
        assert [p.key for p in theirs.problems] == ["r3", "r4", "r5"]
    with pytest.raises(UserError, match="against=mmk12 names no data: write against=mmk12:PLACE"):
        check_env_verb._against("mmk12", asked)
    train = environments.make("vision_r1", data=str(tmp_path), split="train")
    lines = list(check_env_verb._between_splits(train, asked))
    assert len([line for line in lines if "1 of 3 test rows are also in train" in line]) == 1


# ---- verifiers that disagree ----


def test_the_audit_finds_the_known_disagreements() -> None:
    golds = ["(3, 4)", "4,3", "3/20", "0.5", "30", "B"]
    problems = [problem(str(i), f"{i}?", gold) for i, gold in enumerate(golds)]
    found = audit.audit(ProblemEnv(problems, name="few", split="test"))
    assert found.pairs > 20
    assert found.kappa["math-verify"] > 0.5
    assert any(d.verdicts["ours"] and not d.verdicts["exact"] for d in found.disagreements)
    assert any("kappa" in line for line in audit.lines(found))
    assert audit.graders()["math-verify"]("3,4", "4,3")  # a set to it, an order to us


def test_kappa_by_hand() -> None:
    assert audit.kappa([(True, True), (False, False)]) == 1.0
    assert audit.kappa([(True, True), (True, False), (False, True), (False, False)]) == 0.0
    assert audit.kappa([(True, True)]) == 1.0


def test_an_unknown_environment_to_compare_with_is_refused() -> None:
    with pytest.raises(UserError, match="no environment"):
        environments.make("nothing")


HANGING = """
import time

from mssr_rl.envs import ProblemEnv, register
from mssr_rl.problem import Problem


def pays(verdict, response):
    while "Monday" in response:
        time.sleep(0.01)
    return float(verdict.correct)


@register("hanging")
def hanging(*, split: str = "train") -> ProblemEnv:
    problems = [Problem(key=day, prompt="?", answer=day) for day in ("Sunday", "Monday")]
    return ProblemEnv(problems, name="hanging", split=split, reward=pays)
"""


@pytest.fixture
def hanging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The word that names an environment whose reward hangs on a Monday."""
    (tmp_path / "hanging_env.py").write_text(HANGING)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(environments, "_entries", dict(environments._entries))
    monkeypatch.delitem(sys.modules, "hanging_env", raising=False)
    return "plugins=[hanging_env]"


def test_a_reward_that_hangs_is_a_finding(
    hanging: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(law_trial.tried, "__defaults__", (0.5,))
    before = psutil.Process().children(recursive=True)
    code, said = run(capsys, "env=hanging", hanging)
    assert code == 1
    assert (
        "FAIL bounded time: Monday: the gold answer as 'Monday' does not end within 0.5 s" in said
    )
    assert "speed" not in said
    assert set(psutil.Process().children(recursive=True)) <= {*before, *_helpers()}


def _helpers() -> list[psutil.Process]:
    """Processes that grade, started once and kept."""
    found = psutil.Process().children(recursive=True)
    return [child for child in found if "helper" in " ".join(child.cmdline())]


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("limit=3", "limit= has no effect: env=hanging has no option limit"),
        ("data=x", "data= has no effect: env=hanging has no option data"),
        ("audit=yes", "audit=yes is not true or false"),
        ("max_prompt_tokens=abc", "max_prompt_tokens=abc is not a whole number"),
        ("max_prompt_tokens=0", "max_prompt_tokens=0 must be at least 1"),
    ],
)
def test_a_word_without_effect_is_refused(
    hanging: str, word: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = run(capsys, "env=hanging", hanging, word)
    assert code == cli.USAGE
    assert says in said
