"""List the runs of a comparison: arms x environments x seeds.

    algo=grpo,mssr                 two arms
    algo=mssr algo.gamma=0.4,2.0   two arms of one algorithm: a comma sweeps a key
    mssr.gamma=0.4,2.0             the same, but only for the arms of mssr
    env=a,b                        every arm on both, compared on each

An arm is an algorithm together with one value for each swept key. Arms are compared with each
other. A run is one arm on one environment with one seed. `runner` starts the processes.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import NamedTuple

from mssr_rl.config import Config, keys, registered_names
from mssr_rl.config.compose import load
from mssr_rl.config.hydra_groups import defaults
from mssr_rl.errors import UserError
from mssr_rl.sweep.screening_design import screening
from mssr_rl.sweep.settings import Settings
from mssr_rl.typed import show

TAKEN = {
    "resume": "the same command takes up an interrupted comparison by itself",
    "runs_dir": "the runs lie in the comparison's folder; comparisons_dir= moves it",
}

LONGEST_SLUG = 70


class Arm(NamedTuple):
    """One arm of a comparison: all settings except environment and seed."""

    label: str  # "mssr gamma=2.0"
    slug: str  # the label as part of a folder's name
    words: tuple[str, ...]  # arguments key=value, without environment and seed
    group: str = ""  # the label without the keys that are swept: "mssr"
    swept: tuple[tuple[str, str], ...] = ()  # (key, value) of each swept key


class PlannedRun(NamedTuple):
    """One run of a comparison: an arm, an environment and a seed."""

    arm: Arm
    env: str
    seed: int
    config: Config

    def __hash__(self) -> int:
        return hash(self.name)  # a config holds mappings

    @property
    def name(self) -> str:
        """The name of the run's folder."""
        return f"{self.env}-{self.arm.slug}-s{self.seed}"

    @property
    def words(self) -> list[str]:
        """The command-line arguments of `train` for this run."""
        return [*self.arm.words, f"env={self.env}", f"seed={self.seed}"]


class Matrix(NamedTuple):
    """All arms, environments, seeds and runs of a comparison."""

    arms: tuple[Arm, ...]
    envs: tuple[str, ...]
    seeds: tuple[int, ...]
    runs: tuple[PlannedRun, ...]  # seed by seed, so that the first seeds can be compared early


def in_turn(runs: Iterable[PlannedRun]) -> list[PlannedRun]:
    """Return the runs in the order of their start: seed by seed, the longest runs of a seed first.

    Runs with small groups read the most problems and take longest. Short runs at the end keep the
    whole machine busy until all runs are finished.
    """
    return sorted(runs, key=lambda run: (run.seed, run.config.rollout.group_size or 1))


def spell_out(arguments: Mapping[str, str], settings: Settings, runs_dir: Path) -> Matrix:
    """Return every run of the comparison with its config. Raise `UserError` for wrong arguments."""
    for key, why in TAKEN.items():
        if key in arguments:
            raise UserError(f"{key} is not for compare: {why}")
    envs = _values(arguments.get("env", defaults()["env"]))
    arms = _arms(arguments, settings)
    first = _first_seed(arguments)
    seeds = tuple(range(first, first + settings.seeds))
    made = {(arm, env): load([*arm.words, f"env={env}"]) for arm in arms for env in envs}
    runs = tuple(
        _run(arm, env, seed, made[arm, env], runs_dir)
        for seed in seeds
        for env in envs
        for arm in arms
    )
    return Matrix(arms, envs, seeds, runs)


def _run(arm: Arm, env: str, seed: int, config: Config, runs_dir: Path) -> PlannedRun:
    run = PlannedRun(arm, env, seed, config)
    settled = replace(config, seed=seed, name=run.name, runs_dir=str(runs_dir))
    return run._replace(config=settled)


# ---- arms ----


def _arms(arguments: Mapping[str, str], settings: Settings) -> tuple[Arm, ...]:
    algos = _values(arguments.get("algo", defaults()["algo"]))
    _refuse_twins(algos)
    common = {key: text for key, text in arguments.items() if key not in ("algo", "env", "seed")}
    own = {algo: _own(algo, common) for algo in algos}
    for mine in own.values():
        common = {key: text for key, text in common.items() if key not in mine}
    made: dict[str, Arm] = {}
    for algo in algos:
        texts = common | {_translated(algo, key): text for key, text in own[algo].items()}
        shown = {_translated(algo, key) for key in own[algo]}
        arms = list(_swept(algo, texts, shown, settings.design))
        if settings.ablate == "all":
            arms += _ablations(algo, texts, shown)
        _refuse_twins([arm.label for arm in arms])
        made |= {arm.label: arm for arm in arms if arm.label not in made}
    _refuse_twins([arm.slug for arm in made.values()])
    return tuple(made.values())


