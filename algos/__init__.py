"""Algorithms: how credit is assigned to tokens. One file per family, registered by name.

Every file in this folder is imported. A new file is therefore chosen by `algo=NAME` without being
added to any list.

Import it as `mssr_rl.algos`, the name under which this folder is installed. Imported as plain
`algos` it would be a second package with its own registry.
"""

if __name__ != "mssr_rl.algos":
    raise ImportError("this folder is the package `mssr_rl.algos`; import it by that name")

from mssr_rl.algos.algorithm import Algorithm, Resampling, algorithms, register
from mssr_rl.registry import import_all

# What a first comparison is made with: the most used algorithm, and one for that one itself.
USUAL_BASELINES = ("grpo", "rloo")

__all__ = ["USUAL_BASELINES", "Algorithm", "Resampling", "algorithms", "register"]

import_all(__name__, __path__)
