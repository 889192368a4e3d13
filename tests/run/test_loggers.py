"""Loggers: the numbers of metrics.jsonl are read back from what each package wrote.

trackio and mlflow want other versions of packages than this project pins. Their tests are skipped
where they are not installed; docs/loggers.md has the command that runs them.
"""

import json
import socket
import struct
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mssr_rl import cli
from mssr_rl.config import Config
from mssr_rl.engine_protocol import Engine
from mssr_rl.run import loggers, trainer

pytestmark = pytest.mark.slow

Configure = Callable[..., Config]
MakeEngine = Callable[[Config], Engine]
Curves = dict[str, dict[int, float]]  # {metric: {step: value}}


class ReadBack(NamedTuple):
    """What a package holds of a run."""

    curves: Curves
    settings: dict[str, Any]
    pictures: int


def from_tensorboard(run: Path) -> ReadBack:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard"), {"images": 0, "scalars": 0, "tensors": 0})
    events.Reload()
    tags = events.Tags()
    curves = {tag: {e.step: e.value for e in events.Scalars(tag)} for tag in tags["scalars"]}
    pictures = sum(len(events.Images(tag)) for tag in tags["images"])
    assert any("_rollouts/" in tag for tag in tags["tensors"])  # the texts
    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    return ReadBack(curves, {"algo.name": "mssr"} if b"algo.name" in content else {}, pictures)


