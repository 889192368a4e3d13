"""The environments, imported as `mssr_rl.envs`, one file each. `environment` has their shared code.

Every file in this folder is imported. So a new file can be chosen by `env=NAME` without being added
to any list.
"""

if __name__ != "mssr_rl.envs":  # as plain `envs` there would be two registries
    raise ImportError("this folder is the package mssr_rl.envs: import it by that name")

from mssr_rl.envs.environment import Graded, ProblemEnv, Rules, environments, register
from mssr_rl.registry import import_all

__all__ = ["Graded", "ProblemEnv", "Rules", "environments", "register"]

import_all(__name__, __path__)
