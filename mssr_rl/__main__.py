"""The entry point of `python -m mssr_rl` and of the `mssr_rl` command."""

import sys
from typing import NoReturn


def script() -> NoReturn:
    """Run the command line, and exit with its code; Ctrl-C during its import costs one line."""
    try:
        from mssr_rl import cli
    except KeyboardInterrupt:
        sys.stderr.write("mssr_rl: ended by Ctrl-C; nothing was started\n")
        raise SystemExit(130) from None
    cli.script()


if __name__ == "__main__":
    script()
