"""Selects rollouts to show, and writes them to samples.jsonl with their pictures as PNG files.

Text of a model is untrusted. It is stored as JSON with all non-ASCII characters escaped. In the log
its control characters are escaped, and long texts are cut.
"""

import hashlib
import io
import re
from collections.abc import Sequence
from math import isnan
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from mssr_rl import files, outward
from mssr_rl.envs.environment import Graded
from mssr_rl.problem import Problem
from mssr_rl.run.loggers import LoggedRollout
from mssr_rl.seeds import derive

PNG = b"\x89PNG\r\n\x1a\n"
SAFE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,79}")
UNSCORABLE = "unscorable"  # the reason shown for a rollout without a reward
SHOWN = 160  # characters of a response that the log shows


class Sample(NamedTuple):
    """A rollout with its problem and its verdict."""

    problem: Problem
    response: str
    graded: Graded

    @property
    def scored(self) -> bool:
        """Whether the rollout has a reward; without one it is left out of training and scores."""
        return not isnan(self.graded.reward)


def choose(count: int, size: int, *names: str | int, seed: int) -> list[int]:
    """Return at most `count` sorted indices below `size`, drawn by `seed` and `names`."""
    rng = np.random.default_rng(derive(seed, "samples", *names))
    return sorted(int(i) for i in rng.choice(size, min(count, size), replace=False))


class Push(NamedTuple):
    """How training pushed a response: its mean advantage, and the share of tokens pushed up."""

    advantage: float
    up: float


def pushes(advantage_BT: Tensor, mask_BT: Tensor) -> list[Push]:
    """Return the push of each rollout, from the advantages of its response tokens."""
    length_B = mask_BT.sum(1).clamp(min=1)
    mean_B = (advantage_BT * mask_BT).sum(1) / length_B
    up_B = ((advantage_BT > 0) & (mask_BT > 0)).sum(1) / length_B
    return [Push(*pair) for pair in zip(mean_B.tolist(), up_B.tolist(), strict=True)]


def pushed(sample: Sample, push: Push) -> dict[str, Any]:
    """Return what samples.jsonl says of a push.

    `flipped` means that a response without reward has a token that was pushed up.
    """
    flipped = sample.scored and sample.graded.reward <= 0 and push.up > 0
    return {"advantage": float(f"{push.advantage:.6g}"), "flipped": flipped}


def sample_record(sample: Sample, step: int, split: str, images: Sequence[str]) -> dict[str, Any]:
    """Return one object for samples.jsonl; `images` are paths relative to the run directory."""
    problem, verdict = sample.problem, sample.graded.verdict
    return {
        "step": step,
        "split": split,
        "key": problem.key,
        "tags": dict(problem.tags),
        "prompt": problem.prompt,
        "image": images[0] if images else None,
        "images": list(images),
        "answer": problem.answer,
        "response": sample.response,
        "extracted": verdict.extracted,
        "reward": sample.graded.reward if sample.scored else None,
        "reason": verdict.reason if sample.scored else UNSCORABLE,
    }


def audit_line(sample: Sample) -> str:
    """Return one line on a rollout: its reason, extracted answer, gold answer and response."""
    verdict = sample.graded.verdict
    return (
        f"  {verdict.reason if sample.scored else UNSCORABLE:<10} read {shown(verdict.extracted)}, "
        f"wanted {shown(sample.problem.answer)}, in {shown(sample.response)}"
    )


def shown(text: str | None) -> str:
    """Return a text on one line, shortened, with control characters escaped.

    For None it returns "nothing".
    """
    if text is None:
        return "nothing"
    return repr(text if len(text) <= SHOWN else text[: SHOWN - 1] + "…")


def logged(sample: Sample, split: str, run_folder: Path) -> LoggedRollout:
    """Return a rollout as loggers show it; its pictures are those in the run's folder."""
    verdict, problem = sample.graded.verdict, sample.problem
    text = (
        f"{problem.prompt}\n\n{sample.response}\n\n"
        f"{verdict.reason}: read {shown(verdict.extracted)}, wanted {shown(problem.answer)}"
    )
    pictures = [run_folder / path for path in write_pictures(problem, run_folder)]
    return LoggedRollout(f"{split}_rollouts/{_stem(problem.key)}", pictures, outward.plain(text))


def write_pictures(problem: Problem, run_folder: Path) -> list[str]:
    """Write a problem's pictures to samples/, unless they are there already.

    Returns their paths relative to the run directory.
    """
    folder = run_folder / "samples"
    folder.mkdir(exist_ok=True)
    paths = []
    for index, picture in enumerate(problem.images):
        path = folder / f"{_stem(problem.key)}{f'_{index}' if index else ''}.png"
        if not path.exists():
            files.write_bytes(path, _as_png(picture))
        paths.append(path.relative_to(run_folder).as_posix())
    return paths


def _stem(key: str) -> str:
    # A key comes from a data file, so it may hold slashes, or be too long for a file name.
    if SAFE_NAME.fullmatch(key):
        return key
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def _as_png(picture: bytes) -> bytes:
    if picture.startswith(PNG):
        return picture
    from mssr_rl.data.pictures import decode  # imported here, because most runs have only PNG

    out = io.BytesIO()
    decode(picture).save(out, "PNG")
    return out.getvalue()
