"""List the benchmarks: `python -m benchmarks`. Run one: `python -m benchmarks NAME ...`."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module

NAMES = {
    "step": "a training step beside TRL's GRPOTrainer and RLOOTrainer",
    "rollouts": "sampling beside transformers' generate and vLLM on CPU",
    "grading": "grading beside math-verify",
    "startup": "from the command to the first training step",
    "scaling": "growth with rollouts, group size, length, problems and parameters",
    "gpu": "a step of a 3B model on a GPU: memory, speed, precision, resuming",
    "peak": "share of the machine's matrix-product speed in rollout and update",
}


def main(words: Sequence[str]) -> int:
    """Run a benchmark; return the exit code: 0 done, 1 failed, 2 wrong usage."""
    if not words or words[0] in ("-h", "--help"):
        lines = [f"  python -m benchmarks {name:<9} {says}" for name, says in NAMES.items()]
        sys.stdout.write("\n".join(lines) + "\nEach takes --help, --short and --json FILE.\n")
        return 0
    name, *rest = words
    if name not in NAMES:
        sys.stderr.write(f"benchmarks: no benchmark {name!r}; choose from {', '.join(NAMES)}\n")
        return 2
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # as the command line of mssr_rl does
    from benchmarks import command

    module = import_module(f"benchmarks.{name}")
    return command.run(module.parser(), module.measured, rest)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
