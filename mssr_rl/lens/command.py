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
from pathlib import Path
from typing import Any, NamedTuple

from mssr_rl.algos import Algorithm, algorithms
from mssr_rl.config import names, overrides, plugins
from mssr_rl.errors import UserError
from mssr_rl.lens import page, runs, view
from mssr_rl.lens.lines import Recording, open_recording
from mssr_rl.outward import plain

USAGE = (
    "lens takes a .jsonl file of recorded batches or run=DIR, then algo=NAME or algo=a,b,c and "
    "options as algo.option=value"
)


class Request(NamedTuple):
    """What was asked for."""

    file: Path | None
    run: Path | None
    step: int | None
    algos: list[str]
    options: Mapping[str, str]


def main(arguments: Sequence[str]) -> int:
    """Print what every named algorithm makes of the batches; 0 when all could be read."""
    asked = _parse(arguments)
    if asked.run is None:
        assert asked.file is not None
        recording = open_recording(asked.file)
        chosen = {name: _made(name, {}, asked.options) for name in _named(asked, [])}
        states = {name: view.first_look(made, recording) for name, made in chosen.items()}
        _refuse_stray_options(asked, list(chosen))
        return _print(recording, chosen, states)
    return _look_at_run(asked.run, asked)


def _look_at_run(folder: Path, asked: Request) -> int:
    found = runs.open_run(folder, asked.step)
    chosen = {
        name: _made(name, found.options if name == found.algo else {}, asked.options)
        for name in _named(asked, [found.algo])
    }
    _refuse_stray_options(asked, list(chosen))
    looks = runs.look(found, chosen)
    written = page.write(found, looks)
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


def _parse(arguments: Sequence[str]) -> Request:
    files = [word for word in arguments if "=" not in word and not word.startswith("-")]
    words = overrides.parse(word for word in arguments if word not in files)
    options = {key: text for key, text in words.items() if key.startswith("algo.")}
    others = {key: text for key, text in words.items() if key not in options}
    unknown = set(others) - {"algo", "run", "step", "plugins"}
    if unknown or len(files) > 1 or bool(files) == ("run" in others):
        raise UserError(f"{USAGE}; got {' '.join(arguments) or 'nothing'}")
    step = others.get("step")
    if step is not None and not (step.isdecimal() and "run" in others):
        raise UserError(f"step={step} must be the number of a recorded step, and goes with run=DIR")
    plugins.prepare(_list(others.get("plugins", "")))
    return Request(
        file=Path(files[0]) if files else None,
        run=Path(others["run"]) if "run" in others else None,
        step=None if step is None else int(step),
        algos=_list(others.get("algo", "")),
        options=options,
    )


def _named(asked: Request, default: list[str]) -> list[str]:
    chosen = asked.algos or default
    if not chosen:
        raise UserError(f"lens needs algo=NAME, one or more of {', '.join(algorithms.names())}")
    twice = next((name for name in chosen if chosen.count(name) > 1), None)
    if twice:
        raise UserError(f"algo={','.join(chosen)} names {twice} twice; leave one out")
    return chosen


def _made(name: str, recorded: Mapping[str, Any], given: Mapping[str, str]) -> Algorithm:
    """An algorithm with those of the given options that it has."""
    known = names.options("algo", name)
    mine = {key: text for key, text in given.items() if key.partition(".")[2] in known}
    choice = names.choose("algo", {"name": name, **recorded}, mine)
    return algorithms.make(name, **choice.options)


def _refuse_stray_options(asked: Request, chosen: Sequence[str]) -> None:
    known = {option for name in chosen for option in names.options("algo", name)}
    for key in asked.options:
        option = key.partition(".")[2]
        if option not in known:
            raise names.refuse_option("algo", chosen[0], option)


def _list(text: str) -> list[str]:
    return [name.strip() for name in text.strip("[]").split(",") if name.strip()]


def _say(text: str) -> None:
    sys.stderr.write(f"{plain(text)}\n")
