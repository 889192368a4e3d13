"""A run of a comparison in a process of its own, on the engine of tests/conftest.py."""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from conftest import TabularEngine

from mssr_rl import cli
from mssr_rl import engine as engines
from mssr_rl.child import follow


class Patient(TabularEngine):
    """One that takes its time over an update, so that something can happen meanwhile."""

    def update(self, *arguments: object) -> object:
        time.sleep(float(PAUSE))
        return super().update(*arguments)  # type: ignore[arg-type]


PARENT, PAUSE, *WORDS = sys.argv[1:]

if __name__ == "__main__":
    follow(int(PARENT))
    engines.make_engine = Patient  # type: ignore[assignment]
    raise SystemExit(cli.main(["train", *WORDS]))
