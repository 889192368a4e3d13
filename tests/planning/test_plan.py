"""The plan's sentences, and that the run then does what they say."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssr_rl.algos import algorithms
from mssr_rl.config import Config
from mssr_rl.config.compose import load
from mssr_rl.errors import UserError
from mssr_rl.planning import memory, plan, prompt_sizes
from mssr_rl.run.arm import initial_rollouts
from mssr_rl.run.splits import environment
from mssr_rl.run.trainer import run


def said(*words: str) -> dict[str, str]:
    """{subject: sentence} of a plan on few problems."""
    lines = plan.words(load([*words, "env.limit=64"]))
    return {line[:12].strip(): line[13:] for line in lines}


def test_the_laptop_run_in_words() -> None:
    words = said("algo=mssr")
    assert words["model"] == "tiny: qwen2_5_vl of 1.0 M parameters"
    assert words["a step"] == "256 problems × 1 answer = 256 rollouts; 4 updates of 64"
    assert words["the run"] == (
        "120 steps = 30,720 rollouts, 480 updates; every problem is posed 480.0 times"
    )
    assert words["evaluation"] == (
        "5 × 64 val problems, then 64 test problems; 1 greedy and 4 sampled answers each: "
        "1,920 rollouts, not charged to the budget"
    )
    assert (
        words["checkpoints"] == "every 30 steps and at the end; the newest 2 and the best are kept"
    )
    assert "64 train, 64 val, 64 test" in words["problems"]
    assert words["engine"] == "local on cpu, 2 threads, float32"


def test_groups_passes_and_a_remainder_are_said() -> None:
    words = said("algo=grpo", "train.epochs=2", "budget.rollouts=1000")
    assert words["a step"] == (
        "32 problems × 8 answers = 256 rollouts; 8 updates of 64 (2 passes over the rollouts)"
    )
    assert words["the run"].startswith("3 steps = 768 rollouts, 24 updates")
    assert words["the run"].endswith("232 of the budget stay unspent")


def test_evaluation_and_checkpoints_at_the_end_only() -> None:
    words = said("eval.every=0", "checkpoint.every=0", "checkpoint.keep=1")
    assert words["evaluation"].startswith("2 × ")
    assert words["checkpoints"] == "at the end; the newest 1 and the best are kept"


@pytest.mark.slow
def test_every_option_of_the_algorithm_is_in_the_plan() -> None:
    options = load(["algo=mssr"]).algo.options
    assert all(f"{name}=" in said("algo=mssr")["algorithm"] for name in options)


@pytest.mark.slow
@given(steps=st.integers(1, 50), left=st.integers(0, 255), every=st.integers(0, 60))
def test_steps_and_what_is_left_make_up_the_budget(steps: int, left: int, every: int) -> None:
    config = load([f"budget.rollouts={256 * steps + left}", f"eval.every={every}"])
    found = plan.schedule(config)
    assert (found.steps, found.left) == (steps, left)
    due = {s for s in range(steps + 1) if s in (0, steps) or (every and s % every == 0)}
    assert found.evaluations == len(due)


@pytest.mark.parametrize("algo", ["grpo", "mvsr_released"])
def test_the_run_spends_what_the_plan_said(
    algo: str, configure: Callable[..., Config], make_engine: Callable[[Config], Any]
) -> None:
    config = configure(f"algo={algo}", "budget.rollouts=200", "train.epochs=2")
    made, train = algorithms.make(algo), len(environment(config, "train").problems)
    planned = plan.schedule(config, initial_rollouts(made, train))
    folder = run(config, make_engine)
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    spent = json.loads(lines[-1])
    assert len(lines) == planned.steps
    assert spent["budget/rollouts"] == config.budget.rollouts - planned.left
    assert spent["budget/prompts"] == planned.posed(train)
    assert spent["budget/updates"] == planned.steps * planned.updates_per_step
    evaluated = [json.loads(line) for line in (folder / "eval.jsonl").read_text().splitlines()]
    assert sum(entry["split"] == "val" for entry in evaluated) == planned.evaluations


# ---- prompts ----


def test_the_longest_prompt_of_the_plan_is_as_long_as_a_run_may_have_it() -> None:
    config = load(["env.limit=64"])
    problems = plan.problems_by_split(config)["train"]
    sizes = prompt_sizes.measure(config, problems)
    assert sizes is not None
    assert sizes.shortest <= sizes.median <= sizes.longest
    assert sizes.image_median == sizes.image_longest == 9  # 96 pixels in tokens of 32
    assert (sizes.measured, sizes.problems) == (64, 64)
    just_enough = load(["env.limit=64", f"rollout.max_prompt_tokens={sizes.longest}"])
    assert prompt_sizes.measure(just_enough, problems) == sizes
    too_few = load(["env.limit=64", f"rollout.max_prompt_tokens={sizes.longest - 1}"])
    with pytest.raises(UserError, match="raise it or drop the problem"):
        prompt_sizes.measure(too_few, problems)


# ---- memory ----


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model folder of which only the outside exists: 1,000 × 50 + 10 numbers."""
    header = {
        "__metadata__": {"format": "pt"},
        "a": {"dtype": "F32", "shape": [1000, 50], "data_offsets": [0, 200000]},
        "b": {"dtype": "F32", "shape": [10], "data_offsets": [200000, 200040]},
    }
    text = json.dumps(header).encode()
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text)
    sizes = {"num_hidden_layers": 2, "hidden_size": 50, "vocab_size": 1000}
    config = {"model_type": "some_vl", "text_config": sizes}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return tmp_path


