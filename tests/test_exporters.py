"""The same reward in TRL's, verl's and OpenRLHF's own forms."""

import asyncio
import csv
import gzip
import importlib.util
import json
import sys
import types
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from mssr_rl import cli, exporters
from mssr_rl.data import table_files
from mssr_rl.envs import environments
from mssr_rl.errors import UserError


def boxed(answer: str) -> str:
    return f"<think>so</think>\\boxed{{{answer}}}"


def module(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def test_trl_grades_texts_and_messages_by_key_or_by_answer() -> None:
    reward = exporters.trl_reward("mmk12", split="test", limit=6)
    first = environments.make("mmk12", split="test", limit=6).problems[0]
    messages = [[{"role": "assistant", "content": boxed(first.answer)}]]
    assert reward(completions=messages, key=[first.key], prompts=[""]) == [1.0]
    texts = [boxed("5"), boxed("6"), ""]
    assert reward(completions=texts, answer=["5"] * 3, choices=[None] * 3) == [1.0, 0.0, 0.0]
    assert reward(completions=texts, solution=["6"] * 3) == [0.0, 1.0, 0.0]
    with pytest.raises(UserError, match="by a column key, answer or solution; found prompts"):
        reward(completions=texts, prompts=[])


def test_verl_grades_by_ground_truth_or_by_key() -> None:
    plain = exporters.verl_score("math12k", split="test", limit=5)
    assert plain("any", boxed("2.0"), "2", None) == 1.0
    score = exporters.verl_score("mathvista", split="test", limit=40)
    with pytest.raises(UserError, match="grades every row by its own rule"):
        score("any", boxed("2.0"), "2", None)
    with pytest.raises(UserError, match="has no problem 'count-0' in its test split"):
        score("any", boxed("2.0"), "2", {"key": "count-0"})
    problems = environments.make("mathvista", split="test", limit=40).problems
    floats = [p for p in problems if p.extras["answer_type"] == "float"]
    assert floats
    said = boxed(f"{float(floats[0].answer) + 0.004:.3f}")
    assert score("any", said, "0", {"key": floats[0].key}) == 1.0  # the row's own precision


def test_the_file_for_openrlhf_is_an_executor_that_grades(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["export", "env=math12k", "to=openrlhf", "split=train", "env.limit=5"]) == 0
    assert capsys.readouterr().out == (
        "wrote math12k_openrlhf.py and math12k_openrlhf.parquet with 5 rows of its train split\n"
    )
    if importlib.util.find_spec("openrlhf") is None:  # the two classes that the file builds on
        agent = types.ModuleType("openrlhf.utils.agent")
        agent.AgentInstanceBase = type("AgentInstanceBase", (), {})  # type: ignore[attr-defined]
        init = {"__init__": lambda self, cls: setattr(self, "agent_instance_cls", cls)}
        agent.MultiTurnAgentExecutor = type("Executor", (), init)  # type: ignore[attr-defined]
        for name in ("openrlhf", "openrlhf.utils"):
            monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
        monkeypatch.setitem(sys.modules, "openrlhf.utils.agent", agent)
    executor = module(tmp_path / "math12k_openrlhf.py").AgentExecutor()
    instance = executor.agent_instance_cls()
    states = {"action_text": boxed("7"), "label": "7", "observation_text": "", "sampling_params": 0}
    result = asyncio.run(instance.step(states))
    assert (result["rewards"].item(), result["done"]) == (1.0, True)
    wrong = asyncio.run(instance.step({**states, "action_text": "7"}))
    assert wrong["rewards"].item() == 0.0


@pytest.mark.parametrize("to", ["trl", "verl"])
def test_the_files_for_trl_and_verl_grade(
    to: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["export", "env=math12k", f"to={to}", "env.limit=5"]) == 0
    made = module(tmp_path / f"math12k_{to}.py")
    if to == "trl":
        assert made.reward(completions=[boxed("7")], answer=["7"]) == [1.0]
    else:
        assert made.compute_score("math", boxed("7"), "7") == 1.0
    assert cli.main(["export", "env=math12k", f"to={to}"]) == cli.USAGE  # it is there already


@pytest.mark.parametrize("to", ["trl", "verl", "openrlhf"])
def test_the_exported_rows_hold_the_pictures_and_earn_their_reward(
    to: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["export", "env=mmk12", f"to={to}", "split=test", "env.limit=6", "rows=4"]
    assert cli.main(words) == 0
    rows = pq.read_table(f"mmk12_{to}.parquet").to_pylist()
    problems = environments.make("mmk12", split="test", limit=6).problems[:4]
    scorer = exporters.Scorer("mmk12", {"split": "test", "limit": 6})
    assert len(rows) == 4
    for row, problem in zip(rows, problems, strict=True):
        shown = tuple(picture["bytes"] for picture in row.get("images") or ())
        assert shown == problem.images
        said = row["prompt"][0]["content"]
        tags = 0 if to == "trl" else problem.prompt.count("<image>")
        assert said.count("<image>") == tags
        key = {
            "trl": lambda row: row["key"],
            "verl": lambda row: row["extra_info"]["key"],
            "openrlhf": lambda row: row["label"].removeprefix("key:"),
        }[to](row)
        assert scorer.by_key(boxed(problem.answer), key).reward == 1.0


def test_no_rows_are_written_if_none_are_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["export", "env=math12k", "to=trl", "env.limit=5", "rows=0"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["math12k_trl.py"]


def test_an_unknown_trainer_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["export", "env=math12k", "to=elsewhere"]) == cli.USAGE
    assert "to=elsewhere is not one of openrlhf, trl, verl" in capsys.readouterr().err


def test_a_gold_answer_that_looks_like_a_key_is_a_gold_answer() -> None:
    """MathVerse's keys are whole numbers, and so are many of its answers."""
    scorer = exporters.Scorer("mmk12", {"split": "test", "limit": 5})
    scorer.row["35"] = 0
    assert scorer.by_label(boxed("35"), "35").reward == 1.0
    first = scorer.env.problems[0]
    assert scorer.by_label(boxed(first.answer), f"key:{first.key}").reward == 1.0


@pytest.mark.parametrize("ending", ["parquet", "jsonl", "json", "csv", "tsv", "jsonl.gz"])
@pytest.mark.parametrize("form", ["ours", "verl", "llava"])
def test_the_exported_reward_reads_the_formats_that_training_reads(
    ending: str, form: str, tmp_path: Path
) -> None:
    """One reader: the rows that a run would train on are the rows that are graded by key."""
    if form != "ours" and ending in ("csv", "tsv"):
        pytest.skip("nested columns have no place in a table of text")
    made = {
        "ours": {"problem": "1 + 1 = ?", "answer": "2"},
        "verl": {
            "prompt": [{"role": "user", "content": "1 + 1 = ?"}],
            "reward_model": {"ground_truth": "2", "style": "rule"},
        },
        "llava": {
            "conversations": [
                {"from": "human", "value": "1 + 1 = ?"},
                {"from": "gpt", "value": "2"},
            ]
        },
    }[form]
    rows = [{"id": f"r{i}", **made} for i in range(3)]
    write(tmp_path / f"train.{ending}", rows)
    options = {"data": str(tmp_path), "split": "train"}
    trained_on = environments.make("vision_r1", **options).problems
    reward = exporters.trl_reward("vision_r1", **options)
    keys = [problem.key for problem in trained_on]
    assert [p.prompt.startswith("1 + 1 = ?") for p in trained_on] == [True] * len(keys) != []
    assert reward(completions=[boxed("2")] * len(keys), key=keys) == [1.0] * len(keys)
    assert reward(completions=[boxed("3")], key=keys[:1]) == [0.0]


def write(file: Path, rows: list[dict[str, Any]]) -> None:
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    if file.suffix == ".parquet":
        table_files.write_parquet(file, rows)
    elif file.suffix == ".gz":
        file.write_bytes(gzip.compress(lines.encode()))
    elif file.suffix == ".json":
        file.write_text(json.dumps(rows))
    elif file.suffix == ".jsonl":
        file.write_text(lines)
    else:
        with file.open("w", newline="") as out:
            writer = csv.DictWriter(out, rows[0], delimiter="," if file.suffix == ".csv" else "\t")
            writer.writeheader()
            writer.writerows(rows)
