"""`python -m mssr_rl lens`: what algorithms make of the same recorded rollouts.

    lens FILE.jsonl algo=NAME [algo.option=value ...]       one object a line, for one algorithm
    lens FILE.jsonl algo=a,b,c                              {"a": {...}, "b": {...}, "c": {...}}
    lens run=DIR [algo=a,b,c] [step=N]                      the same, and DIR/lens.html to read

Numbers go to stdout, talk to stderr. With `run=` the run's newest recorded batch is taken, its
algorithm with the run's options, and memories as they were before that step where an algorithm
keeps the same kind of memory as the run's.
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
from mssr_rl.lens import lens_page, runs, view
from mssr_rl.lens.lines import Recording, open_recording
from mssr_rl.outward import plain
from mssr_rl.typed import COUNT_OR_NONE_AT_ALL, option


@dataclass(frozen=True, kw_only=True)
class LensFileWords:
    """What `lens FILE` is told."""

    file: str = file_name("recorded batches, one training step a line (docs/algorithms.md)")
    algo: tuple[str, ...] = option("one or more algorithms, e.g. grpo,mssr")
    options: Mapping[str, str] = options_of("algo")
    plugins: tuple[str, ...] = option("modules that register algorithms", ())


@dataclass(frozen=True, kw_only=True)
class LensRunWords:
    """What `lens run=FOLDER` is told."""

    run: str = option("the folder of a run that kept batches (lens.every)")
    algo: tuple[str, ...] = option("one or more algorithms; left out: the run's own", ())
    step: int | None = option("which recorded step; null: the newest", None, COUNT_OR_NONE_AT_ALL)
    options: Mapping[str, str] = options_of("algo")
    plugins: tuple[str, ...] = option("modules that register algorithms", ())


def look_at_file(arguments: Sequence[str]) -> int:
    """Print what every named algorithm makes of the batches; 0 when all could be read."""
    asked = parse_words(LensFileWords, arguments)
    plugins.prepare(asked.plugins)
    recording = open_recording(Path(asked.file))
    chosen = {name: _made(name, {}, asked.options) for name in _once(asked.algo)}
    states = {name: view.first_look(made, recording) for name, made in chosen.items()}
    _refuse_stray_options(asked.options, list(chosen))
    return _print(recording, chosen, states)


def look_at_run(arguments: Sequence[str]) -> int:
    """The same of a run's recorded batch, and its page."""
    asked = parse_words(LensRunWords, arguments)
    plugins.prepare(asked.plugins)
    found = runs.open_run(Path(asked.run), asked.step)
    chosen = {
        name: _made(name, found.options if name == found.algo else {}, asked.options)
        for name in _once(asked.algo or (found.algo,))
    }
    _refuse_stray_options(asked.options, list(chosen))
    looks = runs.look(found, chosen)
    written = lens_page.write(found, looks)
    _say(f"lens    {written}")
    if sys.stdout.isatty():  # a file of numbers helps nobody there
        return 0
    states = {name: look.before for name, look in looks.items()}
    return _print(found.recording, chosen, states)


def _print(recording: Recording, chosen: Mapping[str, Algorithm], states: Mapping[str, Any]) -> int:
    """One object a line; several algorithms each under its name."""
    met: dict[str, None] = {}
    memory = dict(states)
    for line in recording.lines():
        met |= dict.fromkeys(line.problems)
        sys.stdout.write("{" if len(chosen) > 1 else "")
        for place, (name, algorithm) in enumerate(chosen.items()):
            seen = view.look(algorithm, line, memory[name])
            memory[name] = seen.state
            told = json.dumps(view.as_record(seen, line, met, recording.row_of))
            before = f"{', ' if place else ''}{json.dumps(name)}: " if len(chosen) > 1 else ""
            sys.stdout.write(before + told)
        sys.stdout.write("}\n" if len(chosen) > 1 else "\n")
    return 0


def _once(chosen: Sequence[str]) -> Sequence[str]:
    twice = next((name for name in chosen if chosen.count(name) > 1), None)
    if twice:
        raise UserError(f"algo={','.join(chosen)} names {twice} twice; leave one out")
    return chosen


def _made(name: str, recorded: Mapping[str, Any], given: Mapping[str, str]) -> Algorithm:
    """An algorithm with those of the given options that it has."""
    known = registered_names.options("algo", name)
    mine = {key: text for key, text in given.items() if key.partition(".")[2] in known}
    choice = registered_names.choose("algo", {"name": name, **recorded}, mine)
    return algorithms.make(name, **choice.options)


def _refuse_stray_options(options: Mapping[str, str], chosen: Sequence[str]) -> None:
    known = {option for name in chosen for option in registered_names.options("algo", name)}
    for key in options:
        option = key.partition(".")[2]
        if option not in known:
            raise registered_names.refuse_option("algo", chosen[0], option)


def _say(text: str) -> None:
    sys.stderr.write(f"{plain(text)}\n")
