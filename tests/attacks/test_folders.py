"""Run and comparison folders from strangers: pipes, devices, links, sizes, nesting, odd values."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mssr_rl import cli, files, untrusted
from mssr_rl.errors import UserError

SECRET = "correct-horse-battery-staple"
OF_A_RUN = (
    "config.yaml", "run.json", "metrics.jsonl", "eval.jsonl", "samples.jsonl", "summary.json",
    "heartbeat.json", "lock",
)  # fmt: skip
pytestmark = pytest.mark.usefixtures("no_hang")

Put = Callable[[Path], None]


def pipe(path: Path) -> None:
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def folder(path: Path) -> None:
    path.mkdir()


def circle(path: Path) -> None:
    path.symlink_to(path)


def huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**43)


def nested(path: Path) -> None:
    path.write_text('{"step": 1, "a": ' + "[" * 200_000 + "]" * 200_000 + "}\n")


def digits(path: Path) -> None:
    path.write_text('{"step": ' + "9" * 10_000 + "}\n")


def infinite(path: Path) -> None:
    path.write_text('{"step": 1e999, "loss": NaN}\n')


def outside(path: Path) -> None:
    secret = path.parent.parent.parent / "secret"
    secret.write_text(f"{SECRET}\n")
    path.symlink_to(secret)


PUTS = (pipe, endless, folder, circle, huge, nested, digits, infinite, outside)


def replaced(path: Path, put: Put) -> None:
    path.unlink(missing_ok=True)
    put(path)


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What a command says; it ends with an exit code and no traceback, whatever it is shown."""
    assert cli.main(list(words)) in (cli.DONE, cli.FAILED, cli.USAGE)
    told = capsys.readouterr()
    assert len(told.err) < 5_000
    return told.out + told.err


@pytest.mark.parametrize("put", PUTS, ids=lambda put: put.__name__)
@pytest.mark.parametrize("name", OF_A_RUN)
def test_any_file_of_a_run_may_be_anything(
    sent_run: Path, capsys: pytest.CaptureFixture[str], name: str, put: Put
) -> None:
    replaced(sent_run / name, put)
    told = said(capsys, "report", f"run={sent_run}")
    told += said(capsys, "status", f"runs_dir={sent_run.parent}")
    told += said(capsys, "lens", f"run={sent_run}")
    told += said(capsys, "resume", f"verify={sent_run}")
    told += said(capsys, "replay", f"run={sent_run}")
    page = sent_run / "report.html"
    assert SECRET not in told + (page.read_text() if page.exists() else "")


@pytest.mark.parametrize("put", PUTS, ids=lambda put: put.__name__)
@pytest.mark.parametrize("name", ["compare.json", "report.json", "runs/vision_r1-mssr-s1/run.json"])
def test_any_file_of_a_comparison_may_be_anything(
    comparison: Path, capsys: pytest.CaptureFixture[str], name: str, put: Put
) -> None:
    replaced(comparison / name, put)
    told = said(capsys, "report", f"verify={comparison}")
    told += said(capsys, "status", f"runs_dir={comparison}")
    assert SECRET not in told


@pytest.mark.parametrize("put", [pipe, endless, huge, nested], ids=lambda put: put.__name__)
def test_a_file_that_is_graded_or_imported_may_be_anything(
    comparison: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], put: Put
) -> None:
    for name in ("a.jsonl", "trainer_state.json", "a.csv", "x.tfevents.1"):
        put(tmp_path / name)
        said(capsys, "import", str(tmp_path / name), f"comparison={comparison}", "name=x",
             "rollouts_per_step=8")  # fmt: skip
    said(capsys, "grade", str(tmp_path / "a.jsonl"))


def lens_line(**more: object) -> str:
    few = {"problem": ["a", "b"], "reward": [1, 0], "logprob": [[-1.0], [-2.0]]}
    return json.dumps({**few, **more})


