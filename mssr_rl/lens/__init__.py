"""The lens: what every algorithm makes of the same rollouts. `python -m mssr_rl lens`.

`lines` reads recorded batches, `view` holds algorithms against them, `signal` sums up, `lens_page`
draws lens.html for a run, `lens_verb` is the way in. A run records batches with `run.recording`.
"""
