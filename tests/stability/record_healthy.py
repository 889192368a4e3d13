"""Makes healthy.jsonl: what the detectors read of real runs of the shipped model, one run a line.

    python tests/stability/record_healthy.py FOLDER algo=grpo,mssr seeds=0,1

trains short runs of the laptop recipe into FOLDER and prints the lines of all runs there, also of
those that were trained before. The recorded file holds such runs, 48 rollouts a step for 20 steps;
runs of 30 steps of 128; and half of a run of the recipe as it is, 61 steps of 256.
"""

import json
import sys
from pathlib import Path

from mssr_rl.cli import main

SHORT = [
    "env=vision_r1",
    "engine.threads=1",
    "train.rollouts_per_step=48",
    "train.samples_per_update=16",
    "train.micro_batch=16",
    "budget.rollouts=960",
    "eval.every=10",
    "eval.limit=64",
    "eval.samples=1",
    "checkpoint.every=0",
]
READ = (
    "reward/mean",
    "reward/no_answer_fraction",
    "reward/bad_format_fraction",
    "reward/timeout_fraction",
    "reward/error_fraction",
    "critic/advantages/zero_fraction",
    "actor/entropy",
    "actor/kl_step",
    "actor/kl_ref",
    "actor/grad_norm",
    "response_length/mean",
    "response_length/clip_ratio",
    "tracker/mean",
    "tracker/eta",
)


def line(folder: Path) -> str:
    """A run as its line; responses only of the first short ones, to keep the file small."""
    metrics, evaluations, samples = (
        [json.loads(text) for text in (folder / f"{name}.jsonl").read_text().splitlines()]
        for name in ("metrics", "eval", "samples")
    )
    summary, described = (
        json.loads((folder / f"{name}.json").read_text()) for name in ("summary", "run")
    )
    return json.dumps(
        {
            "algo": summary["algo"],
            "seed": summary["seed"],
            "planned": described["steps"],
            "keys": [key for key in READ if key in metrics[0]],
            "metrics": [[float(f"{row[k]:.4g}") for k in READ if k in row] for row in metrics],
            "marks": [
                [e["step"], e["accuracy"], e["n"]] for e in evaluations if e["split"] == "val"
            ],
            "responses": [
                [s["step"], s["response"]]
                for s in samples
                if s["split"] == "train" and summary["seed"] == 0 and described["steps"] <= 20
            ],
        }
    )


def record(runs: Path, given: dict[str, str]) -> None:
    """Train what is missing, then print every run."""
    for seed in given["seeds"].split(","):
        for algo in given["algo"].split(","):
            name = f"{algo}-{seed}"
            if not (runs / name / "summary.json").exists():
                main(
                    [
                        "train",
                        *SHORT,
                        f"algo={algo}",
                        f"seed={seed}",
                        f"name={name}",
                        f"runs_dir={runs}",
                    ]
                )
    for folder in sorted(runs.iterdir()):
        sys.stdout.write(f"{line(folder)}\n")


if __name__ == "__main__":
    record(Path(sys.argv[1]), dict(word.split("=") for word in sys.argv[2:]))
