"""The examples and commands in the documents do what the documents say."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from mssr_rl import algos, cli, envs, helptext
from mssr_rl.config.keys import choices
from mssr_rl.config.words import parse_words
from mssr_rl.sweep import compare_verb
from mssr_rl.verbs import VERBS, form_of

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
DOCUMENTS = (
    *("README.md", "CONTRIBUTING.md", "SECURITY.md", "EXPERIMENTS.md", "examples/README.md"),
    *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").rglob("*.md"))),
)
NEW_RUN = "train algo=centred env=additions --plan"
EXPENSIVE = ("test_engine.py", "test_docs.py", "test_examples.py")  # they start other processes
PARTS = ("mssr_rl", "algos", "envs", "configs", "docs", "tests", "CONTRIBUTING.md", "README.md")


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
    one, two, _, verb, *_ = blocks("CONTRIBUTING.md")
    for source in (one, two, verb):
        exec(compile(source, "CONTRIBUTING.md", "exec"), {})


@pytest.mark.usefixtures("examples")
def test_the_example_of_the_readme_registers_an_environment() -> None:
    exec(compile(blocks("README.md")[0], "README.md", "exec"), {})
    env = envs.environments.make("mine", split="train")
    (graded,) = env.grade([0], ["<think>nothing and nothing</think>\\boxed{0}"])
    assert graded.verdict.correct


def test_the_program_of_the_walkthrough_runs() -> None:
    source = "\n".join(blocks("docs/walkthrough.md"))
    assert source.count("assert") >= 8
    exec(compile(source, "docs/walkthrough.md", "exec"), {})


def test_what_the_walkthrough_names_exists() -> None:
    """`module.function` in its text is a function of ours, wherever the module lies."""
    said = re.sub(r"```.*?```", "", text("docs/walkthrough.md"), flags=re.DOTALL)
    named = set(re.findall(r"`([a-z_]+(?:\.[a-z_]+)*)\.([a-z_]+)`", said))
    ours = {(m, f) for m, f in named if (ROOT / "mssr_rl" / m.partition(".")[0]).is_dir()}
    assert len(ours) >= 8
    for module, name in ours:
        if not hasattr(import_module(f"mssr_rl.{module}"), name):
            import_module(f"mssr_rl.{module}.{name}")


@pytest.mark.usefixtures("examples")
@pytest.mark.parametrize("line", [c for c in commands("bash scripts/run.sh") if "NAME" not in c])
def test_every_documented_run_has_a_plan(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(line)[2:]
    flags = [] if "--plan" in words else ["--plan"]
    assert cli.main(["train", *words, *flags]) == cli.DONE, capsys.readouterr().err


@pytest.mark.parametrize("line", commands("bash scripts/compare.sh"))
def test_every_documented_comparison_is_fair_and_fits_the_machine(line: str) -> None:
    # Loggers need packages of their own, which are optional.
    words = [word for word in shlex.split(line)[2:] if not word.startswith(("--plan", "log="))]
    task = compare_verb.prepare(words)
    assert [fair.confounders for fair in task.fair] == [()] * len(task.matrix.envs)
    assert task.share.jobs >= 1


@pytest.mark.parametrize("line", commands("python -m mssr_rl "))
def test_every_documented_verb_exists(line: str) -> None:
    """A line that wraps behind the program's name names no verb, and is no command."""
    assert len(line.split()) > 3, f"{line!r} names no verb: keep a command on one line"
    verbs = line.split()[3].strip("{}").split(",")
    assert set(verbs) <= {*VERBS, "--help", "VERB"}


