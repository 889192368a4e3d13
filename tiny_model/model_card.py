"""Measure a model's accuracy before reinforcement learning, and write its model card.

Held-out problems are answered once greedily, eight times at temperature 1, and eight times with a
grey picture. RL can improve the model if pass@8 is above mean@1. Problems that are solved sometimes
but not always give RL a gradient. The grey pictures show whether the model uses the picture.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from mssr_rl.data.pictures import blinded
from mssr_rl.engine_protocol import Engine, Sampling
from mssr_rl.envs.environment import ProblemEnv

SAMPLES = 8
LENGTH = 64


class ProblemResult(NamedTuple):
    """The numbers of right responses to one problem, and its family and level."""

    cell: tuple[str, str]  # family, level
    greedy: bool
    right: int  # of SAMPLES at temperature 1
    right_grey: int  # of SAMPLES, with a grey picture


class CardLine(NamedTuple):
    """One row of the card's table: shares over some of the problems."""

    name: str
    n: int
    greedy: float
    mean: float
    passed: float  # right at least once in SAMPLES
    mixed: float  # right sometimes, not always
    grey: float


def measure(engine: Engine, env: ProblemEnv) -> list[ProblemResult]:
    """Return the results of a model for every problem of `env`.

    Each problem is answered greedily, at temperature 1, and at temperature 1 with a grey picture.
    """
    blind = ProblemEnv(
        [blinded(problem) for problem in env.problems], name="grey", split=env.split,
        instruction="none",
    )  # fmt: skip
    greedy = _right(engine, env, 1, 0.0)
    sampled = _right(engine, env, SAMPLES, 1.0)
    grey = _right(engine, blind, SAMPLES, 1.0)
    return [
        ProblemResult((p.tags["family"], p.tags["level"]), bool(g), s, b)
        for p, g, s, b in zip(env.problems, greedy, sampled, grey, strict=True)
    ]


def _right(engine: Engine, env: ProblemEnv, samples: int, temperature: float) -> list[int]:
    sampling = Sampling(temperature=temperature, max_response_tokens=LENGTH)
    rollouts = engine.rollout(env.problems, samples, sampling, seed=0)
    rows = [row for row in range(len(env.problems)) for _ in range(samples)]
    paid = [graded.verdict.correct for graded in env.grade(rows, rollouts.responses)]
    return [sum(paid[i : i + samples]) for i in range(0, len(paid), samples)]


def line(name: str, measured: Sequence[ProblemResult]) -> CardLine:
    """Return a row of the card's table for some problems."""

    def share(f: Callable[[ProblemResult], float]) -> float:
        return sum(map(f, measured)) / len(measured)

    return CardLine(
        name,
        len(measured),
        share(lambda m: m.greedy),
        share(lambda m: m.right / SAMPLES),
        share(lambda m: m.right > 0),
        share(lambda m: 0 < m.right < SAMPLES),
        share(lambda m: m.right_grey / SAMPLES),
    )


def table(measured: Sequence[ProblemResult]) -> str:
    """Return a Markdown table with the shares for some sets of problems, one in each row.

    The sets are all problems, each level, each family, and each pair of family and level.
    """
    families = sorted({m.cell[0] for m in measured})
    levels = sorted({m.cell[1] for m in measured})
    lines = [line("**all**", measured)]
    lines += [line(f"level {v}", [m for m in measured if m.cell[1] == v]) for v in levels]
    lines += [line(v, [m for m in measured if m.cell[0] == v]) for v in families]
    cells = [(family, level) for family in families for level in levels]
    lines += [line(f"{f} {v}", [m for m in measured if m.cell == (f, v)]) for f, v in cells]
    head = "| problems | n | greedy | mean@1 | pass@8 | mixed | grey picture |\n|---|" + "---:|" * 6
    rows = [
        f"| {x.name} | {x.n} | " + " | ".join(f"{value:.3f}" for value in x[2:]) + " |"
        for x in lines
    ]
    return "\n".join([head, *rows])


def write(folder: Path, facts: Sequence[str], measured: Sequence[ProblemResult]) -> None:
    """Write the model card of a folder to its README.md."""
    what = "\n".join(f"* {fact}" for fact in facts)
    text = CARD.format(facts=what, table=table(measured), samples=SAMPLES)
    (folder / "README.md").write_text(text)


CARD = """# The tiny Qwen2.5-VL

A real `Qwen2_5_VLForConditionalGeneration` small enough to train by reinforcement on a laptop's
CPU in minutes. It was made for that purpose only: it knows ten families of generated pictures and
nothing else. Licence: Apache-2.0, as the code that made it; the handwritten digits in its training
pictures are scikit-learn's (BSD-3).

{facts}

Each training problem was answered in two ways: carefully (every reading from the picture, then the
arithmetic) and hastily (a bare guess), the hasty way with the larger weight. So it can reason but
seldom does, and its answers are right sometimes. Reinforcement can improve on this.

Accuracy on the held-out validation problems of `env=vision_r1` (data=mini), none of which, nor any
of their handwriting, it has seen; {samples} answers per problem at temperature 1; "mixed" problems
are solved sometimes but not always; the last column answers with the picture greyed out.

{table}

It is an ordinary `save_pretrained` folder:

```python
from mssr_rl.models import TINY
from mssr_rl.models.processor import read_processor  # AutoProcessor's work without torchvision
from transformers import AutoModelForImageTextToText

model = AutoModelForImageTextToText.from_pretrained(TINY)
processor = read_processor(TINY)
```

Reproduce: `python -m tiny_model --out FOLDER --work FOLDER` (seeded, resumable).
With other threads or another processor the last bits differ, and so, a little, do the figures.
"""
