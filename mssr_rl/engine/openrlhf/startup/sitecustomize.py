"""Python imports this by itself in every process that has this folder on PYTHONPATH.

The session puts it there where there is no GPU, so that the hooks of `cpu.py` reach Ray's workers
and the engine cores that vLLM spawns. That file is loaded by its path: importing it from its
package would cost every process torch.
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
