"""The keys of `compare` itself; all others go to the runs (`matrix`).

Declared as `mssr_rl.config.schema` declares a run's, so that types, bounds and help come for free.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_type_hints

from mssr_rl import typed
from mssr_rl.config import overrides
from mssr_rl.typed import COUNT, POSITIVE, option


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How arms are compared."""

    seeds: int = option("training runs of each arm; seed=N is the first of their seeds", 3, COUNT)
    varies: tuple[str, ...] = option("settings that are meant to differ between the arms", ())
    fair: Literal["refuse", "report"] = option(
        "an undeclared difference between arms: refuse to start, or start and report it", "refuse"
    )
    ablate: Literal["none", "all"] = option(
        "all: arms that leave out one part of the algorithm each", "none"
    )
    baseline: str | None = option("the arm others are tested against; null: all pairs", None)
    race: bool = option(
        "an arm that surely loses to baseline= gets no further seeds (stats/racing.py)", False
    )
    margin: float = option("accuracies closer than this count as equal", 0.01, POSITIVE)
    jobs: int | None = option("runs at once; null: what cores and memory hold", None, COUNT)
    ray: str | None = option(
        "address of a running Ray cluster to train on, or auto; null: this machine", None
    )
    accept: tuple[str, ...] = option(
        "runs go on although these changed: plugins, config, data, record", ()
    )
    name: str | None = option("of the comparison's folder; null: made from the command", None)
    comparisons_dir: str = option("where comparisons go", "comparisons")


KINDS: Mapping[str, Any] = get_type_hints(Settings)


def take(given: Mapping[str, str]) -> tuple[Settings, dict[str, str]]:
    """What is `compare`'s of the words, and what is the runs'."""
    own = {
        key: overrides.read_value(key, text, KINDS[key])
        for key, text in given.items()
        if key in KINDS
    }
    rest = {key: text for key, text in given.items() if key not in KINDS}
    return typed.build(Settings, own), rest
