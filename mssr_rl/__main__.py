"""`python -m mssr_rl`: the command line without its console script."""

from mssr_rl.cli import script

if __name__ == "__main__":
    script()
