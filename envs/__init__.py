"""Environments, imported as `mssr_rl.envs`: a file for each, and what they share in `base`."""

if __name__ != "mssr_rl.envs":  # as plain `envs` there would be two registries
    raise ImportError("this folder is the package mssr_rl.envs: import it by that name")

import gymnasium

from mssr_rl.envs import vision_r1  # noqa: F401  registers it
from mssr_rl.envs.base import Graded, ProblemEnv, environments, register

gymnasium.register(id="mssr_rl/VisionR1-v0", entry_point="mssr_rl.envs.vision_r1:vision_r1")

__all__ = ["Graded", "ProblemEnv", "environments", "register"]
