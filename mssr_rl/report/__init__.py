"""report.html of a run: one self-contained page, made from the run's folder alone.

`run_page` composes it and is the way in, `html` fills the template. `runfiles` reads the folder,
`text` makes model output safe to look at, `axis` and `curves` draw line charts, `panels` chooses
which, `results` reads the evaluations, `setup` says what was run and what it cost, `gallery` shows
rollouts. Everything but `runfiles` and the pictures is pure.
"""
