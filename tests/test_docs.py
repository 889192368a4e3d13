"""The examples and commands in the documents do what the documents say."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from mssr_rl import algos, cli, envs
from mssr_rl.compare import command
from mssr_rl.config.keys import choices

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
DOCUMENTS = (
    *("README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/compare.md", "docs/cluster.md"),
    *("docs/algorithms.md", "docs/reliability.md", "examples/README.md"),
)


def text(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def blocks(document: str) -> list[str]:
    """The Python examples."""
    return re.findall(r"```python\n(.*?)```", text(document), re.DOTALL)


def commands(script: str) -> list[str]:
    """Every line of the documents that calls a script, without its comment."""
    found = re.findall(rf"{re.escape(script)}[^`\n#]*", "\n".join(map(text, DOCUMENTS)))
    return sorted({line.strip() for line in found})


@pytest.fixture
def examples(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The examples where their documents put them; forgotten after the test."""
    for registry in (algos.algorithms, envs.environments):
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    (tmp_path / "mine.py").write_text(blocks("README.md")[0], encoding="utf-8")
    for source in blocks("CONTRIBUTING.md"):
        exec(compile(source, "CONTRIBUTING.md", "exec"), {})


@pytest.mark.usefixtures("examples")
def test_the_examples_of_contributing_register_a_working_algorithm_and_environment() -> None:
    assert algos.algorithms.make("centred").min_group_size == 2
    env = envs.environments.make("sums", split="val", largest=3)
    (graded,) = env.grade([5], ["<think>1 + 1</think>\\boxed{2}"])
    assert len(env.problems) == 16
    assert graded.reward == 1.0


@pytest.mark.usefixtures("examples")
def test_the_example_of_the_readme_registers_an_environment() -> None:
    exec(compile(blocks("README.md")[0], "README.md", "exec"), {})
    env = envs.environments.make("mine", split="train")
    (graded,) = env.grade([0], ["<think>two and three</think>\\boxed{5}"])
    assert graded.verdict.correct


@pytest.mark.usefixtures("examples")
@pytest.mark.parametrize("line", commands("bash scripts/run.sh"))
def test_every_documented_run_has_a_plan(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(line)[2:]
    flags = [] if "--plan" in words else ["--plan"]
    assert cli.main(["train", *words, *flags]) == cli.DONE, capsys.readouterr().err


@pytest.mark.parametrize("line", commands("bash scripts/compare.sh"))
def test_every_documented_comparison_is_fair_and_fits_the_machine(line: str) -> None:
    words = [word for word in shlex.split(line)[2:] if word != "--plan"]
    task = command.prepare(words)
    assert [fair.confounders for fair in task.fair] == [()] * len(task.matrix.envs)
    assert task.share.jobs >= 1


@pytest.mark.parametrize("line", commands("python -m mssr_rl "))
def test_every_documented_verb_exists(line: str) -> None:
    verbs = line.split()[3].strip("{}").split(",") if len(line.split()) > 3 else []
    assert set(verbs) <= set(cli.VERBS)


def test_every_documented_script_exists() -> None:
    named = set(re.findall(r"scripts/(\w+\.sh)", "".join(map(text, DOCUMENTS))))
    assert {"run.sh", "test.sh"} <= named <= {path.name for path in (ROOT / "scripts").iterdir()}


def test_the_readme_lists_every_algorithm() -> None:
    table = re.findall(r"^\| (`[\w`, ]+) \|", text("README.md"), re.MULTILINE)
    assert set(re.findall(r"\w+", " ".join(table))) == set(algos.algorithms.names())
    assert "laptop" in choices("recipe")