@pytest.mark.parametrize(
    "more",
    [
        {"row": [0, 10**10], "problems": 10**10},  # 80 GB of memory for a tracker
        {"row": [0, 1], "problems": 10**12},
        {"row": [-1, 0], "problems": 2},
        {"row": [0.5, 1], "problems": 2},
        {"row": "01", "problems": 2},
        {"row": [0, 1], "problems": "many"},
        {"group_size": 10**30},
        {"group_size": [2]},
        {"response_limit": "long"},
        {"reward": [1, {}]},
    ],
)
@pytest.mark.parametrize("algo", ["mvsr", "grpo"])
def test_a_lens_file_cannot_ask_for_memory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: dict[str, object], algo: str
) -> None:
    (tmp_path / "a.jsonl").write_text(lens_line(**more) + "\n")
    assert cli.main(["lens", str(tmp_path / "a.jsonl"), f"algo={algo}"]) == cli.USAGE
    assert "a.jsonl line 1" in capsys.readouterr().err


def test_a_lens_line_cannot_be_padded_without_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    count = 10_000  # one long response and many short ones: 0.8 GB a tensor, from 100 kB
    line = lens_line(
        problem=["a"] * count, reward=[0] * count, logprob=[[0] * count] + [[0]] * (count - 1)
    )
    (tmp_path / "a.jsonl").write_text(line)
    assert cli.main(["lens", str(tmp_path / "a.jsonl"), "algo=mvsr"]) == cli.USAGE
    assert "10,000 rollouts padded to 10,000 tokens" in capsys.readouterr().err


VALUES: tuple[object, ...] = (None, True, -1, 1e300, "x", [], {}, [[]], {"a": {}}, "\x1b[2J<b>")


@pytest.mark.slow
@pytest.mark.parametrize("value", VALUES, ids=repr)
@pytest.mark.parametrize("name", ["compare.json", "runs/vision_r1-grpo-s0/run.json"])
def test_any_entry_may_be_anything(
    comparison: Path, capsys: pytest.CaptureFixture[str], name: str, value: object
) -> None:
    path = comparison / name
    known = json.loads(path.read_text())
    run = path.parent
    for key in known:
        path.write_text(json.dumps({**known, key: value}))
        told = said(capsys, "report", f"run={run}")
        assert "\x1b" not in told
        assert "\x1b" not in (run / "report.html").read_text()


def test_a_page_is_not_written_through_a_link(sent_run: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "profile"
    theirs.write_text("mine")
    (sent_run / "report.html").unlink(missing_ok=True)
    (sent_run / "report.html").symlink_to(theirs)
    (sent_run / f".report.html.{os.getpid()}").symlink_to(theirs)
    files.write_bytes(sent_run / "report.html", b"page")
    assert theirs.read_text() == "mine"
    assert (sent_run / "report.html").read_text() == "page"
    assert not (sent_run / "report.html").is_symlink()


def test_a_manifest_cannot_name_files_outside(sent_run: Path, tmp_path: Path) -> None:
    from mssr_rl.run import checkpoint

    place = sent_run / "checkpoints" / "step_3"
    place.mkdir(parents=True)
    os.mkfifo(place / "state.json")
    (place / "manifest.json").write_text(
        json.dumps({"state.json": {"bytes": 0, "sha256": ""}, "../../../../secret": {}})
    )
    assert "it is a pipe" in str(checkpoint.fault(place))
    (place / "state.json").unlink()
    shutil.copy(sent_run / "run.json", tmp_path / "secret")
    (place / "manifest.json").write_text(json.dumps({"../../../../../../../../secret": {}}))
    assert checkpoint.fault(place) is not None


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "not usable JSON"),
        (b"\xff\xfe{\x00}\x00", "not JSON|must hold"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "Infinity"),
        (b'{"a": 1e999}', "beyond"),
        (b'{"a": ' + b"9" * 400 + b"}", "beyond"),
        (b"[" * 70 + b"]" * 70, "levels deep"),
    ],
)
def test_json_is_bounded_in_depth_and_numbers(raw: bytes, why: str) -> None:
    if raw.startswith(b"\xff\xfe"):
        assert untrusted.parsed(raw, "it") == {}  # JSON may be in UTF-16
        return
    with pytest.raises(UserError, match=why):
        untrusted.parsed(raw, "it")


def test_a_line_without_end_is_left_out_and_the_next_one_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"step": 1}\n' + b"x" * 50_000 + b'\n{"step": 2}\n' + b"y" * 50_000)
    assert list(untrusted.lines(path, longest=1000)) == [
        b'{"step": 1}\n',
        None,
        b'{"step": 2}\n',
        None,
    ]
