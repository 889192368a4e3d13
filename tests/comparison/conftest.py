"""A small comparison folder as `compare` writes it, and the browser of tests/report."""

import json
import random
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

_spec = spec_from_file_location("report_conftest", Path(__file__).parents[1] / "report/conftest.py")
assert _spec is not None
assert _spec.loader is not None
_reports = module_from_spec(_spec)
_spec.loader.exec_module(_reports)
browser = _reports.browser  # the fixture

Make = Callable[..., Path]
PROBLEMS = 80
EVIL = "</pre></script><script>window.hacked=1</script><img src=x onerror='window.hacked=2'>"
LEDGER = {
    "initial_rollouts": 0,
    "discarded_rollouts": 0,
    "prompt_tokens": 5000,
    "image_tokens": 900,
    "trained_tokens": 40000,
    "evaluation_rollouts": 500,
    "verifier_seconds": 0.5,
    "gpu_seconds": 0.0,
    "seconds_by_phase": {"rollout": 5.0, "update": 4.0},
}


def right(share: float, name: str) -> dict[str, int]:
    """Return 1 for `share` of the problems and 0 for the others; `name` decides which ones."""
    keys = [f"p{i}" for i in range(PROBLEMS)]
    won = set(random.Random(name).sample(keys, round(share * PROBLEMS)))
    return {key: int(key in won) for key in keys}


def evaluation(step: int, split: str, share: float, name: str) -> dict[str, Any]:
    greedy = right(share, f"{name}{split}{step}")
    sampled = {key: 2 * won for key, won in greedy.items()}
    accuracy = sum(greedy.values()) / PROBLEMS
    kinds = {"even": {"n": 40, "accuracy": accuracy}, "odd": {"n": 40, "accuracy": accuracy}}
    return {
        "step": step, "env": "vision_r1", "split": split, "n": PROBLEMS, "accuracy": accuracy,
        "accuracy_sampled": sum(sampled.values()) / (4 * PROBLEMS), "samples": 4,
        "per_problem": greedy, "per_problem_sampled": sampled, "by_tag": {"family": kinds},
        "budget": budget(step),
    }  # fmt: skip


def budget(step: int) -> dict[str, float]:
    return {
        "rollouts": 64 * step, "prompts": 8 * step, "updates": 4 * step,
        "generated_tokens": 1000 * step, "trained_tokens": 1000 * step, "seconds": 2.0 * step,
    }  # fmt: skip


def metrics(step: int, share: float) -> dict[str, float]:
    return {
        "step": step, "reward/mean": share, "actor/entropy": 0.5 - 0.01 * step,
        **{f"budget/{name}": spent for name, spent in budget(step).items()},
    }  # fmt: skip


def sample(index: int, won: bool, text: str) -> dict[str, Any]:
    return {
        "step": 12, "split": "test", "key": f"p{index}", "tags": {"family": "even"},
        "prompt": f"<image>How many? {text}", "image": "samples/dot.png",
        "images": ["samples/dot.png"], "answer": "4", "response": f"<think>{text}</think>four",
        "extracted": "4" if won else None, "reward": int(won),
        "reason": "correct" if won else "no_answer",
    }  # fmt: skip


def write_run(folder: Path, arm: str, seed: int, shares: tuple[float, ...]) -> None:
    """Write a finished run with evaluations at steps 0, 4, 8 and 12."""
    name = f"{arm}{seed}"
    (folder / "samples").mkdir(parents=True)
    Image.new("RGB", (16, 16), "navy").save(folder / "samples/dot.png")
    (folder / "config.yaml").write_text(f"algo: {{name: {arm}}}\nseed: {seed}\n")
    rows = [evaluation(4 * i, "val", share, name) for i, share in enumerate(shares)]
    rows.append(evaluation(12, "test", shares[-1], name))
    steps = [metrics(step, 0.02 * step) for step in range(1, 13)]
    shown = [sample(i, rows[-1]["per_problem"][f"p{i}"] == 1, EVIL) for i in range(16)]
    for stream, lines in (("eval", rows), ("metrics", steps), ("samples", shown)):
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / f"{stream}.jsonl").write_text(text)
    run = {
        "status": "done",
        "data": {split: {"fingerprint": split} for split in ("train", "val", "test")},
        "model": {"hash": "m"},
        "versions": {"torch": "2", "mssr_rl": "0"},
        "git": {"revision": "r"},
        "machine": {"processor": "x"},
        "problem_order": f"order-{seed}",
    }
    (folder / "run.json").write_text(json.dumps(run))
    ledger = {**LEDGER, **budget(12)}
    summary = {"ledger": ledger, "stability": {"verdict": "stable", "events": []}}
    (folder / "summary.json").write_text(json.dumps(summary))


@pytest.fixture(scope="session")
def make_comparison(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Return a function that writes a comparison of {arm: final accuracy}.

    Seeds of an arm differ a little, in the same way for every arm.
    """

    def make(final: dict[str, float], seeds: int = 3, kind: str = "same") -> Path:
        folder = tmp_path_factory.mktemp("comparisons") / "one"
        entries = []
        for arm, share in final.items():
            for seed in range(seeds):
                name = f"vision_r1-{arm.replace('|', '-')}-s{seed}"
                end = share + 0.025 * (seed - 1)
                write_run(folder / "runs" / name, arm, seed, (0.3, 0.35, (0.35 + end) / 2, end))
                entries.append({"name": name, "arm": arm, "env": "vision_r1", "seed": seed})
        values = dict.fromkeys(final, 64)
        row = {"name": "train.samples_per_update", "values": values, "kind": kind, "because": []}
        document = {
            "format": 1, "command": ["algo=" + ",".join(final)], "arms": list(final),
            "envs": ["vision_r1"], "seeds": list(range(seeds)), "runs": entries,
            "rule": {"margin": 0.01, "alpha": 0.05, "baseline": None, "race": False},
            "varies": [],
            "fairness": [{"env": "vision_r1", "rows": [row]}],
        }  # fmt: skip
        (folder / "compare.json").write_text(json.dumps(document))
        return folder

    return make
