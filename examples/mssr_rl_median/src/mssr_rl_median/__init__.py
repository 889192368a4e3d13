"""A plug-in for mssr_rl: the algorithm `median` and the environment `sums`."""
