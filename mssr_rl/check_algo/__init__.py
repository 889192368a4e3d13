"""Laws that every registered algorithm must keep. `python -m mssr_rl check algo=NAME` checks them.

`check_algo_verb` is the entry point. `batches` draws small batches, `algorithm_laws` checks an
algorithm on them, `loss_laws` its policy loss, and `own_reward` is one longer law.
"""
