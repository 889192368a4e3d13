"""The keys of `compare` itself; all others go to the runs (`matrix`).

Declared as `mssr_rl.config.schema` declares a run's, so that types, bounds and help come for free.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from mssr_rl.config.words import others
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
    plan: bool = option("say what would be done and how long it takes, and start no run", False)
    runs: Mapping[str, str] = others(
        "any key of a run; a comma sweeps it, NAME.key=value is said of one algorithm's arms"
    )
