"""The process of one run in a comparison: `python -m mssr_rl.child PARENT verb key=value ...`.

It does the same as `python -m mssr_rl verb ...`, but it does not outlive its parent. If the parent
is killed, the kernel sends this process a SIGTERM, and the run saves and ends.
"""

import ctypes
import os
import signal
import sys

from mssr_rl import cli
from mssr_rl.run import interrupt

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def follow(parent: int) -> None:
    """Make the kernel send SIGTERM to this process when the process `parent` ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # the parent ended before the call above
        raise SystemExit("the comparison that started this run is gone")


if __name__ == "__main__":
    follow(int(sys.argv[1]))
    interrupt.come_twice()
    cli.script(sys.argv[2:])
