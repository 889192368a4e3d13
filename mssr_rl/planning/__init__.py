"""Shows what a run would do before it starts: `plan`, with `prompt_sizes` and `memory`."""
