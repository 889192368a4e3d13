"""What is said about how a run trained. Numbers that are no numbers are `finite`'s to find."""

from typing import Literal

Verdict = Literal["stable", "collapsed"]
