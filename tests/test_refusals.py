"""What is said to a command line that cannot be meant: the sentences themselves."""

import pytest
from omegaconf import OmegaConf

from mssr_rl.algos import algorithms
from mssr_rl.config import keys
from mssr_rl.config.compose import load
from mssr_rl.errors import UserError

REFUSALS = {
    # names
    "algo=mssrr": "no algorithm 'mssrr'; did you mean 'mssr'?",
    "env=vison_r1": "no environment 'vison_r1'; did you mean 'vision_r1'?",
    "recipe=laptp": "no recipe 'laptp'; did you mean 'laptop'?",
    "engine=locl": "no engine 'locl'; did you mean 'local'?",
    "model=checkpoints": "no model 'checkpoints' in configs/model; for a folder write "
    "model.path=checkpoints",
    "algo=group_norm": "no algorithm 'group_norm'; did you mean 'grpo'?",
    "algo=mssr,grpo": "algo=mssr,grpo: one run takes one algo; compare algo=mssr,grpo trains "
    "a run with each, or start them one by one",
    "algo=[mssr]": "algo=[mssr] is not a name; names have letters, digits and _ - . +",
    # keys
    "sed=1": "unknown key sed; did you mean seed?",
    "lr=1": "unknown key lr; did you mean train.lr?",
    "training.lr=1": "unknown key training.lr; did you mean train.lr?",
    "train.zzz=1": "unknown key train.zzz; --help shows the keys",
    "train=3": "train is a section; write train.option=value",
    "env.split=test": (
        "env=vision_r1 has no option split; its options: data, instruction, limit, reward, "
        "blind, columns, families, levels, scene, bad_rows, long_prompts, overlap, format, shots, "
        "train_limit, reward_flip, picture_noise"
    ),
    "algo.gama=1": "algo=mssr has no option gama; did you mean algo.gamma?",
    "algo.std=sample": "algo=mssr has no option std; it is an option of cispo, clip_cov, dapo, "
    "ea_grpo, gmpo, grpo, gspo, kl_cov, sapo",
    "gamma=2": "unknown key gamma; write an algorithm's option as algo.gamma, an environment's "
    "as env.gamma",
    "hydra.job.name=x": "unknown key hydra.job.name; did you mean name?",
    # values
    "seed=abc": "seed=abc is not a whole number",
    "seed=1.5": "seed=1.5 is not a whole number",
    "seed=true": "seed=true is not a whole number",
    "seed=null": "seed=null is not a whole number",
    "seed=-1": "seed=-1 must be at least 0 and below 2^63",
    "train.lr=fast": "train.lr=fast is not a number",
    "train.lr=0": "train.lr=0 must be above 0",
    "train.lr=nan": "train.lr=nan is not a number",
    "train.beta1=1": "train.beta1=1 must be at least 0 and below 1",
    "rollout.top_p=1.1": "rollout.top_p=1.1 must be above 0 and at most 1",
    "rollout.group_size=0": "rollout.group_size=0 must be at least 1",
    "budget.rollouts=-5": "budget.rollouts=-5 must be at least 1",
    "engine.dtype=float64": "engine.dtype=float64 is not one of float32, bfloat16",
    "resume=yes_please": "resume=yes_please is not true or false",
    "plugins=[mine": "plugins=[mine has only one bracket; a list is written [a,b]",
    "algo.gamma=abc": "algo.gamma=abc is not a number",
    "env.limit=many": "env.limit=many is not a whole number or null",
    # shape
    "seed": "seed is not key=value; --help shows the keys",
    "--seed=1": "--seed=1 is not understood: options are written key=value, without dashes",
    "+seed=1": "+seed=1 is not understood: write seed=1; keys cannot be added or removed",
    "~seed=1": "~seed=1 is not understood: write seed=1; keys cannot be added or removed",
    "=1": "'=1' has no key directly before the equals sign; write key=value",
    "seed =1": "'seed =1' has no key directly before the equals sign; write key=value",
    "seed=": "seed= has no value; write seed=value, or seed=null for none",
    "name={x}": "name={x}: braces are not allowed; a list is written [a,b]",
    "train.lr=${seed}": "train.lr=${seed}: braces are not allowed; a list is written [a,b]",
    "seed=[1": "seed=[1 cannot be read; check its brackets and quotes",
    "seed=1,2": "seed=1,2: one run takes one value; a list is written [a,b]",
    "seed=range(1,3)": "seed=range(1,3): one run takes one value; a list is written [a,b]",
    "seed=[1,2]": "seed=[1,2] is not a whole number",
    "budget.gpu_seconds=9": (
        "budget.gpu_seconds has no effect on engine.device=cpu; use budget.seconds"
    ),
}


