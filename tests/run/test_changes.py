"""A run that goes on although something has changed: what is refused, accepted, said and kept."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mssr_rl import cli, files
from mssr_rl.algos import algorithms
from mssr_rl.comparison import cautions
from mssr_rl.comparison.evidence import ComparedRun
from mssr_rl.config import Config, recorded
from mssr_rl.config.compose import load
from mssr_rl.engine_protocol import Engine
from mssr_rl.errors import UserError
from mssr_rl.report.runfiles import read_run
from mssr_rl.run import changes, lifecycle, trainer
from mssr_rl.run.sameness import rows
from mssr_rl.stats.verdict import Rule
from mssr_rl.sweep import compare_verb
from mssr_rl.sweep.settings import Settings

pytestmark = pytest.mark.slow  # nearly all of them train a few steps

Configure = Callable[..., Config]
MakeEngine = Callable[[Config], Engine]
Captured = pytest.CaptureFixture[str]


class Begun:
    """A run of three of its six steps, to be gone on with."""

    def __init__(self, folder: Path, make_engine: MakeEngine) -> None:
        self.make_engine = make_engine
        self.folder = folder

    def goes_on(self, *words: str) -> Path:
        own = [f"runs_dir={self.folder.parent}", "name=run", "resume=true"]
        return trainer.run(load([*own, *words]), self.make_engine)

    def refuses(self, *words: str) -> str:
        """The refusal; nothing of the run may be other than it was."""
        before = self.everything()
        with pytest.raises(UserError) as refused:
            self.goes_on(*words)
        assert self.everything() == before
        return str(refused.value)

    def everything(self) -> dict[str, bytes]:
        found = (path for path in self.folder.rglob("*") if path.is_file())
        return {path.name: path.read_bytes() for path in found if path.name != "lock"}

    @property
    def record(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "run.json").read_text())
        return found

    def rewrite(self, **entries: Any) -> None:
        (self.folder / "run.json").write_text(json.dumps({**self.record, **entries}))

    def kept(self) -> list[tuple[str, bool]]:
        """What the record, the summary and the report say alike."""
        found = self.record["changes"]
        assert json.loads((self.folder / "summary.json").read_text())["changes"] == found
        page = (self.folder / "report.html").read_text()
        assert page.count("This run was resumed after a change") == len(found)
        files_of_run = read_run(self.folder)
        run = ComparedRun("run", "a", "e", 0, "done", files_of_run)
        said = " ".join(cautions.unusual([run], "test", None, Rule()))
        assert said.count("run after step") == len(found)
        return [(change["what"], change["accepted"]) for change in found]


def begin(configure: Configure, make_engine: MakeEngine, *words: str) -> Begun:
    config = configure("name=run", "budget.rollouts=192", *words)
    return Begun(trainer.run(config, make_engine), make_engine)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the run lies that all tests copy; made once."""
    return tmp_path_factory.mktemp("first")


@pytest.fixture
def begun(configure: Configure, make_engine: MakeEngine, first: Path, tmp_path: Path) -> Begun:
    if not (first / "run").exists():
        begin(configure, make_engine, f"runs_dir={first}")
    shutil.copytree(first / "run", tmp_path / "runs" / "run")
    return Begun(tmp_path / "runs" / "run", make_engine)


def test_a_run_that_goes_on_unchanged_notes_no_change(begun: Begun) -> None:
    begun.goes_on("budget.rollouts=256")
    assert begun.kept() == []


# ---- config.yaml ----


def edit(folder: Path, old: str, new: str) -> None:
    path = folder / "config.yaml"
    assert path.read_text().count(old) == 1
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("lr: 0.05", "lr: 0.5", "train.lr=0.5 (was 0.05)"),
        ("rollouts: 192", "rollouts: 256", "budget.rollouts=256 (was 192)"),
        ("name: mssr", "name: mvsr", "algo.name=mvsr (was mssr)"),
    ],
)
def test_an_edited_config_is_refused_and_the_settings_named(
    begun: Begun, old: str, new: str, key: str
) -> None:
    if "mvsr" in new:  # whose options are fewer
        text = (begun.folder / "config.yaml").read_text()
        kept = [w for w in text.splitlines(True) if w.split(":")[0].strip() not in SHAPING]
        (begun.folder / "config.yaml").write_text("".join(kept))
    edit(begun.folder, old, new)
    said = begun.refuses()
    assert "config.yaml was edited by hand: " in said
    assert key in said
    assert "add accept=[config]" in said


