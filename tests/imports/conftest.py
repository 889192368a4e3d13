"""The comparison folder of tests/comparison."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

_there = Path(__file__).parents[1] / "comparison/conftest.py"
_spec = spec_from_file_location("comparison_conftest", _there)
assert _spec is not None
assert _spec.loader is not None
_comparisons = module_from_spec(_spec)
_spec.loader.exec_module(_comparisons)
make_comparison = _comparisons.make_comparison  # the fixture
