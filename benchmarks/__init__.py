"""Measure speed and memory: every figure of docs/benchmarks.md, with one command each.

    python -m benchmarks             lists them
    python -m benchmarks NAME        runs one, prints a table, writes JSON with --json FILE

step.py        a training step, compared with TRL's
rollouts.py    sampling, compared with transformers' `generate` and vLLM
grading.py     grading, compared with math-verify
startup.py     the time from the command to the first step
scaling.py     how cost grows with batch, group, length, problems and model
peak.py        the share of the machine's matrix-product speed that is reached

All benchmarks use these modules: command.py (arguments and report), table.py, measure.py (the cost
of a batch), peers.py (processes that take turns), sides/ (the work of those processes), flops.py
(operation counts), workloads.py (problems, configs and models).
"""
