"""docs/files.md names the files of a run and of its checkpoints, and no others."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from mssr_rl.config import Config
from mssr_rl.engine_protocol import Engine
from mssr_rl.run import trainer

Configure = Callable[..., Config]
MakeEngine = Callable[[Config], Engine]

PAGE = (Path(__file__).parents[2] / "docs" / "files.md").read_text(encoding="utf-8")
SOMETIMES = {"faults"}  # only after a step whose numbers were not finite


def named(section: str) -> set[str]:
    """The files in the table of a section; of a folder only its name."""
    table = PAGE.partition(f"## {section}")[2].partition("\n## ")[0]
    return {name.partition("/")[0] for name in re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)}


@pytest.mark.slow
def test_the_page_names_every_file_of_a_run(configure: Configure, make_engine: MakeEngine) -> None:
    folder = trainer.run(configure(), make_engine)
    assert {path.name for path in folder.iterdir()} == named("A run") - SOMETIMES
    checkpoint = max(folder.glob("checkpoints/step_*"))
    assert {path.name for path in checkpoint.iterdir()} == named("A checkpoint")
