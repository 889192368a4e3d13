"""The commands of docs/environments.md and docs/grading.md are run; the README's example trains."""

import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from mssr_rl import algos, cli, envs

ROOT = Path(__file__).parents[1]
TEXT = "".join((ROOT / "docs" / f"{name}.md").read_text() for name in ("environments", "grading"))
COMMANDS = re.findall(
    r"(?:^    |`)(?:python -m mssr_rl|bash scripts/eval\.sh) ?([^`\n]*)", TEXT, re.MULTILINE
)
SMALL = ["env.limit=2", "eval.samples=1", "rollout.max_response_tokens=8", "engine.threads=1"]


def words_of(line: str) -> list[str]:
    words = shlex.split(line)
    return words if words[0] in cli.VERBS else ["eval", *words]


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the documents' commands name."""
    for registry in (algos.algorithms, envs.environments):
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    line = {"id": 1, "response": "<think>a</think>\\boxed{5}", "answer": "5"}
    (tmp_path / "FILE.jsonl").write_text(json.dumps(line))
    sample = {"doc_id": 1, "target": "5", "filtered_resps": ["Answer: 5"], "acc": 0.0}
    (tmp_path / "SAMPLES.jsonl").write_text(json.dumps(sample))
    for name in ("a", "b"):
        row = {
            "env": "mmk12",
            "split": "test",
            "accuracy": 1.0,
            "per_problem": {"p": 1},
            "card": {},
        }
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "eval.jsonl").write_text(json.dumps(row))
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("line", [c for c in COMMANDS if "scripts" not in c])
@pytest.mark.usefixtures("elsewhere")
def test_every_documented_command_runs(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = words_of(line)
    small = SMALL if words[0] == "eval" and "compare" not in line else []
    assert cli.main([*words, *small]) == 0, capsys.readouterr()


def test_the_documents_show_every_verb_of_environments() -> None:
    assert {words_of(line)[0] for line in COMMANDS} == {"eval", "check", "new", "export", "grade"}


@pytest.mark.slow
def test_the_readmes_environment_trains_by_mssr(
    elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (elsewhere / "mine.py").write_text(re.findall(r"```python\n(.*?)```", readme, re.DOTALL)[0])
    words = [
        "algo=mssr", "env=mine", "plugins=[mine]", "name=mine", "budget.rollouts=32",
        "eval.every=0",
        "train.rollouts_per_step=16", "train.samples_per_update=8", "eval.samples=1",
        "rollout.max_response_tokens=16", "engine.threads=1",
    ]  # fmt: skip
    assert cli.main(["train", *words]) == 0, capsys.readouterr()
    steps = (elsewhere / "runs" / "mine" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(step)["budget/rollouts"] for step in steps] == [16, 32]
