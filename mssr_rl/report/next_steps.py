"""Says what to do after a run, as commands that work: continue it, compare it, look closer.

Pure functions. The page and the console show the same commands.
"""

import shlex
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from mssr_rl.algos import USUAL_BASELINES
from mssr_rl.report.runfiles import RunDocuments
from mssr_rl.report.setup import flat_config

FEW = 3  # commands that the console prints
OF_THE_RUN = ("algo.", "name", "runs_dir", "checkpoint.", "lens.", "engine.threads")


class NextStep(NamedTuple):
    """A reason, and the command."""

    why: str
    command: str


def next_steps(documents: RunDocuments, name: str) -> tuple[NextStep, ...]:
    """Return what to do after a run, most useful first; `name` is that of its folder."""
    config = flat_config(documents.config_text)
    place = str(config.get("runs_dir", "runs"))
    folder = shlex.quote(f"{place}/{name}")
    if documents.run.get("status") not in ("done", "collapsed"):
        elsewhere = "" if place == "runs" else f" runs_dir={shlex.quote(place)}"
        command = f"python -m mssr_rl train resume=true name={shlex.quote(name)}{elsewhere}"
        return (NextStep("continue this run from its newest checkpoint", command),)
    return tuple(_after_the_end(config, documents, folder))


def _after_the_end(
    config: Mapping[str, Any], documents: RunDocuments, folder: str
) -> Iterator[NextStep]:
    algo = str(config.get("algo.name", config.get("algo", "")))
    env = str(config.get("env.name", config.get("env", "")))
    lens = f"python -m mssr_rl lens run={folder}"
    if documents.run.get("status") == "collapsed":
        yield NextStep("see which tokens were pushed up and down before the collapse", lens)
    other = next(name for name in USUAL_BASELINES if name != algo)
    own = _changed(config, documents.run.get("differs_from_recipe"))
    words = [f"algo={other},{algo}", f"env={env}", f"recipe={config.get('recipe', 'laptop')}", *own]
    compare = " ".join(map(shlex.quote, words))
    yield NextStep(
        "find out whether another algorithm does better: several seeds, one verdict",
        f"python -m mssr_rl compare {compare} seeds=5",
    )
    if documents.run.get("status") == "done" and config.get("lens.every", 30):
        yield NextStep("see the advantage of every token", lens)
    plugins = [word for word in own if word.startswith(("plugins=", "env."))]
    rest = " ".join(map(shlex.quote, [f"env={env}", *plugins]))
    yield NextStep(
        "score the trained model again, greedy and sampled",
        f"python -m mssr_rl eval model.path={folder} {rest}",
    )
    yield NextStep("look at all runs in a browser", "python -m mssr_rl view")


def _changed(config: Mapping[str, Any], differing: object) -> list[str]:
    """Return the settings that the user changed, as arguments, without the run's own."""
    keys = differing if isinstance(differing, Mapping) else {}
    words = [
        f"{key}={_as_argument(config[key])}"
        for key in keys
        if key in config and not str(key).startswith(OF_THE_RUN)
    ]
    plugins = config.get("plugins")
    return [*words, f"plugins={_as_argument(plugins)}"] if plugins else words


def _as_argument(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(str, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
