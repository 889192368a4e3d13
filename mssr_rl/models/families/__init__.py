"""Model families that need more than `general.py`: one small module each, found automatically.

A module defines a subclass of `General` and names its model types. A family for which `General` is
enough has no module here.
"""

import importlib
import pkgutil
from functools import cache

from mssr_rl.models.general import General


@cache
def known() -> dict[str, type[General]]:
    """Return {model type: class} for all families that have a class of their own."""
    # An import defines the family's class, and `__subclasses__` then lists it.
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return {name: kind for kind in General.__subclasses__() for name in kind.model_types}


def of(model_type: str) -> type[General]:
    """Return the class for a model type: its own class, or `General` if it has none."""
    return known().get(model_type, General)
