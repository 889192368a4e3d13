"""What single model families need beyond `general.py`: one small file each, found automatically.

A file holds a subclass of `General` that names its model types. A family that needs nothing more
has no file.
"""

import importlib
import pkgutil
from functools import cache

from mssr_rl.models.general import General


@cache
def known() -> dict[str, type[General]]:
    """Return {model type: family} for all families that need something of their own."""
    # An import defines the family's class, and `__subclasses__` then lists it.
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return {name: kind for kind in General.__subclasses__() for name in kind.model_types}


def of(model_type: str) -> type[General]:
    """Return the family of a model type."""
    return known().get(model_type, General)
