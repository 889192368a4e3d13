"""Describe a run before it starts: `plan` uses `prompt_sizes`, `memory` and `cluster`."""
