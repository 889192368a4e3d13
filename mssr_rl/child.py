"""The process of one run: `python -m mssr_rl.child PARENT verb key=value ...`.

The same as `python -m mssr_rl verb ...`, but it does not outlive its parent: where the parent is
killed, the kernel sends this process a SIGTERM, and the run saves and ends as it always does then.
"""

import ctypes
import os
import signal
import sys

from mssr_rl import cli
from mssr_rl.run import interrupt

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def follow(parent: int) -> None:
    """Be asked to end when `parent` ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it was gone before we asked
        raise SystemExit("the comparison that started this run is gone")


if __name__ == "__main__":
    follow(int(sys.argv[1]))
    interrupt.come_twice()
    cli.script(sys.argv[2:])
