"""Laws that everything registered keeps, yours included. `python -m mssr_rl check algo=NAME`.

`batches` draws small batches, `algorithm_laws` holds an algorithm against them, `own_reward` is the
one law that needs more than a few lines, `check_algo_verb` is the way in.
"""
