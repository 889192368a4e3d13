"""The lens: what every algorithm makes of the same rollouts. `python -m mssr_rl lens`.

`lines` reads recorded batches, `view` holds algorithms against them, `signal` sums up, `page` draws
lens.html for a run, `command` is the way in. A run records batches with `run.recording`.
"""
