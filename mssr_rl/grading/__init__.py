"""From a response and an answer to a verdict, and from a verdict to a reward. Pure.

`verify` is the way in: it reads the format, then `answers` compares what was found with what was
wanted, by kind: `choices`, `quantities` with `units`, `latex`, `linear`. `reward` pays.
"""
