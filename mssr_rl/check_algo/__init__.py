"""Laws that every registered algorithm must keep. `python -m mssr_rl check algo=NAME` checks them.

`check_algo_verb` is the entry point. `batches` draws small batches. `algorithm_laws` checks an
algorithm on them, and `loss_laws` its policy loss. `own_reward` holds the longest law.
"""