def _own(algo: str, arguments: Mapping[str, str]) -> dict[str, str]:
    """Return the arguments for one algorithm only: those whose key begins with its name."""
    return {key: text for key, text in arguments.items() if key.startswith(f"{algo}.")}


def _translated(algo: str, key: str) -> str:
    """Return a key without its algorithm prefix.

    mssr.gamma becomes algo.gamma, and mssr.train.lr becomes train.lr.
    """
    rest = key.removeprefix(f"{algo}.")
    known = rest in keys.fixed_kinds() or rest.startswith(("algo.", "env."))
    return rest if known else f"algo.{rest}"


def _swept(
    algo: str, texts: Mapping[str, str], shown: set[str], design: str = "grid"
) -> Iterator[Arm]:
    """Yield one arm per combination of values; its label contains the values that differ.

    With `design="screening"` there are fewer combinations, with a number each.
    """
    # The names of log= are a list: each run gets them all.
    values = {k: (text,) if k == "log" else _values(text) for k, text in texts.items()}
    swept = [key for key in values if len(values[key]) > 1]
    if design == "screening":
        combinations = screening({key: values[key] for key in swept})
    else:
        combinations = [
            dict(zip(swept, some, strict=True)) for some in product(*(values[k] for k in swept))
        ]
    for number, some in enumerate(combinations, 1):
        chosen = {key: some.get(key, values[key][0]) for key in values}
        special = {key: chosen[key] for key in values if key in shown or key in swept}
        arm = _arm(algo, chosen, special)
        group = _label(algo, {key: special[key] for key in special if key not in swept})
        arm = arm._replace(group=group, swept=tuple(some.items()))
        if design == "screening":
            label = f"{group} cell {number:02}"
            arm = arm._replace(label=label, slug=_slug(label))
        yield arm


def _arm(algo: str, chosen: Mapping[str, str], special: Mapping[str, str]) -> Arm:
    label = _label(algo, special)
    words = (f"algo={algo}", *(f"{key}={value}" for key, value in chosen.items()))
    return Arm(label, _slug(label), words)


def _label(algo: str, special: Mapping[str, str]) -> str:
    return " ".join([algo, *(f"{k.removeprefix('algo.')}={v}" for k, v in special.items())])


def _slug(label: str) -> str:
    """Return a label in a form that can be part of a folder name.

    A long label is cut, and a hash keeps it unique.
    """
    slug = re.sub(r"[^A-Za-z0-9._+]+", "-", label).replace("+", "p").strip("-.")
    if len(slug) <= LONGEST_SLUG:
        return slug
    digest = hashlib.blake2b(label.encode(), digest_size=3).hexdigest()
    return f"{slug[: LONGEST_SLUG - 7]}-{digest}"


def _ablations(algo: str, texts: Mapping[str, str], shown: set[str]) -> Iterator[Arm]:
    """Yield the ablations that the algorithm declares; each arm leaves out one part of it.

    An ablation that equals another algorithm becomes an arm of that algorithm, with its name.
    """
    declared = registered_names.ablations(algo)
    if not declared:
        raise UserError(
            f"ablate=all: algo={algo} declares no parts that can be left out; {_with_ablations()}"
        )
    for name, changes in declared.items():
        if "algo" in changes:
            other = str(changes["algo"])
            kept = {key: text for key, text in texts.items() if _has(other, key)}
            yield from _swept(other, kept, shown & kept.keys())
        else:
            without = {f"algo.{key}": show(value) for key, value in changes.items()}
            for arm in _swept(algo, {**texts, **without}, shown - without.keys()):
                label = " ".join([algo, name, *arm.label.split()[1:]])
                yield arm._replace(label=label, slug=_slug(label), group=f"{algo} {name}")


def _has(algo: str, key: str) -> bool:
    option = key.removeprefix("algo.")
    return option == key or option in registered_names.options("algo", algo)


def _with_ablations() -> str:
    able = [
        name
        for name in registered_names.registry("algo").names()
        if registered_names.ablations(name)
    ]
    return f"these do: {', '.join(able)}" if able else "none does"


# ---- values ----


def _values(text: str) -> tuple[str, ...]:
    """Return the values of a text, split at commas outside of brackets and quotes."""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return (text,)
    parts, depth = [""], 0
    for char in text:
        depth += (char in "[(") - (char in "])")
        if char == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    if not all(part.strip() for part in parts):
        raise UserError(f"{text}: there is nothing between two of its commas, or at an end")
    return tuple(part.strip() for part in parts)


def _refuse_twins(labels: Sequence[str]) -> None:
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise UserError(f"the arm {twice[0]} is there twice; leave one out")


def _first_seed(arguments: Mapping[str, str]) -> int:
    text = arguments.get("seed", "0")
    if not text.isdecimal():
        raise UserError(
            f"seed={text}: compare takes one number, the first seed; seeds=K says how many"
        )
    return int(text)
