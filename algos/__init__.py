"""Algorithms: how credit is assigned. One file per family, registered by name.

Every file in this folder is imported, so a new one is chosen by `algo=NAME` by being here.

`import mssr_rl.algos`: this folder is installed under that name, and imported as plain `algos` it
would be a second package with a registry of its own.
"""

if __name__ != "mssr_rl.algos":
    raise ImportError("this folder is the package `mssr_rl.algos`; import it by that name")

from mssr_rl.algos.algorithm import Algorithm, Resampling, algorithms, register
from mssr_rl.registry import import_all

__all__ = ["Algorithm", "Resampling", "algorithms", "register"]

import_all(__name__, __path__)
