"""Ten families of small visual-math problems. They are drawn when needed; nothing is downloaded.

    for row in mini_rows("train", 300): ...

Each family is one file with one function `draw(rng, level, split)`. `rows` gives each family its
name and its seeds.
"""

from mssr_rl.envs.families.rows import FAMILIES, LEVELS, SPLITS, make, mini_rows, row
from mssr_rl.envs.families.scene import DrawnProblem

__all__ = ["FAMILIES", "LEVELS", "SPLITS", "DrawnProblem", "make", "mini_rows", "row"]
