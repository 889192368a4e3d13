"""Python imports this by itself in every process that has this folder on PYTHONPATH.

The session puts it there where there is no GPU, so that the hooks reach Ray's workers and the
engine cores that vLLM spawns. They are loaded by path: importing them from their packages would
cost every process torch.
"""

import importlib.util
from pathlib import Path
from typing import Any

from mssr_rl import import_hooks

_PACKAGE = Path(__file__).parents[3]


def _load(path: str) -> Any:
    name = f"mssr_rl_startup_{Path(path).stem}"
    spec = importlib.util.spec_from_file_location(name, _PACKAGE / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


import_hooks.install([_load("models/torchvision_hook.py").HOOK])
_load("engine/openrlhf/cpu.py").install()