def from_wandb(run: Path) -> ReadBack:
    from wandb.proto import wandb_internal_pb2

    (path,) = run.glob("wandb/offline-run-*/*.wandb")
    curves: Curves = {}
    settings: dict[str, Any] = {}
    for content in wandb_records(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(content)
        settings |= {u.key: json.loads(u.value_json) for u in record.run.config.update}
        row = {
            item.key or "/".join(item.nested_key): json.loads(item.value_json)
            for item in record.history.item
        }
        for name, value in row.items():
            if isinstance(value, int | float):
                curves.setdefault(name, {})[row["step"]] = value
    return ReadBack(curves, settings, len(list(path.parent.rglob("*.png"))))


def wandb_records(content: bytes) -> Iterator[bytes]:
    """The records of a .wandb file, a LevelDB log: blocks of 32 KiB, parts with headers."""
    block, header, at, whole = 32768, 7, 7, b""  # the file begins with seven bytes of its own
    while at + header <= len(content):
        if block - at % block < header:
            at += block - at % block
            continue
        length, part = struct.unpack("<HB", content[at + 4 : at + header])
        whole += content[at + header : at + header + length]
        at += header + length
        if part in (1, 4):  # a full record, or the last part of one
            yield whole
            whole = b""


def from_trackio(run: Path) -> ReadBack:
    from trackio.sqlite_storage import SQLiteStorage

    rows = SQLiteStorage.get_logs(loggers.PROJECT, run.name)
    curves: Curves = {}
    pictures = 0
    for row in rows:
        for name, value in row.items():
            if isinstance(value, dict):
                pictures += 1
            elif isinstance(value, int | float) and name != "step":
                curves.setdefault(name, {})[row["step"]] = value
    return ReadBack(curves, SQLiteStorage.get_run_config(loggers.PROJECT, run.name), pictures)


def from_mlflow(run: Path) -> ReadBack:
    from mlflow.tracking import MlflowClient

    client = MlflowClient((run.parent / "mlruns").as_uri())
    place = client.get_experiment_by_name(loggers.PROJECT).experiment_id
    (found,) = client.search_runs([place])
    assert (found.info.run_name, found.info.status) == (run.name, "FINISHED")
    curves = {
        name: {m.step: m.value for m in client.get_metric_history(found.info.run_id, name)}
        for name in found.data.metrics
    }
    pictures = len(list((run.parent / "mlruns").rglob("*.png")))
    return ReadBack(curves, found.data.params, pictures)


READERS = {
    "tensorboard": from_tensorboard,
    "wandb": from_wandb,
    "trackio": from_trackio,
    "mlflow": from_mlflow,
}


def wanted(run: Path) -> Curves:
    """The curves as the run's own record has them."""
    curves: Curves = {}
    for line in (run / "metrics.jsonl").read_text().splitlines():
        row = json.loads(line)
        for name in row.keys() - {"step"}:
            curves.setdefault(name, {})[row["step"]] = row[name]
    for line in (run / "eval.jsonl").read_text().splitlines():
        row = json.loads(line)
        for key in ("accuracy", "accuracy_sampled"):
            curves.setdefault(f"{row['split']}/{key}", {})[row["step"]] = row[key]
    return curves


@pytest.mark.parametrize("name", READERS)
def test_the_package_holds_the_numbers_of_the_run(
    name: str, configure: Configure, make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    if find_spec(loggers.EXTRAS[name]) is None:
        pytest.skip(f"{name} is not installed; docs/loggers.md has the command")
    for variable in ("WANDB_MODE", "TRACKIO_DIR", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(variable, raising=False)
    run = trainer.run(configure("algo=mssr", f"log=[{name}]", "name=logged"), make_engine)
    back, truth = READERS[name](run), wanted(run)
    assert truth["reward/mean"]
    assert truth["val/accuracy"]
    for metric, curve in truth.items():
        assert back.curves[metric] == pytest.approx(curve, rel=1e-6, abs=1e-9), metric  # float32
    assert back.settings["algo.name"] == "mssr"
    assert back.pictures >= 4


def test_prometheus_reads_the_newest_numbers_from_the_endpoint_and_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("prometheus_client", reason="comes with the cluster stage")
    from prometheus_client.parser import text_string_to_metric_families

    from mssr_rl.run.loggers.prometheus_log import open_logger

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("PROMETHEUS_PORT", str(port))
    opened = open_logger(loggers.LoggedRun(tmp_path, {}, 1))
    opened.scalars(1, {"reward/mean": 0.25, "actor/entropy": 1.0})
    opened.scalars(2, {"reward/mean": 0.5})
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        served = answer.read().decode()
    opened.close("done", {})
    assert served == (tmp_path / "metrics.prom").read_text()
    values = {s.name: s.value for f in text_string_to_metric_families(served) for s in f.samples}
    assert values == {
        "mssr_rl_step": 2,
        "mssr_rl_reward_mean": 0.5,
        "mssr_rl_actor_entropy": 1.0,
    }
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), 1)


def test_a_logger_that_fails_is_named_once_and_the_run_ends_as_without_it(
    configure: Configure,
    make_engine: MakeEngine,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WANDB_MODE", "nonsense")
    run = trainer.run(configure("log=[tensorboard,wandb]", "name=logged"), make_engine)
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("log  ")]
    assert len(said) == 1
    assert said[0].startswith("log     wandb failed and gets nothing more; the run goes on: ")
    assert json.loads((run / "run.json").read_text())["status"] == "done"
    assert from_tensorboard(run).curves["reward/mean"]


def test_a_disk_that_refuses_the_events_does_not_end_the_run(
    configure: Configure, make_engine: MakeEngine, tmp_path: Path
) -> None:
    config = configure("name=logged")
    (Path(config.runs_dir) / "logged").mkdir(parents=True)

    def no_folder(config: Config) -> Engine:
        (Path(config.runs_dir) / "logged" / "tensorboard").write_text("in the way")
        return make_engine(config)

    run = trainer.run(config, no_folder)
    assert json.loads((run / "run.json").read_text())["status"] == "done"


def test_no_logger_leaves_no_files(configure: Configure, make_engine: MakeEngine) -> None:
    run = trainer.run(configure("log=[]", "name=logged"), make_engine)
    assert not (run / "tensorboard").exists()


@pytest.mark.parametrize("words", [("log=nope",), ("log=tensorboard,nope",)])
def test_an_unknown_logger_is_refused(
    words: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["train", *words, "--plan"]) == cli.USAGE
    assert "tensorboard, wandb, trackio, mlflow, prometheus" in capsys.readouterr().err


def test_a_logger_without_its_package_is_refused_before_the_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(loggers.EXTRAS, "mlflow", "a_package_that_does_not_exist")
    assert cli.main(["train", "log=mlflow", "--plan"]) == cli.USAGE
    assert "log=mlflow needs the package mlflow-skinny: pip install" in capsys.readouterr().err
