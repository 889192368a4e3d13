"""Test that a model folder does what training needs, compared with plain transformers.

`python tests/models/trial.py` makes the small copies of `twins.py` and prints the table of
docs/models.md. Its arguments are names of copies, or folders.

Plain transformers is `mssr_rl.models.plain`.
"""

import importlib.util
import io
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mssr_rl.engine.local import LocalEngine, LocalOptions
from mssr_rl.engine_protocol import Rollouts, Sampling, UpdatePlan
from mssr_rl.loss import Loss
from mssr_rl.models import plain
from mssr_rl.models.load import load_model
from mssr_rl.problem import Problem

GROUP, STEPS = 4, 4
GAP = 1e-5  # from float32 sums in another order, with logits of about 10


def _twins() -> Any:
    spec = importlib.util.spec_from_file_location("twins", Path(__file__).with_name("twins.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


twins = _twins()


def png(width: int, height: int, seed: int) -> bytes:
    out = io.BytesIO()
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(noise).save(out, "PNG")
    return out.getvalue()


PICTURED = [
    Problem(
        key="square", prompt="<image>Which digit is shown?", answer="1", images=(png(96, 96, 1),)
    ),
    Problem(
        key="two",
        prompt="<image><image>Which of them is larger, and by how much?",
        answer="1",
        images=(png(64, 96, 2), png(130, 70, 3)),
    ),
    Problem(key="wide", prompt="<image>Wide.", answer="1", images=(png(200, 40, 4),)),
]
TEXT = [
    Problem(key="short", prompt="What is 2 + 3?", answer="5"),
    Problem(key="long", prompt="What is the sum of two and three and seven?", answer="12"),
]


def problems_for(engine: LocalEngine) -> list[Problem]:
    """Return problems that its model can be shown, with and without pictures if it takes both."""
    processor = engine.family.encoder.processor
    if processor is None:
        return [*TEXT, replace(TEXT[0], key="again", prompt="Name a number.")]
    return PICTURED if engine.policy.config.model_type == "paligemma" else [*PICTURED, *TEXT]


# ---- a trial ----------------------------------------------------------------------------------


class Result(NamedTuple):
    """The result for one folder."""

    name: str
    parameters: int
    family: str
    gap: float  # largest difference of a log-probability to plain transformers' [nat]
    rescored: float  # largest difference between sampling and scoring [nat]
    greedy: bool  # greedy answers equal those of `generate`
    moved: bool  # every training step changed the policy
    resumed: bool  # a resumed run is equal bit for bit


def engine_of(folder: Path) -> LocalEngine:
    """Return a local engine with a high learning rate and one thread."""
    return LocalEngine(LocalOptions(model=str(folder), lr=1e-3, micro_batch=8))


def trial(name: str, folder: Path, scratch: Path) -> Result:
    """Measure everything in `Result`."""
    engine = engine_of(folder)
    problems = problems_for(engine)
    sampled = engine.rollout(problems, GROUP, Sampling(max_response_tokens=12), seed=1)
    stock = load_model(str(folder), "cpu", "float32")  # with its own attention, not the engine's
    gaps, again = [], engine.logprob(sampled, range(len(problems)))
    for row, problem in enumerate(problems):
        first = row * GROUP
        real = sampled.mask_BT[first].bool()
        known = plain.logprob(stock, engine.family, problem, sampled.token_BT[first][real])
        gaps.append((known - again[first][real]).abs().max())
    resumed, moved = trains(engine, problems, folder, scratch)
    return Result(
        name=name,
        parameters=sum(p.numel() for p in engine.policy.parameters()),
        family=engine.family.said,
        gap=float(torch.stack(gaps).max()),
        rescored=float((again - sampled.logprob_BT).abs().max()),
        greedy=answers_alike(folder, problems),
        moved=moved,
        resumed=resumed,
    )


def answers_alike(folder: Path, problems: Sequence[Problem]) -> bool:
    """Return whether greedy answers equal those of `generate`, token by token."""
    engine = engine_of(folder)
    plan = Sampling(temperature=0, max_response_tokens=8)
    ours = engine.rollout(problems, 1, plan, seed=0)
    lengths = ours.mask_BT.sum(1).int().tolist()
    rows = [row[:n].tolist() for row, n in zip(ours.token_BT, lengths, strict=True)]
    stock = load_model(str(folder), "cpu", "float32")
    return rows == [plain.greedy(stock, engine.family, problem, 8) for problem in problems]


def trains(
    engine: LocalEngine, problems: Sequence[Problem], folder: Path, scratch: Path
) -> tuple[bool, bool]:
    """Return whether a resumed run ends with the same bits, and whether every step changed it."""
    seen = [weights(engine)]
    for step in range(STEPS):
        if step == STEPS // 2:
            engine.save(scratch)
        one_step(engine, problems, step)
        seen.append(weights(engine))
    second = engine_of(folder)
    second.load(scratch)
    for step in range(STEPS // 2, STEPS):
        one_step(second, problems, step)
    moved = all(not torch.equal(a, b) for a, b in pairwise(seen))
    finite = bool(torch.isfinite(seen[-1]).all())
    return torch.equal(weights(second), seen[-1]), moved and finite


def one_step(engine: LocalEngine, problems: Sequence[Problem], step: int) -> Rollouts:
    """Make a rollout, and an update with random advantages."""
    rollouts = engine.rollout(problems, GROUP, Sampling(max_response_tokens=12), seed=step)
    generator = torch.Generator().manual_seed(step)
    sign_B = torch.randn(len(rollouts.mask_BT), 1, generator=generator)
    reference = engine.reference_logprob(rollouts)
    plan = UpdatePlan(loss=Loss(), samples_per_update=2 * GROUP, seed=step)
    engine.update(rollouts, sign_B * rollouts.mask_BT, reference, plan)
    return rollouts


def weights(engine: LocalEngine) -> Tensor:
    """Return all parameters as one tensor."""
    return torch.cat([p.detach().flatten() for p in engine.policy.parameters()])


# ---- the table --------------------------------------------------------------------------------


def line(r: Result) -> str:
    """Return a row of the table."""

    def yes(fact: bool) -> str:
        return "yes" if fact else "NO"

    return (
        f"| {r.name} | {r.parameters:,} | {r.gap:.1e} | {r.rescored:.1e} | {yes(r.greedy)} | "
        f"{yes(r.moved)} | {yes(r.resumed)} |"
    )


HEAD = (
    "| twin | parameters | gap to plain transformers | sampled and scored | greedy as `generate` | "
    f"trains {STEPS} steps | resumes bit for bit |\n|---|---:|---:|---:|---|---|---|"
)


def main(words: list[str]) -> None:
    torch.set_num_threads(1)
    print(HEAD)
    for word in words or list(twins.TWINS):
        with tempfile.TemporaryDirectory() as scratch:
            root = Path(scratch)
            folder = twins.write(word, root / "model") if word in twins.TWINS else Path(word)
            print(line(trial(word, folder, root / "saved")), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