SHAPING = ("gamma", "lam", "entropy", "entropy_policy")


def test_an_accepted_edit_counts_is_kept_on_record_and_is_not_accepted_for_ever(
    begun: Begun,
) -> None:
    edit(begun.folder, "lr: 0.05", "lr: 0.5")
    begun.goes_on("accept=[config]", "budget.rollouts=256")
    assert rows(begun.folder, "metrics")[-1]["actor/lr"] == 0.5
    assert begun.kept() == [("config", True)]
    assert begun.record["changes"][0]["step"] == 3
    assert "train.lr=0.5 (was 0.05)" in begun.record["changes"][0]["says"]
    begun.goes_on("budget.rollouts=320")  # nothing new
    assert begun.kept() == [("config", True)]
    edit(begun.folder, "lr: 0.5", "lr: 0.6")
    assert "accept=[config]" in begun.refuses()


def test_a_config_that_was_only_written_in_another_way_is_no_other(
    begun: Begun, capsys: Captured
) -> None:
    path = begun.folder / "config.yaml"
    path.write_text("# mine\n" + path.read_text())
    begun.goes_on("budget.rollouts=256")
    assert "with the same settings" in " ".join(capsys.readouterr().err.split())
    assert begun.kept() == []


@pytest.mark.parametrize("left", [0.0, 0.1, 0.5, 0.97])
def test_a_config_that_was_cut_short_ends_in_a_sentence_and_its_copy_goes_on(
    begun: Begun, left: float
) -> None:
    path = begun.folder / "config.yaml"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(left * len(whole))])
    assert "accept=[config]" in begun.refuses()
    begun.goes_on("accept=[config]")
    again = recorded.leaves(recorded.plain(path))
    path.write_bytes(whole)
    was = recorded.leaves(recorded.plain(path))
    if left < 0.97:  # else it was still a config, and counts as an edited one
        assert {key for key in again | was if again.get(key) != was.get(key)} <= {
            *("resume", "runs_dir")
        }


@pytest.mark.parametrize(
    "content", [b"\x00\xff", b"[1, 2]", b"- a: {b", b"algo: 3\nenv: 4\n", b"WRONG KIND"]
)
def test_what_is_no_config_at_all_is_named(begun: Begun, content: bytes) -> None:
    path = begun.folder / "config.yaml"
    odd = path.read_bytes().replace(b"lr: 0.05", b"lr: fast")
    path.write_bytes(odd if content == b"WRONG KIND" else content)
    said = begun.refuses()
    assert "config.yaml" in said
    assert "accept=[config] to continue with the settings in run.json" in said


@pytest.mark.parametrize("verb", ["resume verify", "replay run", "report run"])
@pytest.mark.parametrize("left", [0.0, 0.3])
def test_other_verbs_say_so_too(begun: Begun, verb: str, left: float, capsys: Captured) -> None:
    path = begun.folder / "config.yaml"
    path.write_bytes(path.read_bytes()[: int(left * path.stat().st_size)])
    (begun.folder / "faults" / "step_1").mkdir(parents=True)
    name, key = verb.split()
    code = cli.main([name, f"{key}={begun.folder}"])
    assert code in (0, 2)  # a report shows what is there
    assert "Traceback" not in capsys.readouterr().err
    assert (code == 0) == (name == "report")


def test_a_config_that_is_gone_is_taken_from_the_record_if_that_is_accepted(begun: Begun) -> None:
    (begun.folder / "config.yaml").unlink()
    assert "config.yaml is gone; add accept=[config]" in begun.refuses()
    begun.goes_on("accept=[config]", "budget.rollouts=256")
    assert begun.kept() == [("config", True)]