@pytest.mark.parametrize("line", commands("python -m mssr_rl "))
def test_every_documented_verb_takes_its_arguments(line: str) -> None:
    first, *words = shlex.split(re.split(r" (?:[|>;\\]|2>)", line)[0])[3:]
    if first == "--help":
        assert helptext.page(None, words)
    elif "VERB" not in first and "," not in first:
        words = [word for word in words if not word.startswith(("--", "$"))]
        parse_words(form_of(first, words).declaration(), words)


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree with the files of CONTRIBUTING.md in their folders."""
    copy = tmp_path_factory.mktemp("grown")
    for name in (*PARTS, "pyproject.toml", "SECURITY.md", "EXPERIMENTS.md"):
        part = ROOT / name
        if part.is_dir():
            skip = shutil.ignore_patterns("__pycache__", ".*")
            shutil.copytree(part, copy / name, symlinks=True, ignore=skip)
        else:
            shutil.copy(part, copy / name)
    one, two, _, verb, *_ = blocks("CONTRIBUTING.md")
    for source in (one, two, verb):
        (copy / source.partition("\n")[0].removeprefix("# ")).write_text(source, encoding="utf-8")
    _in(copy, "-m", "mssr_rl.cards", "docs/algorithms.md")
    return copy


@pytest.mark.parametrize("words", ["check algo=centred", "check env=additions", NEW_RUN])
def test_what_contributing_adds_is_found_by_its_name(grown: Path, words: str) -> None:
    _in(grown, "-m", "mssr_rl", *words.split())


def test_a_verb_that_contributing_adds_has_its_help_and_runs(grown: Path) -> None:
    assert _in(grown, "-m", "mssr_rl", "algorithms", "containing=centr") == "centred\n"
    assert "containing=" in _in(grown, "-m", "mssr_rl", "algorithms", "--help")
    assert "print the names of the algorithms" in _in(grown, "-m", "mssr_rl", "--help")


def test_gymnasium_makes_the_environment_that_contributing_adds(grown: Path) -> None:
    _in(grown, "-c", blocks("CONTRIBUTING.md")[2] + "\nassert reward == 1.0")


def test_the_tests_hold_in_a_tree_that_contributing_added_to(grown: Path) -> None:
    """All tests that look at every registered name, and both new names are among them."""
    looks = re.compile(r"(algorithms|environments)\.names\(\)")
    chosen = [p for p in (grown / "tests").rglob("test_*.py") if looks.search(p.read_text("utf-8"))]
    named = [str(path.relative_to(grown)) for path in chosen if path.name not in EXPENSIVE]
    assert {"tests/test_cards.py", "tests/algos/test_every_algorithm.py"} <= set(named)
    only = "centred or additions or cards or readme"
    said = _in(grown, "-m", "pytest", "-v", "-p", "no:cacheprovider", "-k", only, *named)
    assert "[centred] PASSED" in said
    assert "[additions] PASSED" in said


METRIC = '_declare(Metric("lost/s", "s", "time lost", "run.step", "Lost", "own"))'
COLUMN = '    kind: Annotated[str, Column("kind of arm", "name", lambda one: "any")]'
DETECTOR = """
def short_run(trace: Trace, limits: Limits) -> Event | None:
    return Event("short_run", "note", 1, "it is short", "train longer")

"""
ADDED = (  # (file, the line before which a text is added, the text); nothing else is changed
    ("mssr_rl/metric_names.py", "STEP = _declare(", METRIC),
    ("mssr_rl/comparison/health.py", "    events: Annotated[", COLUMN),
    ("mssr_rl/stability/response_detectors.py", "def repeats(", DETECTOR),
    # Once in the import and once in the list of detectors.
    ("mssr_rl/stability/stability_card.py", "    truncation,\n", "    short_run,"),
)
FAMILY = """
from mssr_rl.models.general import General


class Mine(General):
    model_types = ("mine",)
"""
SEEN = """
from mssr_rl.comparison import columns, document, health
from mssr_rl.metric_names import TABLE
from mssr_rl.models import families
from mssr_rl.stability.limits import Limits
from mssr_rl.stability.stability_card import scorecard
from mssr_rl.stability.trace import Trace

assert TABLE["lost/s"].section == "own"
assert "kind of arm" in columns.heads(columns.shown(health.StabilityRow))
assert '"kind"' in document.schema_of_now()
assert [one.event for one in scorecard(Trace(9, [{"step": 1}]), Limits()).events] == ["short_run"]
assert families.of("mine").__name__ == "Mine"
"""


def test_a_metric_a_column_a_detector_and_a_family_need_only_the_files_that_contributing_names(
    grown: Path, tmp_path: Path
) -> None:
    shutil.copytree(grown, tmp_path / "copy", symlinks=True)
    for name, before, text in ADDED:
        file = tmp_path / "copy" / name
        source = file.read_text("utf-8")
        assert f"\n{before}" in source
        file.write_text(source.replace(f"\n{before}", f"\n{text}\n{before}"), "utf-8")
    (tmp_path / "copy" / "mssr_rl" / "models" / "families" / "mine.py").write_text(FAMILY)
    _in(tmp_path / "copy", "-c", SEEN)


def _in(folder: Path, *words: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    command = [sys.executable, *words]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_documented_script_exists() -> None:
    named = set(re.findall(r"scripts/(\w+\.sh)", "".join(map(text, DOCUMENTS))))
    assert {"run.sh", "test.sh"} <= named <= {path.name for path in (ROOT / "scripts").iterdir()}


def test_the_readme_lists_algorithms_that_exist() -> None:
    table = re.findall(r"^\| (`[\w`, ]+) \|", text("README.md"), re.MULTILINE)
    listed = set(re.findall(r"\w+", " ".join(table)))
    assert len(listed) > 10
    assert listed <= set(algos.algorithms.names())
    assert "laptop" in choices("recipe")
