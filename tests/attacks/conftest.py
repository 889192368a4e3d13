"""Attacks: what a checkpoint, a data set, a config, a model folder or an answer might try.

SECURITY.md says what is trusted and what is not; every threat it names has its test here.
"""

from pathlib import Path

import pytest


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """A file that exists only once foreign code has run."""
    return tmp_path / "marker"
