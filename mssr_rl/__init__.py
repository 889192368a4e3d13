"""Head-to-head comparison of RLVR algorithms on vision-language mathematics.

    import mssr_rl
    run = mssr_rl.train(algo="mssr", env="vision_r1")
    found = mssr_rl.compare(["grpo", "mssr"], env="vision_r1", seeds=5)
    run = mssr_rl.load("runs/first")

    from mssr_rl import register_algorithm, register_environment, register_loss

They are imported on first use: `import mssr_rl` alone loads neither torch nor gymnasium. If
Gymnasium is imported too, before or after, its `make` finds all environments of this package:

    import gymnasium, mssr_rl
    env = gymnasium.make("mssr_rl/vision_r1-v0")
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mssr_rl import import_hooks
from mssr_rl.version import VERSION

if TYPE_CHECKING:
    from mssr_rl.algos.algorithm import register as register_algorithm
    from mssr_rl.api import compare, load, train
    from mssr_rl.envs.environment import register as register_environment
    from mssr_rl.loss import register_loss

__all__ = [
    "__version__",
    "compare",
    "load",
    "register_algorithm",
    "register_environment",
    "register_loss",
    "train",
]
__version__ = VERSION

_HOMES = {
    "compare": ("mssr_rl.api", "compare"),
    "load": ("mssr_rl.api", "load"),
    "train": ("mssr_rl.api", "train"),
    "register_algorithm": ("mssr_rl.algos.algorithm", "register"),
    "register_environment": ("mssr_rl.envs.environment", "register"),
    "register_loss": ("mssr_rl.loss", "register_loss"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _add_gymnasium_ids(_gymnasium: object = None) -> None:
    import_module("mssr_rl.envs")


if "gymnasium" in sys.modules:
    _add_gymnasium_ids()
else:
    _HOOK = import_hooks.Hook(
        "gymnasium",
        ("gymnasium", "1.4.0"),
        "gymnasium.make() knows this package's environments once both are imported",
        after=_add_gymnasium_ids,
    )
    import_hooks.install([_HOOK])
