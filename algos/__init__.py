"""Algorithms: how credit is assigned. One file per family, registered by name.

`import mssr_rl.algos`: this folder is installed under that name, and imported as plain `algos` it
would be a second package with a registry of its own.
"""

if __name__ != "mssr_rl.algos":
    raise ImportError("this folder is the package `mssr_rl.algos`; import it by that name")

from mssr_rl.algos import (  # noqa: F401  registers them
    ablations,
    batch_mean,
    dapo,
    dr_grpo,
    grpo,
    mssr,
    mssr_released,
    mvsr,
    mvsr_released,
    reinforce_pp,
    rloo,
    spo,
)
from mssr_rl.algos.base import Algorithm, Resampling, algorithms, register

__all__ = ["Algorithm", "Resampling", "algorithms", "register"]
