"""Make the tiny model's weights: `python -m tiny_model`.

The model is trained by supervised learning on worked examples (`supervised.py`), as other
vision-language models are before reinforcement learning. Training stops early on purpose: 43 % of
the responses are right at temperature 1, and most problems are solved sometimes but not always. So
RL can improve the model. All examples are training problems. Validation and test problems have
other seeds and other handwritten digits.

The run is resumable: the same command continues from the last checkpoint in `--work`.

    python -m tiny_model --out starts --steps 400,800,1600,3200   a ladder of starts
    python -m tiny_model --out twin --scene words                 a start for `env.scene=words`
    python -m tiny_model --out large --size large                 the same with 4 M parameters
"""

import argparse
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from safetensors.torch import load_file, save_file

from mssr_rl.models.encode import PromptEncoder
from mssr_rl.models.load import save_model
from mssr_rl.models.processor import new_processor
from mssr_rl.models.tensors import copy_weights, load_optimiser, save_optimiser
from mssr_rl.prompts import INSTRUCTIONS
from tiny_model import model_card, supervised
from tiny_model.architecture import PATCH, SIZES, new_model, train_tokenizer


@dataclass(frozen=True, kw_only=True)
class WarmStart:
    """The settings of the training, which determine the weights."""

    examples: int = 60_000
    steps: int = 1_600
    schedule: int = 4_000  # length of the learning-rate schedule in steps; the run stops before
    easy_steps: int = 700  # first steps, on level 0 only: here the model learns to use pictures
    batch: int = 32  # problems a step, each answered carefully and hastily
    hasty_share: float = 0.65
    lr: float = 2e-3
    seed: int = 1
    size: str = "tiny"  # one of SIZES
    scene: Literal["picture", "words"] = "picture"  # words: on the text twins of the problems


class WarmStarted(NamedTuple):
    """The trained model, its encoder, and the training time [s]."""

    model: Any
    encoder: PromptEncoder
    seconds: float  # including the time before a resume


def say(text: str) -> None:
    """Print a line of progress on standard error."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def learning_rate(plan: WarmStart, step: int) -> float:
    """Return the learning rate of a step.

    It rises for a hundred steps, and then falls along a cosine to a tenth.
    """
    if step < 100:
        return plan.lr * (step + 1) / 100
    share = (step - 100) / max(plan.schedule - 100, 1)
    return plan.lr * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * share)))


def build(
    plan: WarmStart, examples: list[supervised.SupervisedExample]
) -> tuple[Any, PromptEncoder]:
    """Return a new model, and its encoder with a tokenizer trained on the first 6,000 examples."""
    texts = (text for e in examples[:6000] for text in supervised.texts(e))
    tokenizer = train_tokenizer([*INSTRUCTIONS.values(), *texts])
    torch.manual_seed(plan.seed)
    model = new_model(tokenizer, SIZES[plan.size])
    return model, PromptEncoder(new_processor(tokenizer, PATCH), 1024)


def draw(plan: WarmStart) -> list[supervised.SupervisedExample]:
    """Return the examples of a training."""
    started = time.monotonic()
    examples = supervised.draw_examples(plan.examples, workers=2, scene=plan.scene)
    say(f"{len(examples)} examples drawn in {time.monotonic() - started:.0f} s")
    return examples


def train(
    plan: WarmStart, work: Path, examples: list[supervised.SupervisedExample] | None = None
) -> WarmStarted:
    """Return the trained model; an interrupted training continues from its last checkpoint."""
    started = time.monotonic()
    examples = draw(plan) if examples is None else examples
    model, encoder = build(plan, examples)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=plan.lr, betas=(0.9, 0.98), weight_decay=0.05, fused=True
    )
    first, before = _restore(work, plan.steps, model, optimiser)
    seconds = before
    for step, rows in enumerate(_order(plan, examples), start=1):
        if step <= first:
            continue
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(plan, step - 1)
        loss = supervised.loss(model, encoder, [examples[i] for i in rows], plan.hasty_share)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        seconds = before + time.monotonic() - started
        if step % 20 == 0:
            say(f"step {step} of {plan.steps}: loss {loss.item():.3f}, {seconds:.0f} s")
        if step % 200 == 0 or step == plan.steps:
            _keep(work / f"step_{step:05d}", model, optimiser, seconds)
    return WarmStarted(model, encoder, seconds)


def _order(
    plan: WarmStart, examples: Sequence[supervised.SupervisedExample]
) -> Iterator[list[int]]:
    """Yield the indices of each step's examples: first easy examples, later all."""
    everything = range(len(examples))
    easy = [row for row in everything if examples[row].problem.tags["level"] == "0"]
    first = supervised.batches(easy, plan.batch, plan.seed)
    then = supervised.batches(everything, plan.batch, plan.seed)
    for step in range(plan.steps):
        yield next(first if step < plan.easy_steps else then)


