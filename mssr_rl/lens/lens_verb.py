"""Print the advantages of several algorithms on the same rollouts: `python -m mssr_rl lens`.

    lens FILE.jsonl algo=NAME [algo.option=value ...]       one object a line, for one algorithm
    lens FILE.jsonl algo=a,b,c                              {"a": {...}, "b": {...}, "c": {...}}
    lens run=DIR [algo=a,b,c] [step=N]                      the same, and DIR/lens.html to read

Numbers are written to stdout, messages to stderr. With `run=`, the batch is the run's newest
recorded one, and the run's algorithm has the run's options. Another algorithm may have a state of
the same shape as the run's. Then it starts from the run's state before that step.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mssr_rl.algos import Algorithm, algorithms
from mssr_rl.config import plugins, registered_names
from mssr_rl.config.words import file_name, options_of, parse_words
from mssr_rl.errors import UserError
from mssr_rl.lens import lens_page, runs, step_view
from mssr_rl.lens.lines import Recording, open_recording
from mssr_rl.outward import plain
from mssr_rl.typed import COUNT_OR_NONE_AT_ALL, option


@dataclass(frozen=True, kw_only=True)
class LensFileWords:
    """The arguments of `lens FILE`."""

    file: str = file_name("recorded batches, one training step a line (docs/algorithms.md)")
    algo: tuple[str, ...] = option("one or more algorithms, e.g. grpo,mssr")
    options: Mapping[str, str] = options_of("algo")
    plugins: tuple[str, ...] = option("modules that register algorithms", ())


@dataclass(frozen=True, kw_only=True)
class LensRunWords:
    """The arguments of `lens run=FOLDER`."""

    run: str = option("the folder of a run that kept batches (lens.every)")
    algo: tuple[str, ...] = option("one or more algorithms; left out: the run's own", ())
    step: int | None = option("the recorded step to use; null: newest", None, COUNT_OR_NONE_AT_ALL)
    options: Mapping[str, str] = options_of("algo")
    plugins: tuple[str, ...] = option("modules that register algorithms", ())


def look_at_file(arguments: Sequence[str]) -> int:
    """Print the advantages of every named algorithm on the batches of a file; return 0."""
    parsed = parse_words(LensFileWords, arguments)
    plugins.prepare(parsed.plugins)
    recording = open_recording(Path(parsed.file))
    chosen = {name: _made(name, {}, parsed.options) for name in _once(parsed.algo)}
    states = {name: step_view.first_look(made, recording) for name, made in chosen.items()}
    _refuse_stray_options(parsed.options, list(chosen))
    return _print(recording, chosen, states)


def look_at_run(arguments: Sequence[str]) -> int:
    """Write lens.html for a run's recorded batch, and print the advantages; return 0.

    On a terminal the advantages are not printed.
    """
    parsed = parse_words(LensRunWords, arguments)
    plugins.prepare(parsed.plugins)
    run = runs.open_run(Path(parsed.run), parsed.step)
    chosen = {
        name: _made(name, run.options if name == run.algo else {}, parsed.options)
        for name in _once(parsed.algo or (run.algo,))
    }
    _refuse_stray_options(parsed.options, list(chosen))
    _refuse_too_large_groups(run, chosen)
    looks = runs.look(run, chosen)
    written = lens_page.write(run, looks)
    _say(f"lens    {written}")
    if sys.stdout.isatty():  # the numbers are for a file or another program
        return 0
    states = {name: look.before for name, look in looks.items()}
    return _print(run.recording, chosen, states)


def _print(recording: Recording, chosen: Mapping[str, Algorithm], states: Mapping[str, Any]) -> int:
    """Print one JSON object per step; return 0.

    For several algorithms, the object is {algorithm: its result}. `states` is {algorithm: its state
    before the first step}.
    """
    met: dict[str, None] = {}
    memory = dict(states)
    for line in recording.lines():
        met |= dict.fromkeys(line.problems)
        sys.stdout.write("{" if len(chosen) > 1 else "")
        for place, (name, algorithm) in enumerate(chosen.items()):
            seen = step_view.look(algorithm, line, memory[name])
            memory[name] = seen.state
            text = json.dumps(step_view.as_record(seen, line, met, recording.row_of))
            before = f"{', ' if place else ''}{json.dumps(name)}: " if len(chosen) > 1 else ""
            sys.stdout.write(before + text)
        sys.stdout.write("}\n" if len(chosen) > 1 else "\n")
    return 0


def _once(chosen: Sequence[str]) -> Sequence[str]:
    twice = next((name for name in chosen if chosen.count(name) > 1), None)
    if twice:
        raise UserError(f"algo={','.join(chosen)} names {twice} twice; leave one out")
    return chosen


def _made(name: str, recorded: Mapping[str, Any], options: Mapping[str, str]) -> Algorithm:
    """Return the algorithm `name` with the recorded options, changed by the given `options`.

    Given options that the algorithm does not have are ignored.
    """
    known = registered_names.options("algo", name)
    mine = {key: text for key, text in options.items() if key.partition(".")[2] in known}
    choice = registered_names.choose("algo", {"name": name, **recorded}, mine)
    return algorithms.make(name, **choice.options)


def _refuse_stray_options(options: Mapping[str, str], chosen: Sequence[str]) -> None:
    known = {option for name in chosen for option in registered_names.options("algo", name)}
    for key in options:
        option = key.partition(".")[2]
        if option not in known:
            raise registered_names.refuse_option("algo", chosen[0], option)


def _refuse_too_large_groups(run: runs.RecordedRun, chosen: Mapping[str, Algorithm]) -> None:
    """Raise UserError if an algorithm needs larger groups than the run's; name another command.

    The batch of a run has one rollout per problem, or whole groups of one size.
    """
    size = run.line.batch.group_size if run.line.batch.group_B is None else None
    wanting = [name for name, one in chosen.items() if size and one.min_group_size > size]
    if not wanting:
        return
    others = [name for name in chosen if name not in wanting and name != run.algo]
    if not others:
        others = [next(name for name in algorithms.names() if _takes_any(name, run.algo))]
    raise UserError(
        f"{run.folder} has {size} rollout{'s' * (size != 1)} per problem, and {wanting[0]} needs "
        f"{chosen[wanting[0]].min_group_size} or more; this works: lens run={run.folder} "
        f"algo={','.join([run.algo, *others])}"
    )


def _takes_any(name: str, besides: str) -> bool:
    """Return whether an algorithm other than `besides` can credit every recorded batch."""
    made = algorithms.make(name)
    return name != besides and made.min_group_size == 1 and not made.greedy_baseline


def _say(text: str) -> None:
    sys.stderr.write(f"{plain(text)}\n")
