"""Install the hooks of `cpu.py` in every process that has this folder on PYTHONPATH.

Python imports a module of this name when it starts. On a machine without a GPU, `session` adds the
folder to PYTHONPATH. So the hooks are in Ray's workers and in vLLM's engine cores too. `cpu.py` is
loaded by its path, because importing its package would import torch in every process.
"""

import importlib.util
from pathlib import Path

_file = Path(__file__).parents[1] / "cpu.py"
_spec = importlib.util.spec_from_file_location("mssr_rl_cpu_hooks", _file)
assert _spec is not None
assert _spec.loader is not None
_cpu = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_cpu)
_cpu.install()
