"""A run of a comparison in a process of its own, on the small honest engine of tests/conftest.py."""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from conftest import TabularEngine  # noqa: E402  the path has to be set first

from mssr_rl import cli  # noqa: E402
from mssr_rl import engine as engines  # noqa: E402
from mssr_rl.child import follow  # noqa: E402


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
