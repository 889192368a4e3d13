"""`publish` and `board`: model cards, evaluation records, uploads and a page over comparisons."""

import base64
import json
import re
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from mssr_rl import cli
from mssr_rl.models import TINY
from mssr_rl.publishing import evaluation_records
from mssr_rl.publishing.published_run import read_published

RECORDED = Path(__file__).parents[1] / "comparison" / "recorded_0_1" / "two_arms.tar.xz"
RUN = "vision_r1-mssr-s0"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recorded comparison, whose runs have no weights: the shipped model stands for them."""
    place = tmp_path_factory.mktemp("recorded")
    with tarfile.open(RECORDED) as archive:
        archive.extractall(place, filter="data")
    return place / "two_arms"


@pytest.fixture
def run(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "runs" / "first"
    shutil.copytree(kept / "runs" / RUN, folder)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    shutil.copytree(TINY, folder / "policy")
    (folder / "policy" / "own.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    return folder


def newest(run: Path) -> dict[str, dict[str, Any]]:
    rows = [json.loads(line) for line in (run / "eval.jsonl").read_text().splitlines()]
    return {row["split"]: row for row in rows}


@pytest.mark.slow
def test_a_published_run_has_a_card_with_its_scores_and_no_code(run: Path) -> None:
    assert cli.main(["publish", f"run={run}", "to=mine"]) == 0
    assert not list(Path("mine").rglob("*.py"))
    card = ModelCard.load("mine/README.md")
    scores = newest(run)
    assert card.data.library_name == "transformers"
    told = {result.dataset_split: result.metric_value for result in card.data.eval_results}
    assert told == {s: round(100 * row["accuracy"], 2) for s, row in scores.items()}
    assert f"{100 * scores['test']['accuracy']:.1f} % (" in card.text
    assert "mssr_rl train algo=mssr env=vision_r1 recipe=" in card.text
    assert "budget.rollouts=" in card.text


@pytest.mark.slow
def test_the_command_of_the_card_is_understood(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = read_published(run).command.split()
    assert cli.main(["train", *command, "--plan"]) == 0
    assert "mssr" in capsys.readouterr().out


def test_hostile_text_of_a_run_is_escaped_in_the_card(run: Path) -> None:
    document = json.loads((run / "summary.json").read_text())
    document["exit_reason"] = "<script>alert(1)</script> [link](http://x)"
    (run / "summary.json").write_text(json.dumps(document))
    assert cli.main(["publish", f"run={run}", "to=mine"]) == 0
    text = Path("mine/README.md").read_text()
    assert "<script>" not in text
    assert "[link]" not in text


def check_record(record: dict[str, Any]) -> None:
    """What version 0.2.1 of the schema requires of the parts that we write."""
    needed = {"schema_version", "evaluation_id", "retrieved_timestamp", "source_metadata"}
    needed |= {"model_info", "eval_library", "evaluation_results"}
    assert record.keys() == needed  # it allows nothing else but parts that we do not write
    assert record["source_metadata"]["source_type"] == "evaluation_run"
    assert record["source_metadata"]["evaluator_relationship"] == "first_party"
    assert record["model_info"].keys() >= {"name", "id"}
    assert all(isinstance(x, str) for x in record["model_info"]["additional_details"].values())
    for result in record["evaluation_results"]:
        assert {"evaluation_name", "source_data", "metric_config", "score_details"} == result.keys()
        assert result["source_data"].keys() >= {"dataset_name", "source_type"}
        config = result["metric_config"]
        assert (config["min_score"], config["max_score"]) == (0.0, 1.0)
        low_high = result["score_details"]["uncertainty"].get("confidence_interval")
        if low_high:
            assert low_high["lower"] <= result["score_details"]["score"] <= low_high["upper"]


def test_a_run_is_recorded_in_the_schema_of_every_eval_ever(run: Path) -> None:
    assert cli.main(["publish", f"run={run}", "to=mine"]) == 0
    record = json.loads(Path("mine/every_eval_ever.json").read_text())
    check_record(record)
    scores = [result["score_details"]["score"] for result in record["evaluation_results"]]
    assert scores == [row["accuracy"] for row in newest(run).values()]


def test_every_arm_of_a_comparison_is_recorded(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["publish", f"run={kept}", "to=out"]) == 0
    records = [json.loads(p.read_text()) for p in Path("out/every_eval_ever").iterdir()]
    assert {record["model_info"]["name"] for record in records} == {"grpo", "mssr"}
    for record in records:
        check_record(record)
    assert Path("out/report.html").read_bytes() == (kept / "report.html").read_bytes()


def test_results_on_a_data_set_of_the_hub_get_its_own_form(run: Path) -> None:
    published = read_published(run)
    assert evaluation_records.hub_results(published) is None  # generated problems
    config = {**published.config, "env": {"name": "vision_r1", "data": "owner/problems"}}
    text = evaluation_records.hub_results(published._replace(config=config))
    assert text is not None
    assert text.count("id: owner/problems") == len(published.scores)


def test_a_folder_that_is_not_empty_and_a_wrong_repository_are_refused(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("full").mkdir()
    Path("full/file").write_text("mine")
    assert cli.main(["publish", f"run={run}", "to=full"]) == cli.USAGE
    assert "is not empty" in capsys.readouterr().err
    assert cli.main(["publish", f"run={run}", "to=hub:name"]) == cli.USAGE
    assert "hub:owner/name" in capsys.readouterr().err
    assert cli.main(["publish", "run=runs/frist", "to=new"]) == cli.USAGE
    assert "runs here: runs/first" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["policy/model.safetensors", "config.yaml"])
def test_a_link_that_leads_out_of_the_run_is_not_published_and_nothing_is_left(
    run: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    Path("secret").write_bytes((run / name).read_bytes())
    (run / name).unlink()
    (run / name).symlink_to(Path("secret").resolve())
    assert cli.main(["publish", f"run={run}", "to=out/new"]) == cli.USAGE
    assert "a link that leads out of" in capsys.readouterr().err
    assert list(Path("out").iterdir() if Path("out").exists() else ()) == []


# ---- the hub, by its own client against a stand-in ----


class Hub(BaseHTTPRequestHandler):
    """Takes what the hub's client sends to create a repository and to commit files."""

    got: dict[str, Any]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        place = self.path.partition("?")[0]
        self.got["tokens"].add(self.headers.get("Authorization"))
        if self.got["refuses"]:
            return self.answer({"error": "no"}, 403)
        if place == "/api/repos/create":
            self.got["created"] = json.loads(body)
            url = f"http://{self.headers['Host']}/owner/name"
            return self.answer({"url": url, "id": "owner/name"})
        if "/preupload/" in place:
            files = json.loads(body)["files"]
            told = [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files
            ]
            return self.answer({"files": told})
        if "/commit/" in place:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    content = base64.b64decode(line["value"]["content"])
                    self.got["files"][line["value"]["path"]] = content
            return self.answer(
                {
                    "commitUrl": f"http://{self.headers['Host']}/owner/name/commit/{'a' * 40}",
                    "commitOid": "a" * 40,
                    "success": True,
                }
            )
        return self.answer({})

    def do_GET(self) -> None:
        self.answer({"id": "owner/name", "sha": "b" * 40, "siblings": []})

    def answer(self, content: dict[str, Any], code: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture
def hub() -> Iterator[tuple[str, dict[str, Any]]]:
    got: dict[str, Any] = {"files": {}, "tokens": set(), "refuses": False}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Hub,), {"got": got}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", got
    server.shutdown()
    server.server_close()


