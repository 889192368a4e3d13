"""The three splits of a run: read once, and checked for overlap and against the model.

    read_splits(config)    train, val and test as environments, without rows that are left out
    said(splits)           lines about them for the person who starts the run
    data_record(splits)    the same for run.json

The checks run before an engine starts. They end the run if training rows are also val or test rows.
They also end it if the model cannot take a picture or a prompt.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from mssr_rl.config import Config
from mssr_rl.data import overlap, seen
from mssr_rl.data.row_faults import BadRows
from mssr_rl.envs import ProblemEnv, environments
from mssr_rl.envs.environment import OF_ALL
from mssr_rl.errors import RunFailed, UserError
from mssr_rl.models import model_folder
from mssr_rl.models.family import Family, PictureRule
from mssr_rl.models.load import Wanted, family_of_folder, wanted
from mssr_rl.problem import Problem
from mssr_rl.prompts import IMAGE
from mssr_rl.run import provenance
from mssr_rl.run.mishaps import place

NAMES = ("train", "val", "test")


class Splits(NamedTuple):
    """The training, validation and test problems of a run."""

    train: ProblemEnv
    val: ProblemEnv
    test: ProblemEnv
    overlaps: tuple[overlap.Shared, ...]  # between val and train, test and train, test and val


def read_splits(config: Config) -> Splits:
    """Read and return the splits of a run.

    Raises:
        BadRows: rows cannot be used or shown to the model, and the config does not leave them out.
        UserError: val or test rows are also training rows.
    """
    train, val, test = (environment(config, split) for split in NAMES)
    overlaps = held_apart(train, val, test)
    return Splits(train, val, test, overlaps)


def held_apart(train: ProblemEnv, val: ProblemEnv, test: ProblemEnv) -> tuple[overlap.Shared, ...]:
    """Return the problems that splits share, if the environment's options allow them.

    Raises:
        UserError: rows of val or test are also in train, or of test in val.
    """
    overlaps = overlap.between({env.split: env.problems for env in (train, val, test)})
    _refuse_overlap(overlaps, train.handling.overlap)
    return overlaps


def environment(config: Config, split: str) -> ProblemEnv:
    """Return one split of the config's environment, without rows that the model cannot take."""
    env = _made(config, split)
    if not (Path(model_folder(config.model.path)) / "config.json").is_file():
        return env  # a hub id: the engine checks it later
    try:
        family = _family(wanted(config, remember=False))
    except UserError:
        return env  # not a model: the engine reports the reason later
    env = _without(env, crowded(env.problems, config), "bad_rows")
    return without_unfit(env, family, config.rollout.max_prompt_tokens)


def _made(config: Config, split: str) -> ProblemEnv:
    name = config.env.name
    try:
        return environments.make(name, split=split, **config.env.options)
    except (UserError, RunFailed):
        raise
    except Exception as error:  # code of the user may raise anything
        raise UserError(
            f"env={name} raised while it made its {split} split: {type(error).__name__}: {error} "
            f"({place(error)}); correct it, or the row that it was reading"
        ) from error


def without_unfit(env: ProblemEnv, family: Family, longest: int) -> ProblemEnv:
    """Return the environment without rows whose picture or prompt the model cannot take.

    Raises:
        BadRows: there are such rows, and the options of the environment do not leave them out.
    """
    env = _without(env, unfit_pictures(env.problems, family), "bad_rows")
    return _without(env, dict(long_prompts(env.problems, family, longest)), "long_prompts")


def crowded(problems: Sequence[Problem], config: Config) -> dict[str, str]:
    """Return {key: reason} of rows with more pictures than the config lets vLLM accept."""
    if config.engine.name != "openrlhf" or config.rollout.sampler != "vllm":
        return {}
    most = config.cluster.pictures_per_prompt
    return {
        p.key: f"it has {len(p.images)} pictures, over cluster.pictures_per_prompt={most}"
        for p in problems
        if len(p.images) > most
    }


def unfit_pictures(problems: Sequence[Problem], family: Family) -> dict[str, str]:
    """Return {key: reason} of rows with a picture that the model cannot take."""
    rule = family.picture_rule()
    return {p.key: why for p in problems if (why := _unfit_picture(p, rule))}


def _without(env: ProblemEnv, unfit: Mapping[str, str], option: str) -> ProblemEnv:
    if not unfit:
        return env
    rows = [f"{env.split} row {key}: {why}" for key, why in unfit.items()]
    if getattr(env.handling, option) == "stop":
        raise BadRows(rows, f"; env.{option}=leave_out continues without them")
    kept = tuple(problem for problem in env.problems if problem.key not in unfit)
    if not kept:
        raise BadRows(rows, f"; no row of {env.split} is left")
    env.problems = kept
    env.left_out = (*env.left_out, *rows)
    return env


