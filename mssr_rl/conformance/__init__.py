"""Laws that everything registered keeps, yours included. `python -m mssr_rl check algo=NAME`.

`batches` draws small batches, `laws` holds an algorithm against them, `own_reward` is the one law
that needs more than a few lines, `command` is the way in.
"""
