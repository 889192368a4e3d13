"""The server: what it shows, and that it shows nothing else."""

import json
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from mssr_rl import cli
from mssr_rl.errors import UserError
from mssr_rl.view.view_verb import bound_socket, serving

EVIL = "<script>window.hacked=1</script><img src=x onerror=alert(1)>\"'"


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory, make_run: Any, make_comparison: Any) -> Path:
    root = tmp_path_factory.mktemp("shelf") / "runs"
    root.mkdir()
    shutil.copytree(make_run(samples=[{"step": 24, "reason": EVIL, "key": EVIL}]), root / "first")
    shutil.copytree(root / "first", root / "second")
    config = root / "second/config.yaml"
    config.write_text(config.read_text().replace("gamma: 2.0", "gamma: 0.4"))
    shutil.copytree(make_comparison({"grpo": 0.5, "mssr": 0.7}, seeds=2), root / "both")
    hostile = root / EVIL.replace("/", "∕")
    shutil.copytree(root / "first", hostile)
    (hostile / "config.yaml").write_text(f"algo: {{name: {json.dumps(EVIL)}}}\n")
    (root / "out").symlink_to("/etc", target_is_directory=True)
    return root


@pytest.fixture(scope="module")
def client(serve: Callable[..., Any], shelf: Path) -> Any:
    return serve(shelf)


PAGES = (
    "/",
    "/run/runs/first",
    "/rollouts/runs/first",
    "/pair?run=runs/first&run=runs/second",
    "/comparison/runs/both",
    "/run/runs/" + quote(EVIL.replace("/", "∕")),
    "/rollouts/runs/" + quote(EVIL.replace("/", "∕")),
)


@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_made_without_the_markup_of_others(client: Any, path: str) -> None:
    answer = client.get(path)
    assert answer.status == 200
    assert "<script>window" not in answer.text
    assert "<img src=x" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    again = client.get(path, If_None_Match=answer.headers["etag"])
    assert again.status in (200, 304)  # the age of a heartbeat may have changed


def test_the_list_filters_by_name_and_says_what_is_left_out(client: Any) -> None:
    everything = client.get("/").text
    assert "7 of 7 runs" in everything
    assert "1 folder is not shown" in everything
    assert "2 of 7 runs" in client.get("/?q=grpo").text
    assert "No run fits" in client.get("/?q=nothing").text


def test_two_runs_show_the_settings_that_differ(client: Any) -> None:
    text = client.get("/pair?run=runs/first&run=runs/second").text
    assert "algo.gamma" in text
    assert "algo.lam" not in text
    assert "choose two runs" in client.get("/pair?run=runs/first").text


def test_a_comparison_shows_every_arm_and_run(client: Any) -> None:
    text = client.get("/comparison/runs/both").text
    assert "4 of 4 runs finished" in text
    assert text.count('class="state done"') == 4


def test_the_filter_of_rollouts_is_in_the_address(client: Any) -> None:
    text = client.get("/rollouts/runs/first?verdict=right&family=dice").text
    assert "12 of 25" in text
    assert '<option value="right" selected>' in text
    assert 'href="?page=2"' in client.get("/rollouts/runs/first").text


@pytest.mark.parametrize("kind", ["svg", pytest.param("png", marks=pytest.mark.slow), "csv"])
@pytest.mark.parametrize(
    "asked",
    ["run=runs/first", "run=runs/first&run=runs/second", "comparison=runs/both"],
)
def test_every_figure_is_svg_png_and_csv(client: Any, kind: str, asked: str) -> None:
    answer = client.get(f"/figure.{kind}?{asked}&metric=reward/mean")
    assert answer.status == 200
    assert 'filename="reward-mean.' in answer.headers["content-disposition"]
    if kind == "svg":
        assert ET.fromstring(answer.text).tag.endswith("svg")
        assert "http" not in answer.text.replace("http://www.w3.org/2000/svg", "")
    elif kind == "png":
        assert "PNG" in answer.text[:8]
    else:
        rows = answer.text.splitlines()
        assert rows[0] == "line,step,rollouts,reward/mean,low,high"
        assert len(rows) > 12


