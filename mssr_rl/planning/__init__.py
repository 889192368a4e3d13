"""What a run would do, said before it starts: `plan`, with `prompt_sizes` and `memory`."""