def test_whoever_is_killed_between_record_and_config_is_not_told_of_an_edit(
    begun: Begun, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = files.write_bytes

    def killed(path: Path, *rest: Any, **named: Any) -> None:
        if path.name == "config.yaml":
            raise OSError("killed")
        write(path, *rest, **named)

    monkeypatch.setattr(files, "write_bytes", killed)
    with pytest.raises(OSError, match="killed"):
        begun.goes_on("budget.rollouts=256")
    monkeypatch.undo()
    begun.goes_on("budget.rollouts=256")
    assert begun.kept() == []


# ---- run.json ----


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"status": NaN}', "\x00" * 9])
def test_a_record_that_cannot_be_read_ends_in_a_sentence_and_is_never_deleted(
    begun: Begun, content: str
) -> None:
    path = begun.folder / "run.json"
    path.write_text(content)
    said = begun.refuses()
    assert "run.json" in said
    assert "accept=[record]" in said
    begun.goes_on("accept=[record]", "budget.rollouts=256")
    assert (begun.folder / changes.ASIDE).read_text() == content
    assert begun.kept() == [("record", True)]
    assert begun.record["status"] == "done"


def test_a_record_that_is_gone_is_said_and_kept(begun: Begun) -> None:
    (begun.folder / "run.json").unlink()
    begun.goes_on("budget.rollouts=256")
    assert begun.kept() == [("record", False)]


def test_entries_of_a_record_that_are_something_else_do_no_harm(begun: Begun) -> None:
    odd = ["x", 3, None, [], {"train": 1}]
    for value in odd:
        begun.rewrite(versions=value, git=value, program=value, plugins=value, changes=value)
        begun.goes_on()


# ---- plug-ins ----

PLUGIN = """
from mssr_rl import register_algorithm
from mssr_rl.advantage import chain, to_tokens
from mssr_rl.algos import Algorithm
from mssr_rl.loss import Loss
from {helper} import LR

@register_algorithm("{name}")
def make() -> Algorithm:
    return Algorithm(name="{name}", advantage=chain(to_tokens()), loss=Loss())
"""


@pytest.mark.parametrize("edited", ["plugin", "helper"])
def test_an_edited_plug_in_is_refused_unless_accepted(
    configure: Configure,
    make_engine: MakeEngine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    edited: str,
) -> None:
    helper, name = f"helper_of_{edited}", f"plain_{edited}"
    home = tmp_path / "home"
    home.mkdir()
    (home / f"{helper}.py").write_text("LR = 1\n")
    (home / f"{name}.py").write_text(PLUGIN.format(helper=helper, name=name))
    monkeypatch.syspath_prepend(str(home))
    monkeypatch.setattr(algorithms, "_entries", dict(algorithms._entries))  # forgotten afterwards
    own = (f"plugins=[{name}]", f"algo={name}")
    begun = begin(configure, make_engine, *own)
    assert begun.record["plugins"][name]["files"].keys() == {f"{name}.py", f"{helper}.py"}
    begun.goes_on()  # as it was
    file = home / (f"{name}.py" if edited == "plugin" else f"{helper}.py")
    file.write_text(file.read_text() + "# another rule\n")
    said = begun.refuses()
    assert f"the plug-in {name} was edited: {file.name} changed" in said
    assert "add accept=[plugins]" in said
    begun.goes_on("accept=[plugins]", "budget.rollouts=256")
    assert begun.kept() == [("plugins", True)]
    begun.goes_on("budget.rollouts=320")  # that edit is known
    assert begun.kept() == [("plugins", True)]


# ---- data ----


@pytest.fixture
def on_a_copy(
    configure: Configure, make_engine: MakeEngine, counting_data: Path, tmp_path: Path
) -> tuple[Begun, Path]:
    copy = tmp_path / "data"
    shutil.copytree(counting_data, copy)
    return begin(configure, make_engine, f"env.data={copy}"), copy


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_changed_data_are_refused_unless_accepted(
    on_a_copy: tuple[Begun, Path], split: str
) -> None:
    begun, data = on_a_copy
    path = data / f"{split}.jsonl"
    path.write_text(path.read_text().replace("which digit follows", "what comes after", 1))
    said = begun.refuses()
    assert f"what env.data names has changed in {split}" in said
    assert "accept=[data]" in said
    begun.goes_on("accept=[data]", "budget.rollouts=256")
    assert begun.kept() == [("data", True)]


