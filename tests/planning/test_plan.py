"""The plan's sentences, and that the run then does what they say."""

import importlib.util
import json
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
from mssr_rl.models import TINY, bounds
from mssr_rl.planning import cluster, memory, plan, prompt_sizes
from mssr_rl.planning.dry_run import StepMemory
from mssr_rl.planning.published import PUBLISHED
from mssr_rl.run.arm import initial_rollouts
from mssr_rl.run.splits import environment
from mssr_rl.run.trainer import run

TWINS = Path(__file__).parents[1] / "models" / "twins.py"


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


def needed(*words: str, prompts: Any = None) -> memory.MemoryParts:
    return memory.need(load(["algo=grpo", *words]), prompts).parts


def parameters() -> int:
    return sum(map(bounds.parameters, sorted(TINY.glob("*.safetensors"))))


@pytest.mark.slow
def test_weights_and_optimiser_are_counted_exactly() -> None:
    n, buffers = parameters(), 1000  # a few numbers of rotary positions
    full, half = needed(), needed("engine.dtype=bfloat16")
    assert full.weights == pytest.approx(2 * 4 * n, abs=2 * 4 * buffers)
    assert full.optimiser == (8 + 4) * n  # AdamW's two moments, the sum of gradients
    assert half.weights == pytest.approx(2 * 2 * n, abs=2 * 4 * buffers)
    assert half.optimiser == (4 + 8 + 4) * n  # and the float32 copy
    adapted = needed("engine.lora_rank=4")
    assert adapted.optimiser < full.optimiser / 5
    assert adapted.weights < 0.6 * full.weights  # no second copy of the model


@pytest.mark.slow
def test_every_option_of_memory_changes_the_plan_as_it_should() -> None:
    usual = needed("engine.device=cuda")
    for words in (
        "engine.checkpointing=true",
        "engine.lora_rank=4",
        "train.micro_tokens=200",
        "engine.dtype=bfloat16",
    ):
        assert needed("engine.device=cuda", words).update < usual.update, words
    away = needed("engine.device=cuda", "engine.optimiser_offload=true")
    assert away.optimiser == 0
    frozen = needed("engine.device=cuda", "engine.reference_offload=true")
    assert frozen.weights == usual.weights / 2
    assert frozen.others > usual.others  # it is on the device while it scores
    assert needed("engine.threads=4").update == 2 * needed().update


@pytest.fixture
def narrow(tmp_path: Path) -> Path:
    """A folder with nothing but the config.json of two layers of Qwen2.5-VL-3B."""
    config = json.loads(json.dumps(PUBLISHED["Qwen/Qwen2.5-VL-3B-Instruct"]))
    config["text_config"]["num_hidden_layers"] = 2
    config["vision_config"] |= {"depth": 2, "fullatt_block_indexes": [1]}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return tmp_path


LARGE = ("engine.device=cuda", "engine.dtype=bfloat16", "train.micro_batch=1")
LONG = ("rollout.max_prompt_tokens=512", "rollout.max_response_tokens=4096")


@pytest.mark.slow
def test_a_plan_from_a_config_alone_counts_logits_that_exist_at_once(narrow: Path) -> None:
    """All logits of 4,096 tokens take 11.6 GB in training, and other memory is free then."""
    words = (*LARGE, *LONG, f"model.path={narrow}", "train.micro_tokens=4608")
    few, all_at_once = needed(*words), needed(*words, "engine.logit_tokens=4096")
    assert (all_at_once.update - few.update) / memory.GIB == pytest.approx(8.5, abs=0.5)
    lines = said("algo=grpo", *words)
    assert "512 tokens, 448 of them pictures" in lines["assumed"]
    assert "1.00 GB for CUDA and 5%" in lines["assumed"]
    assert lines["prompts"].startswith("not measured")