def test_a_model_is_measured_without_loading_it(model: Path) -> None:
    assert memory.shape(model) == memory.ModelShape("some_vl", 50_010, 2, 50, 1000)


def test_weights_and_optimiser_are_counted_exactly(model: Path) -> None:
    parts = memory.parts(load(), memory.shape(model), 100)
    assert parts.weights == 2 * 4 * 50_010
    assert parts.optimiser == (3 + 2) * 4 * 50_010  # two threads
    halved = memory.parts(load(["engine.dtype=bfloat16"]), memory.shape(model), 100)
    assert halved.weights == parts.weights / 2
    # AdamW's two, the gradient and the weights' copy in float32; two gradients in bfloat16
    assert halved.optimiser == (4 * 4 + 2 * 2) * 50_010


def test_longer_answers_and_larger_micro_batches_cost_more(model: Path) -> None:
    def update(*words: str) -> float:
        return memory.parts(load(words), memory.shape(model), 100).update

    assert update("rollout.max_response_tokens=128") > update()
    assert update("train.micro_batch=64") == 2 * update()
    assert update("engine.threads=4") == 2 * update()


def test_memory_options_show_in_the_plan() -> None:
    """4,096 tokens of a 3B: all logits would take 11.6 GB in float32, 220 tokens' take 0.6."""
    large = memory.ModelShape("qwen2_5_vl", *memory.PUBLISHED["Qwen/Qwen2.5-VL-3B-Instruct"])
    words = [
        "algo=mssr",
        "engine.device=cuda",
        "engine.dtype=bfloat16",
        "train.micro_batch=1",
        "rollout.max_response_tokens=4096",
    ]

    def logits(*more: str) -> float:
        return memory.logit_bytes(load([*words, *more]), large, 4096) / memory.GIB

    assert logits("engine.logit_tokens=4096") == pytest.approx(11.6, abs=0.05)
    assert logits() == pytest.approx(0.62, abs=0.01)

    def update(*more: str) -> float:
        return memory.update_bytes(load([*words, *more]), large, 1, 100)

    assert update("engine.checkpointing=true") < update() / 4


def test_a_pass_on_a_gpu_holds_whole_groups_unless_it_is_bounded_by_tokens() -> None:
    words = ["algo=grpo", "engine.device=cuda", "train.micro_batch=1"]
    assert memory.block(load(words), 100) == 8
    assert memory.block(load([*words, "train.micro_tokens=300"]), 100) == 3


def test_a_model_that_is_not_here_is_marked(tmp_path: Path) -> None:
    config = load([f"model.path={tmp_path / 'none'}"])
    assert memory.describe(config.model.path).endswith("none: not on this machine")
    assert prompt_sizes.measure(config, ()) is None
    assert "at most 1,024 tokens" in prompt_sizes.sentence(None, 1024)
    assert memory.estimate(config, 100) == "unknown: the model is not on this machine"


def test_a_folder_that_holds_no_language_model_is_refused(model: Path) -> None:
    (model / "config.json").write_text('{"model_type": "x"}', encoding="utf-8")
    with pytest.raises(UserError, match="model type `x`"):
        memory.shape(model)


def test_a_bound_on_updates_is_part_of_the_plan() -> None:
    config = load(["algo=grpo", "budget.rollouts=1024", "budget.updates=11"])
    planned = plan.schedule(config)
    assert (planned.steps, planned.left) == (2, 512)
    with pytest.raises(UserError, match=r"budget\.updates=3 is less than one step"):
        load(["algo=grpo", "budget.updates=3"])
