"""Python imports this file by itself in every process that has this folder on PYTHONPATH.

On a machine without a GPU, the session puts it there. The hooks of `cpu.py` then reach Ray's
workers and the engine cores that vLLM starts. `cpu.py` is loaded by its path, because importing its
package would make every process import torch.
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