@lru_cache(maxsize=2)
def _family(model: Wanted) -> Family:
    return family_of_folder(model)


def _unfit_picture(problem: Problem, rule: PictureRule) -> str | None:
    for content in problem.images:
        try:
            why = rule(*seen.size(content))
        except (ValueError, OSError) as error:
            return f"its picture cannot be used, {error}"
        if why:
            return f"the model cannot take its picture, {why}"
    return None


def long_prompts(
    problems: Sequence[Problem], family: Family, longest: int
) -> Iterator[tuple[str, str]]:
    """Yield (key, reason) of prompts that are over the model's limit.

    An upper bound on their tokens shows that most prompts fit, without a run of the processor. A
    token has at least one byte, and pictures of the same size take the same number of tokens.
    Prompts with special tokens are always processed.
    """
    taken: dict[tuple[int, int], int] = {}  # picture size -> tokens
    signs = tuple(family.tokenizer.all_special_tokens)  # one of them may mean a picture
    template: int | None = None  # tokens of the chat template, at most
    for problem in problems:
        try:
            sizes = [seen.size(content) for content in problem.images]
            for size, content in zip(sizes, problem.images, strict=True):
                if size not in taken:
                    alone = Problem(key=problem.key, prompt=IMAGE, answer="", images=(content,))
                    taken[size] = family.block([alone], "cpu").image_tokens
            if template is None:
                template = family.length(Problem(key=problem.key, prompt="?", answer=""))
            shown = [text for example in problem.examples for text in example]
            # A turn costs at most what a whole conversation's frame does.
            frames = template * (1 + 2 * len(problem.examples))
            texts = "".join((problem.prompt, *shown))
            most = frames + len(texts.encode("utf-8", "replace"))
            odd = any(sign in texts for sign in signs)
            if odd or most + sum(taken[size] for size in sizes) > longest:
                family.length(problem)
        except UserError as error:
            yield problem.key, str(error)


def _refuse_overlap(overlaps: Sequence[overlap.Shared], handling: str) -> None:
    """Raise `UserError` if rows of val or test are also in train, or rows of test also in val."""
    stopping = [shared.says for shared in overlaps if shared.too_many]
    if stopping and handling == "stop":
        raise UserError(
            f"{'; '.join(stopping)}. A problem must be in one split only: take the rows out of one "
            "of the two, or set env.overlap=allow, and every report will say so"
        )


def shown_options(config: Config) -> dict[str, Any]:
    """Return the environment's options, except common options that have their default value."""
    usual = environments.options(config.env.name)
    options = config.env.options.items()
    return {k: v for k, v in options if k not in OF_ALL or v != usual[k].default}


def lines(splits: Splits) -> list[str]:
    """Return lines about the rows: how they were read, which are left out, which are shared."""
    shared = overlap_lines(splits.overlaps)
    return [*lines_of_rows(splits[:3]), *(f"overlap {line}" for line in shared)]


def lines_of_rows(envs: Sequence[ProblemEnv]) -> list[str]:
    """Return lines about the rows of environments: how they were read, and which are left out."""
    notes = dict.fromkeys(note for env in envs for note in env.notes)
    return [*(f"read    {note}" for note in notes), *(f"left out {one}" for one in _left_out(envs))]


def _left_out(envs: Sequence[ProblemEnv]) -> Iterator[str]:
    for env in envs:
        if env.left_out:
            yield f"{len(env.left_out):,} rows of {env.split}, the first: {env.left_out[0]}"


def overlap_lines(overlaps: Sequence[overlap.Shared]) -> list[str]:
    """Return sentences about the rows that several splits share."""
    some = [shared.says for shared in overlaps if shared.hits or shared.stands_in]
    return some or ["no problem of val or test is in train, nor one of test in val"]


def data_record(splits: Splits) -> dict[str, Any]:
    """Return the entries `data` and `overlap` of run.json."""
    return {
        "data": {
            env.split: {
                "problems": len(env.problems),
                "fingerprint": env.fingerprint(),
                "keys": provenance.order_fingerprint(problem.key for problem in env.problems),
                **({"left_out": len(env.left_out)} if env.left_out else {}),
            }
            for env in (splits.train, splits.val, splits.test)
        },
        "overlap": [
            {**overlap.overlap_record(shared), "stops": shared.too_many}
            for shared in splits.overlaps
        ],
    }
