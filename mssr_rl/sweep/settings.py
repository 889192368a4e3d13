"""The keys of `compare` itself; all other keys go to the runs (`matrix`).

They are declared like the keys of a run in `mssr_rl.config.schema`, which gives types, bounds and
help.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from mssr_rl.config.words import others
from mssr_rl.typed import COUNT, POSITIVE, option


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The arguments of `compare`."""

    seeds: int = option("training runs of each arm; seed=N is the first of their seeds", 3, COUNT)
    varies: tuple[str, ...] = option("settings that are meant to differ between the arms", ())
    fair: Literal["refuse", "report"] = option(
        "an undeclared difference between arms: refuse to start, or start and report it", "refuse"
    )
    ablate: Literal["none", "all"] = option(
        "all: arms that leave out one part of the algorithm each", "none"
    )
    design: Literal["grid", "screening"] = option(
        "keys with several values: all combinations, or a screening of keys with two values each",
        "grid",
    )
    baseline: str | None = option("the arm others are tested against; null: all pairs", None)
    race: bool = option(
        "an arm that clearly loses to baseline= gets no further seeds (stats/racing.py)", False
    )
    margin: float = option("accuracies closer than this count as equal", 0.01, POSITIVE)
    jobs: int | None = option("runs at once; null: as many as fit the machine", None, COUNT)
    ray: str | None = option(
        "address of a running Ray cluster to train on, or auto; null: this machine", None
    )
    accept: tuple[str, ...] = option(
        "continue runs although these changed: plugins, config, data, record", ()
    )
    name: str | None = option("name of the comparison's folder; null: from the command", None)
    comparisons_dir: str = option("the folder of all comparisons", "comparisons")
    plan: bool = option("show the plan and how long it takes, and start no run", False)
    runs: Mapping[str, str] = others(
        "any config key; values with commas make arms; NAME.key=value sets one algorithm only"
    )
