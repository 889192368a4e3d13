"""Environments, imported as `mssr_rl.envs`: a file for each, and what they share in `base`."""

if __name__ != "mssr_rl.envs":  # as plain `envs` there would be two registries
    raise ImportError("this folder is the package mssr_rl.envs: import it by that name")

import gymnasium

from mssr_rl.envs import (  # noqa: F401  each registers itself
    geometry3k,
    hallusion_bench,
    math12k,
    mathverse,
    mathvision,
    mathvista,
    mmk12,
    r1_onevision_bench,
    vision_r1,
)
from mssr_rl.envs.base import Graded, ProblemEnv, Rules, environments, register

_IDS = {
    "VisionR1": "vision_r1",
    "Geometry3K": "geometry3k",
    "HallusionBench": "hallusion_bench",
    "Math12K": "math12k",
    "MathVerse": "mathverse",
    "MathVision": "mathvision",
    "MathVista": "mathvista",
    "MMK12": "mmk12",
    "R1OnevisionBench": "r1_onevision_bench",
}
for _id, _name in _IDS.items():
    gymnasium.register(id=f"mssr_rl/{_id}-v0", entry_point=f"mssr_rl.envs.{_name}:{_name}")

__all__ = ["Graded", "ProblemEnv", "Rules", "environments", "register"]
