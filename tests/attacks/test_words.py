"""What a model says: shown and not obeyed, graded and not paid for being odd."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mssr_rl import cli
from mssr_rl.config import Config
from mssr_rl.engine_protocol import Engine, Rollouts
from mssr_rl.envs import environments
from mssr_rl.grading.verify import verify
from mssr_rl.run import trainer

Configure = Callable[..., Config]
MakeEngine = Callable[[Config], Engine]


PAYLOADS = [
    "<script>document.title='hacked'</script>",
    "<img src=x onerror=alert(1)>",
    "</pre></article><svg/onload=alert(1)>",
    "<a href='javascript:alert(1)'>x</a>",
    "<iframe src=https://example.org></iframe>",
    "\x1b[2J\x1b]0;hacked\x07\x1b[31m",
    "\x9b2J\u202e\u2066",
    "{{ 7*7 }}{% raw %}",
]


def saying(make_engine: MakeEngine) -> MakeEngine:
    """An engine whose policy says nothing but payloads."""

    class Hostile:
        def __init__(self, inner: Engine) -> None:
            self.inner = inner

        def __getattr__(self, name: str) -> object:
            return getattr(self.inner, name)

        def rollout(self, *arguments: Any) -> Rollouts:
            found = self.inner.rollout(*arguments)
            said = (PAYLOADS[i % len(PAYLOADS)] for i in range(len(found.responses)))
            return found._replace(responses=tuple(said))

    return lambda config: Hostile(make_engine(config))  # type: ignore[return-value]


def test_what_a_model_says_is_neither_run_by_a_browser_nor_obeyed_by_a_terminal(
    configure: Configure, make_engine: MakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = trainer.run(configure("name=run"), saying(make_engine))
    page = (folder / "report.html").read_text("utf-8")
    assert "document.title=" in page  # it is there, as text
    for mark in ("<script>document", "<img src=x", "<svg/onload", "<iframe", "<a href='java"):
        assert mark not in page
    assert "Content-Security-Policy" in page
    for stream in (page, capsys.readouterr().err, (folder / "samples.jsonl").read_text()):
        assert not {"\x1b", "\x07", "\x9b", "\u202e", "\u2066"} & set(stream)


def test_a_refusal_that_quotes_a_file_does_not_reach_the_terminal_raw(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"id": "\x1b[2Jr\u202e7", "problem": "?", "answer": "", "images": []}
    (tmp_path / "train.jsonl").write_text(f"{json.dumps(row)}\n{json.dumps({**row, 'id': 'b'})}\n")
    code = cli.main(["train", "env=vision_r1", f"env.data={tmp_path}", "--plan"])
    said = capsys.readouterr().err
    assert code == cli.USAGE
    assert "empty answer" in said
    assert not {"\x1b", "\u202e"} & set(said)


def test_the_prompt_said_again_pays_nothing() -> None:
    env = environments.make("vision_r1", split="val", data="mini", limit=200, instruction="paper")
    rows = range(len(env.problems))
    for text in ("{}", "<think>{}</think>{}", "<think></think>{}\\boxed{{}}", "{}</think>"):
        said = [text.replace("{}", problem.prompt) for problem in env.problems]
        assert not any(graded.reward for graded in env.grade(rows, said))


def test_a_prompt_that_holds_the_answer_in_a_box_pays_nothing_when_it_is_quoted() -> None:
    prompt = "For example \\boxed{42}. What is 6 * 7?"
    assert not verify(prompt, "42", None).correct
    assert not verify(f"<think>{prompt}</think>", "42", None).correct
    assert not verify(f"{prompt}<think>so</think>", "42", None).correct


@pytest.mark.parametrize(
    "text",
    [
        "<think></think>\\boxed{" + "9" * 1_000_000 + "}",
        "<think></think>" + "\\boxed{" * 140_000,
        "<think></think>\\boxed{" + "{" * 500_000 + "}" * 500_000 + "}",
        "<think>" * 140_000,
        "<think></think>\\boxed{" + "\\frac{1}{" * 100_000 + "}",
    ],
    ids=["digits", "boxes", "braces", "tags", "fractions"],
)
def test_an_answer_of_a_megabyte_is_graded_in_time_and_pays_nothing(text: str) -> None:
    begun = time.process_time()
    assert not verify(text, "42", None).correct
    assert time.process_time() - begun < 1
