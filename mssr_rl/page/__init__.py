"""Building blocks of the self-contained HTML pages; `report` composes them into one file.

`runfiles` reads a run directory, `text` makes model output safe to look at, `axis` and `curves`
draw line charts, `panels` chooses which, `results` reads the evaluations, `setup` says what was run
and what it cost, `gallery` shows rollouts. Everything but `runfiles` and the pictures is pure.
"""
