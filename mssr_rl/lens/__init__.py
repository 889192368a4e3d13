"""Show the advantages that several algorithms give to the same rollouts: the lens.

Start it with `python -m mssr_rl lens` (`lens_verb`). `lines` reads recorded batches. `step_view`
computes advantages and metrics, and `signal` summarises them. `lens_page` draws lens.html for a
run. A run records batches with `run.recording`.
"""