def message(*words: str) -> str:
    with pytest.raises(UserError) as caught:
        load(words)
    return str(caught.value)


@pytest.mark.parametrize("word", REFUSALS)
def test_a_word_that_cannot_be_meant_gets_one_sentence(word: str) -> None:
    assert message(word) == REFUSALS[word]


def test_an_option_out_of_bounds_is_refused_with_the_rest_of_the_config() -> None:
    assert "gamma=-1.0 must be above 0" in message("algo.gamma=-1")


def test_a_word_given_twice_is_refused() -> None:
    assert message("seed=1", "seed=2") == "seed is given twice, as 1 and as 2; leave one out"


# ---- words of other frameworks ----


@pytest.mark.parametrize(
    ("habit", "ours"),
    {
        "rollout.n": "rollout.group_size",
        "worker.rollout.n": "rollout.group_size",
        "n_samples_per_prompt": "rollout.group_size",
        "num_generations": "rollout.group_size",
        "data.rollout_batch_size": "train.rollouts_per_step",
        "train_batch_size": "train.rollouts_per_step",
        "worker.actor.global_batch_size": "train.samples_per_update",
        "ppo_mini_batch_size": "train.samples_per_update",
        "algorithm.adv_estimator": "algo",
        "algo.advantage.estimator": "algo",
        "trainer.max_steps": "budget.rollouts",
        "trainer.total_epochs": "budget.rollouts",
        "trainer.experiment_name": "name",
        "import_modules": "plugins",
        "custom_reward_function": "plugins and env",
        "mvsr_rho_min": "algo.eta_min",
        "mvsr_target_kl": "algo.kl_target",
        "algorithm.entropy_kappa": "algo.gamma",
        "algorithm.entropy_alpha": "algo.lam",
    }.items(),
)
def test_a_key_of_another_framework_is_translated(habit: str, ours: str) -> None:
    assert f"did you mean {ours}" in message(f"{habit}=1")


def test_every_translation_leads_to_something_that_exists() -> None:
    habits = OmegaConf.to_container(OmegaConf.load(keys.CONFIGS / "habits.yaml"))
    assert isinstance(habits, dict)
    options = {f"algo.{o}" for name in algorithms.names() for o in algorithms.options(name)}
    known = {*keys.fixed_kinds(), *keys.GROUPS, *options}
    targets = [str(target).partition(" (")[0] for target in habits["keys"].values()]
    assert {word for target in targets for word in target.split(" and ")} <= known
    assert set(habits["names"]["algo"].values()) <= set(algorithms.names())


# ---- numbers that clash ----


@pytest.mark.parametrize(
    ("words", "both"),
    [
        (["algo=grpo", "rollout.group_size=7"], ("rollouts_per_step=256", "group_size=7")),
        (
            ["algo=grpo", "train.samples_per_update=4"],
            ("samples_per_update=4", "group_size=8"),
        ),
        (["train.samples_per_update=100"], ("rollouts_per_step=256", "samples_per_update=100")),
        (["budget.rollouts=100"], ("budget.rollouts=100", "rollouts_per_step=256")),
        (["algo=grpo", "rollout.group_size=1"], ("group_size=1", "at least 2")),
    ],
)
def test_numbers_that_clash_are_both_named(words: list[str], both: tuple[str, str]) -> None:
    said = message(*words)
    assert all(part in said for part in both), said


def test_who_needs_a_group_is_told_who_does_not() -> None:
    said = message("algo=rloo", "rollout.group_size=1")
    offered = said.rpartition(": ")[2].split(", ")
    assert offered == [n for n in algorithms.names() if algorithms.make(n).min_group_size == 1]


def test_the_nearest_sizes_that_would_do_are_offered() -> None:
    said = message("algo=grpo", "rollout.group_size=7", "train.samples_per_update=64")
    assert "252 or 259 would be" in said
