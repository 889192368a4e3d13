"""The command `check env=NAME`: its arguments and its output; exit code 1 if there are findings."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from mssr_rl import outward
from mssr_rl.check_env import audit, environment_laws, passport
from mssr_rl.check_env.law_trial import Violation, tried
from mssr_rl.config import plugins, registered_names
from mssr_rl.config.words import called, options_of, parse_words
from mssr_rl.data import overlap, row_faults
from mssr_rl.data.sources import SPLITS
from mssr_rl.envs import ProblemEnv, environments
from mssr_rl.errors import UserError
from mssr_rl.grading import workers
from mssr_rl.typed import COUNT, option

NO_LIMIT = 10**9  # tokens
SHOWN = 12  # findings of one law that are printed in full
STOPS = "; a run stops at that unless env.overlap=allow"


@dataclass(frozen=True, kw_only=True)
class EnvironmentWords:
    """The arguments of `check env=NAME`."""

    env: str = option("the environment that is checked")
    data: str | None = option("the file or folder with its rows; the same as env.data", None)
    split: str | None = option("train, val or test; null: the environment's default", None)
    limit: int | None = option("only the first rows; the same as env.limit", None, COUNT)
    options: Mapping[str, str] = options_of("env")
    plugins: tuple[str, ...] = option("modules that register environments", ())
    against: tuple[str, ...] = option(
        "find rows that are also in the test split of these environments; NAME:PLACE reads PLACE",
        (),
    )
    audit: bool = option("show where other verifiers disagree with ours", False)
    max_prompt_tokens: int | None = option("list prompts with more tokens", None, COUNT)
    model_path: str | None = called(
        "model.path",
        "check pictures and prompts by this model's rules; null: tiny, Qwen2.5-VL",
        None,
    )


def check_environment(words: list[str]) -> int:
    """Check the environment that the arguments name; return the exit code."""
    parsed = parse_words(EnvironmentWords, words)
    plugins.prepare(parsed.plugins)
    workers.warm()
    wrong, stops = 0, False
    for line in _report(parsed):
        wrong += _say(line)
        stops = stops or line.endswith(STOPS)
    result = f"{wrong} findings" if wrong else "sound"
    _say(result + (", but a run stops, because two splits share rows" if stops else ""))
    return 1 if wrong else 0


def made(asked: EnvironmentWords, split: str | None) -> ProblemEnv:
    """Return the environment that these arguments name, without rows that cannot be used.

    Raises:
        BadRows: no row can be used.
    """
    name, texts = asked.env, dict(asked.options)
    known = registered_names.options("env", name)
    for key, value in (("data", asked.data), ("limit", asked.limit)):
        if value is None:
            continue
        if key not in known:
            raise UserError(f"{key}= has no effect: env={name} has no option {key}; leave it out")
        texts[f"env.{key}"] = str(value)
    chosen = {
        **registered_names.choose("env", {"name": name}, texts).options,
        "bad_rows": "leave_out",
    }
    return environments.make(name, **chosen, **({"split": split} if split else {}))


def _report(asked: EnvironmentWords) -> Iterator[str]:
    """Yield the lines of the output; those that begin with FAIL are findings."""
    try:
        env = made(asked, asked.split)
    except row_faults.BadRows as bad:
        yield from _bad_rows(bad.rows)
        return
    yield from passport.lines(env)
    yield from (f"read          {note}" for note in env.notes)
    yield from _bad_rows(env.left_out)
    yield from _unfit(env, asked)
    for law in environment_laws.LAWS:
        trial = tried(partial(law, env))
        yield from _findings(trial.findings)
        if not trial.ended:
            return  # the checks below grade in this process, which could hang
    yield f"speed         {environment_laws.items_per_second(env):,.0f} responses a second"
    yield from _between_splits(env, asked)
    for other in asked.against:
        yield from _overlap(env, other, asked)
    if asked.audit:
        yield from audit.lines(audit.audit(env))


def _bad_rows(rows: Sequence[str]) -> Iterator[str]:
    yield from (f"FAIL row       {row}" for row in rows)


def _findings(findings: list[Violation]) -> Iterator[str]:
    for finding in findings[:SHOWN]:
        yield f"FAIL {finding.law}: {finding.says}"
    if len(findings) > SHOWN:
        yield f"FAIL {findings[0].law}: and {len(findings) - SHOWN} more"


def _between_splits(env: ProblemEnv, asked: EnvironmentWords) -> Iterator[str]:
    """Yield lines on the problems that the checked split shares with other splits.

    They are not findings, because a run can allow them with `env.overlap=allow`.
    """
    mine = asked.split or env.split
    problems = {mine: env.problems}
    for split in SPLITS:
        if split != mine and (other := _other_split(asked, split)):
            problems[split] = other.problems
    ordered = {split: problems[split] for split in SPLITS if split in problems}
    for shared in overlap.between(ordered):
        if mine in (shared.split, shared.other) and (shared.hits or shared.stands_in):
            stops = shared.too_many and env.handling.overlap == "stop"
            yield f"overlap       {shared.says}{STOPS if stops else ''}"


def _other_split(asked: EnvironmentWords, split: str) -> ProblemEnv | None:
    """Return another split of the same data; None if there is none or it cannot be read."""
    try:
        return made(replace(asked, limit=None), split)
    except UserError:
        return None


def _overlap(env: ProblemEnv, other: str, asked: EnvironmentWords) -> Iterator[str]:
    name, theirs = _against(other, asked)
    hits = overlap.alike(env.problems, theirs.problems)
    yield f"overlap       {len(hits)} of {len(env.problems)} rows occur in {name}'s test split"
    for hit in hits[:SHOWN]:
        yield f"FAIL overlap: {hit.ours} is {name}'s {hit.theirs}: {hit.why}"


def _against(word: str, asked: EnvironmentWords) -> tuple[str, ProblemEnv]:
    """Return the label and the test split of the environment of `against=NAME` or `NAME:PLACE`.

    Without a place it reads the user's own data, if they include that environment. It never
    generates data on its own. Raises `UserError` if there are no data.
    """
    name, colon, place = word.partition(":")
    if colon:
        return word, environments.make(name, split="test", data=place, bad_rows="leave_out")
    if name == asked.env:
        return name, made(asked, "test")
    registered_names.options("env", name)
    data = asked.data or asked.options.get("env.data", "")
    if (Path(data).expanduser() / name).is_dir() and data:
        return name, environments.make(name, split="test", data=data, bad_rows="leave_out")
    raise UserError(
        f"against={name} names no data: write against={name}:PLACE, where PLACE is a file, a folder"
        " or a hub id, real for the set itself, or drawn for generated rows in its format"
    )


def _unfit(env: ProblemEnv, asked: EnvironmentWords) -> Iterator[str]:
    """Yield lines on rows whose pictures or prompts the model of `model.path` cannot take."""
    from mssr_rl.models.load import Wanted, family_of_folder
    from mssr_rl.run import splits

    path, limit = asked.model_path or "tiny", asked.max_prompt_tokens
    family = family_of_folder(Wanted(path, max_prompt_tokens=limit or NO_LIMIT))
    pictures = splits.unfit_pictures(env.problems, family)
    yield from (f"FAIL row       {key}: {why}" for key, why in pictures.items())
    if limit is not None:
        shown = [problem for problem in env.problems if problem.key not in pictures]
        for _, why in splits.long_prompts(shown, family, limit):
            yield f"FAIL row       {why}"


def _say(line: str) -> bool:
    """Print a line with its line breaks escaped; return whether the line is a finding."""
    shown = outward.plain(line).replace("\n", "\\n")
    sys.stdout.write(f"{shown}\n")
    return line.startswith("FAIL")
