"""Words in, tables and JSON out; a wrong word gets one sentence and exit code 2."""

import json
import re
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from benchmarks import gpu, grading, peak, rollouts, scaling, startup, step
from benchmarks.__main__ import NAMES, main
from benchmarks.command import BenchmarkReport, Parser, run
from mssr_rl.errors import RunFailed

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "benchmarks.md"
MODULES = {
    "step": step, "grading": grading, "rollouts": rollouts, "startup": startup, "scaling": scaling,
    "peak": peak, "gpu": gpu,
}  # fmt: skip


def test_a_report_is_printed_and_written_with_the_machine_but_no_places(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "found.json"
    parser = Parser("mine", "It says.")
    assert (
        run(parser, lambda _: BenchmarkReport("a table", [1, 2]), ["--json", str(file), "--short"])
        == 0
    )
    assert capsys.readouterr().out == "a table\n"
    found = json.loads(file.read_text("utf-8"))
    assert found["results"] == [1, 2]
    assert found["options"] == {"short": True}
    assert {"cores", "versions", "model"} <= found["machine"].keys()


def test_a_run_that_fails_says_why_in_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    def fails(_: Namespace) -> BenchmarkReport:
        raise RunFailed("the other side is gone")

    assert run(Parser("mine", None), fails, []) == 1
    assert capsys.readouterr().err == "mine: the other side is gone\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("steps", "no benchmark 'steps'; choose from step, rollouts"),
        ("step --trl nowhere/python", "nowhere/python is not a Python with TRL"),
        ("step --arms grpo,dpo", "no arm 'dpo' here; choose from grpo, rloo"),
        ("step --batches 0", "'0' is not a whole number of at least 1"),
        ("rollouts --peers sglang", "no peer 'sglang' here; choose from transformers, vllm"),
        ("rollouts --peers vllm --record", "--record keeps the ratio to transformers"),
        ("scaling --only depth", "no sweep 'depth' here; choose from rollouts, group"),
        ("gpu", "torch finds no GPU here"),
        ("startup --algo grppo", "no algorithm 'grppo'"),
        ("grading nowhere.jsonl", "nowhere.jsonl has no lines of JSON with response and answer"),
        ("peak --json nowhere/at/all.json", "nowhere/at/all.json is not a file in a folder"),
        ("peak --longer", "unrecognized arguments: --longer; see --help"),
    ],
)
def test_a_wrong_word_is_answered_before_anything_is_measured(
    words: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words.split()) == 2
    shown = capsys.readouterr()
    assert says in shown.err
    assert shown.err.count("\n") == 1
    assert not shown.out


def test_the_list_names_every_benchmark_and_each_has_a_help(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([]) == 0
    listed = capsys.readouterr().out
    assert NAMES.keys() == MODULES.keys()
    for name, module in MODULES.items():
        assert f"python -m benchmarks {name}" in listed
        with pytest.raises(SystemExit) as end:
            main([name, "--help"])
        assert end.value.code == 0
        assert (module.__doc__ or "!").splitlines()[0] in capsys.readouterr().out


def test_every_documented_command_is_understood() -> None:
    lines = re.findall(
        r"^    python -m benchmarks (\w+)([^#\n]*)", DOCUMENT.read_text("utf-8"), re.MULTILINE
    )
    assert {name for name, _ in lines} == MODULES.keys()
    for name, words in lines:
        MODULES[name].parser().parse_args(words.split())


def test_every_pin_is_exact_and_none_names_an_index() -> None:
    lines = (ROOT / "benchmarks" / "requirements.txt").read_text("utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(pin.count("==") == 1 and "/" not in pin for pin in pins)


def test_answers_are_graded_by_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "answers.jsonl"
    line = {"id": "a", "response": "<think>Half.</think>\\boxed{1/2}", "answer": "0.5"}
    file.write_text(f"{json.dumps(line)}\n" * 16, "utf-8")
    assert main(["grading", str(file), "--short"]) == 0
    assert "ours over math-verify" in capsys.readouterr().out


@pytest.mark.slow
def test_growth_is_measured_for_real(tmp_path: Path) -> None:
    found = measured(tmp_path, "scaling", "--only", "group,problems")
    assert found["group"]["exponent"] < 0  # a shared prompt makes a rollout cheaper
    assert found["problems"]["exponent_of_bytes"] == pytest.approx(1, abs=0.05)


@pytest.mark.slow
def test_the_share_of_the_peak_is_measured_for_real(tmp_path: Path) -> None:
    shares = {rate["what"]: rate["share"] for rate in measured(tmp_path, "peak")}
    assert len(shares) == 11
    assert all(0 < share <= 1 for share in shares.values())


@pytest.mark.slow
def test_the_benchmark_of_a_gpu_runs_on_a_cpu_with_a_small_shape(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = json.loads(json.dumps(gpu.PUBLISHED[gpu.SHAPE]))
    shape["text_config"] |= {"hidden_size": 128, "intermediate_size": 128, "vocab_size": 2000}
    shape["text_config"] |= {"num_attention_heads": 1, "num_key_value_heads": 1}
    shape["vision_config"] |= {"hidden_size": 64, "intermediate_size": 64, "num_heads": 2}
    shape["vision_config"] |= {"out_hidden_size": 128}
    monkeypatch.setattr(gpu, "PUBLISHED", {gpu.SHAPE: shape})
    file = tmp_path / "found.json"
    assert main(["gpu", "--device", "cpu", "--short", "--json", str(file)]) == 0
    found = json.loads(file.read_text("utf-8"))["results"]
    assert [step["algorithm"] for step in found["steps"]] == ["grpo", "mssr"]
    assert found["resumed_bit_for_bit"]
    assert found["bfloat16_cosine"] > 0.9
    assert found["planned_gb"] > 0
    assert "resumed bit for bit: yes" in capsys.readouterr().out
    assert str(tmp_path) not in file.read_text("utf-8")


def measured(folder: Path, *words: str) -> object:
    """What the short form writes."""
    file = folder / "found.json"
    command = [sys.executable, "-m", "benchmarks", *words, "--short", "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(file.read_text("utf-8"))["results"]