def uploaded(run: Path, address: str) -> subprocess.CompletedProcess[str]:
    env = {
        "HF_ENDPOINT": address,
        "HF_TOKEN": "hf_of_nobody",
        "HF_HUB_DISABLE_XET": "1",
        "PATH": "/usr/bin:/bin",
        "HF_HOME": str(run / "hub"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "mssr_rl", "publish", f"run={run}", "to=hub:owner/name"]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_hubs_client_uploads_the_folder(run: Path, hub: tuple[str, dict[str, Any]]) -> None:
    address, got = hub
    done = uploaded(run, address)
    assert done.returncode == 0, done.stderr
    assert got["created"]["visibility"] == "private"
    assert got["tokens"] == {"Bearer hf_of_nobody"}
    assert {"README.md", "model.safetensors", "every_eval_ever.json"} <= got["files"].keys()
    assert got["files"]["model.safetensors"] == (TINY / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_a_hub_that_refuses_is_one_line(run: Path, hub: tuple[str, dict[str, Any]]) -> None:
    address, got = hub
    got["refuses"] = True
    done = uploaded(run, address)
    assert done.returncode == cli.FAILED
    assert done.stderr.splitlines()[-1].startswith("mssr_rl: the hub did not take owner/name: ")
    assert "Traceback" not in done.stderr


# ---- the board ----


@pytest.mark.slow
def test_every_row_of_the_board_says_whether_it_verifies(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("sound", "forged"):
        shutil.copytree(kept, tmp_path / "comparisons" / name)
    forged = tmp_path / "comparisons" / "forged" / "report.json"
    forged.write_text(re.sub(r'"value": 0\.\d', '"value": 0.9', forged.read_text(), count=1))
    assert cli.main(["board"]) == 0
    assert "1 of 2 rows verified" in capsys.readouterr().out
    page = Path("board.html").read_text()
    assert page.count('class="verified"') == 1
    assert page.count('class="different"') == 1
    assert "mssr_rl report verify=comparisons/sound" in page
    assert 'href="comparisons/sound/report.html"' in page
    assert "http://" not in page
    assert "https://" not in page


def test_a_board_of_nothing_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["board"]) == cli.USAGE
    assert "no finished comparison is in comparisons" in capsys.readouterr().err