def test_other_training_problems_are_refused_whatever_is_accepted(
    on_a_copy: tuple[Begun, Path],
) -> None:
    begun, data = on_a_copy
    lines = (data / "train.jsonl").read_text().splitlines(keepends=True)
    for others in (lines[:-1], lines[::-1], [*lines[:-1], lines[-1].replace("train/59", "new")]):
        (data / "train.jsonl").write_text("".join(others))
        assert "cannot be continued: what env.data names" in begun.refuses("accept=[data]")


# ---- what may change, and the budget ----


def test_threads_may_change(begun: Begun) -> None:
    begun.goes_on("engine.threads=1", "budget.rollouts=256")
    assert begun.kept() == []


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("budget.rollouts=128", "budget.rollouts=128 is below the 192 that are spent already"),
        ("budget.updates=8", "budget.updates=8 is below the 12 that are spent already"),
        ("budget.prompts=100", "budget.prompts=100 is below the 192 that are spent already"),
        ("budget.seconds=1e-9", "budget.seconds=1e-09 is below the"),
    ],
)
def test_a_budget_below_what_is_spent_is_an_error(begun: Begun, word: str, said: str) -> None:
    assert said in begun.refuses(word)


def test_a_budget_of_what_is_spent_ends_the_run_where_it_is(begun: Begun) -> None:
    begun.goes_on("budget.rollouts=192", "budget.updates=12")
    assert begun.record["status"] == "done"


# ---- the program ----


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"versions": {"torch": "1.0"}}, "torch 1.0 → "),
        ({"git": {"revision": "f" * 40}}, "revision ffffffffff → "),
        ({"program": {"source": "0" * 32}}, "its source files changed"),
    ],
)
def test_another_program_is_said_recorded_and_reported(
    begun: Begun, entries: dict[str, Any], said: str, capsys: Captured
) -> None:
    if "git" in entries and begun.record["git"] is None:
        pytest.skip("this source is no git checkout")
    begun.rewrite(**entries)
    begun.goes_on("budget.rollouts=256")
    err = " ".join(capsys.readouterr().err.split())
    assert "by another program than before" in err
    assert said in err
    assert "the last digits of its numbers can differ" in err
    assert begun.kept() == [("program", False)]


def test_two_sources_of_the_program_have_two_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    from mssr_rl.run import provenance

    here = provenance.program_hash()
    assert provenance.program_hash() == here
    monkeypatch.setattr(provenance, "SOURCE", {".py"})
    assert provenance.program_hash() != here


# ---- accept= ----


def test_accept_knows_its_names_and_its_place() -> None:
    for words, said in (
        (["accept=[plugin]"], "choose from plugins, config, data, record"),
        (["accept=[plugins]"], "has a meaning only for a resumed run; add resume=true"),
    ):
        with pytest.raises(UserError, match=said):
            load(words)
    with pytest.raises(UserError, match="choose from plugins"):
        compare_verb.prepare(["algo=grpo", "accept=[all]"])


def test_several_changes_are_refused_together(begun: Begun) -> None:
    edit(begun.folder, "lr: 0.05", "lr: 0.5")
    begun.rewrite(plugins={}, data={**begun.record["data"], "val": {"problems": 1}})
    said = begun.refuses("accept=[config]")
    assert "accept=[config,data]" in said


def test_a_comparison_passes_on_what_its_runs_may_accept() -> None:
    started: list[list[str]] = []

    def launch(words: Any, *_: Any) -> Any:
        started.append(list(words))

    rest: list[Any] = [None] * 5
    task = compare_verb.Task(Settings(accept=("plugins", "data")), *rest)
    start = task.accepting(launch)
    start(["name=a"], Path("log"), 1)
    start(["name=b", "resume=true"], Path("log"), 1)
    assert started == [["name=a"], ["name=b", "resume=true", "accept=[plugins,data]"]]


def test_a_refused_run_gives_its_folder_back(begun: Begun, configure: Configure) -> None:
    begun.refuses("budget.rollouts=64")
    lifecycle.open_log(configure("name=run", "resume=true", "budget.rollouts=192")).close()