@pytest.mark.slow
def test_a_run_that_does_not_fit_is_refused_with_what_makes_it_fit(narrow: Path) -> None:
    words = (*LARGE, *LONG, f"model.path={narrow}", "algo=grpo")
    with pytest.raises(UserError, match=r"needs about .* on cuda, which has 14.00 GB; with ") as no:
        said(*words, "engine.memory_gb=14")
    advice = str(no.value).partition("; with ")[2].removesuffix(" it fits")
    assert "stay free" in said(*words, "engine.memory_gb=14", *advice.split())["memory"]
    with pytest.raises(UserError, match="does not fit with any option of memory"):
        said(*words, "engine.memory_gb=1")


@pytest.mark.parametrize("recipe", ["one_gpu_24gb", "one_gpu_80gb"])
def test_a_recipe_for_one_gpu_names_its_memory(recipe: str) -> None:
    config = load([f"recipe={recipe}", "algo=grpo"])
    assert memory.device_bytes(config) == float(recipe[8:10]) * memory.GIB
    assert memory.config_of(config.model.path)["model_type"] == "qwen2_5_vl"


def test_a_pass_on_a_gpu_holds_whole_groups_unless_it_is_bounded_by_tokens() -> None:
    words = ["algo=grpo", "engine.device=cuda", "train.micro_batch=1"]
    assert memory.block(load(words), 100) == 8
    assert memory.block(load([*words, "train.micro_tokens=300"]), 100) == 3


def test_parts_of_a_gpu_under_zero_add_up_by_hand() -> None:
    """1,000 weights in bfloat16, 400 trained, on four ranks; the embedding has 640 x 128."""
    step = StepMemory(
        weights=2000, trained=400, masters=1600, sampling=0, scoring=0, update=77, saving=0
    )
    ranks = ["engine=openrlhf", "engine.dtype=bfloat16", "engine.device=cuda"]
    ranks += ["cluster.gpus_per_node=4", "cluster.rollout_engines=4"]
    expected = {
        0: (2000, 800, 4800, 2000, 77, 0),
        1: (2000, 800, 1200, 2000, 77, 0),
        2: (2000, 200, 1200, 2000, 77, 0),
        3: (500, 200, 1200, 500, 77, 2 * 640 * 128),
    }
    for stage, parts in expected.items():
        found = cluster.per_gpu(load([*ranks, f"cluster.zero_stage={stage}"]), step)
        assert tuple(found) == parts
        assert found.total == sum(parts)
    away = load([*ranks, "cluster.optimiser_offload=true"])
    assert cluster.per_gpu(away, step).optimiser == 0


def test_a_model_that_is_not_here_is_marked(tmp_path: Path) -> None:
    config = load([f"model.path={tmp_path / 'none'}"])
    assert memory.describe(config.model.path).endswith("none: not on this machine")
    assert prompt_sizes.measure(config, ()) is None
    assert "at most 1,024 tokens" in prompt_sizes.sentence(None, 1024)
    unknown = "unknown: the model's config.json is not on this machine"
    assert memory.estimate(config, None) == {"memory": unknown}


def test_a_folder_that_holds_no_language_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "x"}', encoding="utf-8")
    with pytest.raises(UserError, match="model type `x`"):
        memory.describe(str(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["qwen2", "gemma2", "qwen3_vl", "gemma3"])
def test_other_families_are_planned_from_their_config(kind: str, tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("twins", TWINS)
    assert spec is not None
    assert spec.loader is not None
    twins = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(twins)
    folder = twins.write(kind, tmp_path)
    parts = needed(f"model.path={folder}")
    n = sum(map(bounds.parameters, sorted(folder.glob("*.safetensors"))))
    assert parts.weights == pytest.approx(8 * n, rel=0.05)
    assert parts.update > 4 * n


def test_a_bound_on_updates_is_part_of_the_plan() -> None:
    config = load(["algo=grpo", "budget.rollouts=1024", "budget.updates=11"])
    planned = plan.schedule(config)
    assert (planned.steps, planned.left) == (2, 512)
    with pytest.raises(UserError, match=r"budget\.updates=3 is less than one step"):
        load(["algo=grpo", "budget.updates=3"])
