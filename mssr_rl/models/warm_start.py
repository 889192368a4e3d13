"""How the tiny model's weights were made: `python -m mssr_rl.models.warm_start`.

A supervised warm start on worked examples (`supervised.py`), as a vision-language model has one
before anybody trains it by reinforcement. It stops early on purpose: about a third of the answers
are right at temperature 1, and most problems are solved sometimes but not always, which is the
room that RL needs. Examples come from the training stream only; validation and test problems
are other seeds and other writers.

The run is resumable: the same command goes on from the last checkpoint in `--work`.
"""

import argparse
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from mssr_rl.models import supervised
from mssr_rl.models.encode import PromptEncoder
from mssr_rl.models.processor import new_processor, save_processor
from mssr_rl.models.tiny_config import PATCH, new_model, train_tokenizer
from mssr_rl.prompts import INSTRUCTIONS


@dataclass(frozen=True, kw_only=True)
class WarmStart:
    """Everything that decides the weights."""

    examples: int = 60_000
    steps: int = 4_000
    easy_steps: int = 700  # of them at the start, on level 0 alone: the model learns to look
    batch: int = 32  # problems a step, each answered carefully and hastily
    hasty_share: float = 0.65
    lr: float = 2e-3
    seed: int = 1


def learning_rate(plan: WarmStart, step: int) -> float:
    """A hundred steps up, then a cosine down to a tenth."""
    if step < 100:
        return plan.lr * (step + 1) / 100
    share = (step - 100) / max(plan.steps - 100, 1)
    return plan.lr * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * share)))


def build(plan: WarmStart, examples: list[supervised.Example]) -> tuple[Any, PromptEncoder]:
    """A fresh model, and a tokenizer that has learned the words of the first examples."""
    texts = [*INSTRUCTIONS.values()]
    for e in examples[:6000]:
        texts += [e.problem.prompt.replace("<image>", ""), e.careful, e.hasty]
    tokenizer = train_tokenizer(texts)
    torch.manual_seed(plan.seed)
    model = new_model(tokenizer)
    return model, PromptEncoder(new_processor(tokenizer, PATCH), 1024)


def train(plan: WarmStart, work: Path) -> tuple[Any, PromptEncoder]:
    """Run, or go on with, the supervised steps."""
    started = time.monotonic()
    examples = supervised.draw_examples(plan.examples, workers=2)
    print(f"{len(examples)} examples drawn in {time.monotonic() - started:.0f} s", flush=True)
    model, encoder = build(plan, examples)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=plan.lr, betas=(0.9, 0.98), weight_decay=0.05, fused=True
    )
    first = _restore(work, model, optimiser)
    for step, rows in enumerate(_order(plan, examples)):
        if step < first:
            continue
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(plan, step)
        loss = supervised.loss(model, encoder, [examples[i] for i in rows], plan.hasty_share)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        if (step + 1) % 20 == 0:
            print(f"step {step + 1}: loss {loss.item():.3f}", flush=True)
        if (step + 1) % 200 == 0 or step + 1 == plan.steps:
            _keep(work, step + 1, model, optimiser)
    return model, encoder


def _order(plan: WarmStart, examples: Sequence[supervised.Example]) -> Iterator[list[int]]:
    """Which examples each step sees: easy ones first, then all."""
    everything = range(len(examples))
    easy = [row for row in everything if examples[row].problem.tags["level"] == "0"]
    first = supervised.batches(easy, plan.batch, plan.seed)
    then = supervised.batches(everything, plan.batch, plan.seed)
    for step in range(plan.steps):
        yield next(first if step < plan.easy_steps else then)


def _keep(work: Path, step: int, model: Any, optimiser: torch.optim.Optimizer) -> None:
    work.mkdir(parents=True, exist_ok=True)
    tensors = {f"model.{name}": value for name, value in model.named_parameters()}
    for row, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{row}.{name}": value for name, value in state.items()}
    tensors = {name: value.detach().contiguous() for name, value in tensors.items()}
    save_file(tensors, work / "next.safetensors", metadata={"step": str(step)})
    (work / "next.safetensors").rename(work / f"step_{step:05d}.safetensors")


def _restore(work: Path, model: Any, optimiser: torch.optim.Optimizer) -> int:
    """The step to go on with; 0 where there is no checkpoint."""
    found = sorted(work.glob("step_*.safetensors"))
    if not found:
        return 0
    tensors = load_file(found[-1])
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.copy_(tensors[f"model.{name}"])
    states: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in tensors.items():
        kind, row, *rest = name.split(".")
        if kind == "optimiser":
            states.setdefault(int(row), {})[rest[0]] = value
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": states, "param_groups": groups})
    step = int(found[-1].stem.removeprefix("step_"))
    print(f"going on from step {step}", flush=True)
    return step


def main() -> None:
    """Train and write the model folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("tiny"), help="the model folder to write")
    parser.add_argument("--work", type=Path, default=Path("warm_start"), help="checkpoints")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model, encoder = train(WarmStart(), arguments.work)
    model.save_pretrained(arguments.out)
    save_processor(encoder.processor, arguments.out)


if __name__ == "__main__":
    main()