OUTSIDE = (
    "/run/runs/../../etc", "/run/..%2f..%2fetc", "/run/%2e%2e/%2e%2e/etc/passwd",
    "/run//etc/passwd",
    "/run/runs/out", "/run/runs/first/../second", "/run/runs/first%00",
    "/rollouts/../../etc/passwd",
    "/comparison/runs/first", "/comparison/../..", "/figure.svg?run=../../etc&metric=reward/mean",
    "/figure.svg?comparison=/etc&metric=x", "/figure.exe?run=runs/first&metric=reward/mean",
    "/figure.svg?run=runs/first&metric=../../../etc/passwd", "/figure.svg?metric=reward/mean",
    "/pair?run=/etc&run=/etc", "/style.css/../app.py", "/static/../../app.py", "/nothing",
    "/figure.svg?" + "run=runs/first&" * 9 + "metric=reward/mean",
)  # fmt: skip


@pytest.mark.parametrize("path", OUTSIDE)
def test_an_address_that_leads_elsewhere_is_refused_in_one_line(client: Any, path: str) -> None:
    answer = client.get(path)
    assert answer.status == 404
    assert "root:" not in answer.text
    assert "Traceback" not in answer.text


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "localhost.evil"])
def test_a_request_under_a_foreign_name_is_refused(client: Any, host: str) -> None:
    assert client.get("/", Host=host).status == 400


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_can_be_written(client: Any, method: str) -> None:
    assert client.get("/", method=method).status == 405
    assert client.get("/run/runs/first", method=method).status == 405


def test_a_run_that_is_deleted_while_it_is_shown_ends_in_a_sentence(
    serve: Callable[..., Any], shelf: Path, tmp_path: Path
) -> None:
    shutil.copytree(shelf / "first", tmp_path / "runs/gone")
    client = serve(tmp_path / "runs")
    assert client.get("/run/runs/gone").status == 200
    shutil.rmtree(tmp_path / "runs/gone")
    answer = client.get("/run/runs/gone")
    assert answer.status == 404
    assert client.get("/").status == 200


def test_a_damaged_run_is_one_line_and_the_others_are_shown(
    serve: Callable[..., Any], shelf: Path, tmp_path: Path
) -> None:
    for name in ("good", "bad", "worse"):
        shutil.copytree(shelf / "first", tmp_path / "runs" / name)
    (tmp_path / "runs/bad/run.json").write_text("{")
    (tmp_path / "runs/worse/eval.jsonl").write_text('{"step": 1}\n' * 3 + "[" * 9000)
    (tmp_path / "runs/worse/summary.json").write_text('{"stability": 3}')
    (tmp_path / "runs/worse/heartbeat.json").write_text('{"at": 1e400, "step": {}}')
    client = serve(tmp_path / "runs")
    assert "3 of 3 runs" in client.get("/").text
    assert client.get("/run/runs/good").status == 200
    for name in ("bad", "worse"):
        answer = client.get(f"/run/runs/{name}")
        assert answer.status == 404
        assert "Traceback" not in answer.text


def test_without_a_run_the_page_says_how_to_start_one(
    serve: Callable[..., Any], tmp_path: Path
) -> None:
    client = serve(tmp_path)
    assert "There is no run yet" in client.get("/").text


def test_a_second_page_of_the_same_folder_is_found(client: Any, shelf: Path) -> None:
    assert serving(shelf) is not None
    assert serving(shelf.parent) is None


def test_a_port_in_use_is_one_line() -> None:
    with bound_socket(None) as taken, pytest.raises(UserError, match="choose another port="):
        bound_socket(taken.getsockname()[1])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["runs_dir=nowhere"], "there is no folder nowhere here"),
        (["port=0"], "port=0 must be between 1 and 65535"),
        (["port=x"], "port=x is not a whole number"),
        (["host=0.0.0.0"], "unknown argument host"),
    ],
)
def test_wrong_arguments_are_one_line(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["view", *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
