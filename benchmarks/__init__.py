"""How fast, and how much memory: every figure of docs/benchmarks.md, one command each.

    python -m benchmarks             lists them
    python -m benchmarks NAME        runs one, prints a table, writes JSON with --json FILE

step.py        a training step beside TRL's
rollouts.py    sampling beside transformers' `generate` and vLLM
grading.py     grading beside math-verify
startup.py     from the command to the first step
scaling.py     how cost grows with batch, group, length, problems and model
peak.py        the share of the machine's matrix-product speed that is reached

Beneath them: command.py (words in, report out), table.py, measure.py (what a batch costs),
peers.py (processes that take turns), sides/ (what those processes do), flops.py (pure counts),
workloads.py (problems, configs and models that several of them use).
"""