def _keep(folder: Path, model: Any, optimiser: torch.optim.Optimizer, seconds: float) -> None:
    """Write a checkpoint to the folder.

    It is written under another name and then renamed, so the folder is never incomplete.
    """
    aside = folder.with_name("next")
    aside.mkdir(parents=True, exist_ok=True)
    weights = {name: value.detach().contiguous() for name, value in model.named_parameters()}
    save_file(weights, aside / "model.safetensors")
    save_optimiser(optimiser, aside / "optimiser.safetensors", {"seconds": f"{seconds:.0f}"})
    aside.rename(folder)


def _restore(
    work: Path, steps: int, model: Any, optimiser: torch.optim.Optimizer
) -> tuple[int, float]:
    """Load the last checkpoint of at most `steps` steps into the model and the optimiser.

    Returns its step and the training time so far [s]; 0 and 0 if there is no checkpoint.
    """
    found = {int(path.name.removeprefix("step_")): path for path in work.glob("step_*")}
    step = max((step for step in found if step <= steps), default=0)
    if not step:
        return 0, 0.0
    copy_weights(model, load_file(found[step] / "model.safetensors"))
    note = load_optimiser(optimiser, found[step] / "optimiser.safetensors")
    say(f"going on after step {step}")
    return step, float(note["seconds"])


def facts(plan: WarmStart, trained: WarmStarted) -> list[str]:
    """Return the lines of the model card about the training."""
    parameters = sum(p.numel() for p in trained.model.parameters())
    return [
        f"{parameters:,} parameters in float32, {len(trained.encoder.processor.tokenizer)} tokens",
        f"{plan.examples:,} training problems drawn, seed {plan.seed}",
        f"{plan.steps:,} supervised steps of {plan.batch} problems",
        f"the first {plan.easy_steps} of them on level 0 alone",
        f"AdamW, learning rate {plan.lr:g} on a cosine laid out for {plan.schedule:,} steps",
        f"hasty answers weigh {plan.hasty_share:.0%}",
        f"{trained.seconds / 60:.0f} minutes on a CPU, threads: {torch.get_num_threads()}",
    ]


def write(plan: WarmStart, trained: WarmStarted, out: Path) -> None:
    """Write a model folder, measure the model's accuracy on val, and write its card."""
    from mssr_rl.engine.local import LocalEngine, LocalOptions
    from mssr_rl.envs.environment import ProblemEnv
    from mssr_rl.envs.mini import MiniOptions, mini_problems

    save_model(trained.model, trained.encoder.processor, out)
    engine = LocalEngine(LocalOptions(model=str(out), threads=torch.get_num_threads()))
    problems = mini_problems("val", options=MiniOptions(scene=plan.scene))
    measured = model_card.measure(engine, ProblemEnv(problems, name="mini", split="val"))
    model_card.write(out, facts(plan, trained), measured)
    say(model_card.table(measured))


def main(words: Sequence[str] | None = None) -> None:
    """Train the tiny model, write its folder, measure its accuracy and write its model card.

    With several numbers of steps, one training passes through all of them: a ladder of starts.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("tiny"), help="the model folder to write")
    parser.add_argument("--work", type=Path, default=Path("warm_start"), help="its checkpoints")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--steps", default=str(WarmStart.steps), help="N, or N,N,... for a ladder")
    parser.add_argument("--size", choices=tuple(SIZES), default="tiny", help="of the model")
    parser.add_argument(
        "--scene", choices=("picture", "words"), default="picture", help="words: on the text twins"
    )
    parser.add_argument("--examples", type=int, default=WarmStart.examples, help="drawn problems")
    arguments = parser.parse_args(words)
    torch.set_num_threads(arguments.threads)
    plan = WarmStart(size=arguments.size, scene=arguments.scene, examples=arguments.examples)
    steps, examples = sorted(map(int, arguments.steps.split(","))), draw(plan)
    for count in steps:
        rung = replace(plan, steps=count)
        trained = train(rung, arguments.work / f"{plan.size}-{plan.scene}", examples)
        folder = arguments.out / f"step_{count}" if len(steps) > 1 else arguments.out
        write(rung, trained, folder)


if __name__ == "__main__":
    main()
