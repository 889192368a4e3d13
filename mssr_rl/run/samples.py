"""Rollouts worth showing: one object of samples.jsonl each, with its pictures written as PNG.

Model text is data: it is stored as JSON with every non-ASCII character escaped, and shown on the
plain log with control characters escaped and long texts cut.
"""

import hashlib
import io
import re
from collections.abc import Sequence
from math import isnan
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mssr_rl import files
from mssr_rl.envs.environment import Graded
from mssr_rl.problem import Problem
from mssr_rl.seeds import derive

PNG = b"\x89PNG\r\n\x1a\n"
SAFE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,79}")
UNSCORABLE = "unscorable"  # the reason of a rollout that has no reward
SHOWN = 160  # characters of a response on the plain log


class Sample(NamedTuple):
    """One graded rollout."""

    problem: Problem
    response: str
    graded: Graded

    @property
    def scored(self) -> bool:
        """Whether there is a reward; one that is not scored is left out of everything."""
        return not isnan(self.graded.reward)


def choose(count: int, size: int, *names: str | int, seed: int) -> list[int]:
    """Indices of at most `count` of `size` things, ascending; decided by seed and names."""
    rng = np.random.default_rng(derive(seed, "samples", *names))
    return sorted(int(i) for i in rng.choice(size, min(count, size), replace=False))


def sample_record(sample: Sample, step: int, split: str, images: Sequence[str]) -> dict[str, Any]:
    """The object of samples.jsonl; `images` are paths relative to the run directory."""
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
    """A rollout in one line for the eye: what was said, what was read out of it, and what for."""
    verdict = sample.graded.verdict
    return (
        f"  {verdict.reason if sample.scored else UNSCORABLE:<10} read {shown(verdict.extracted)}, "
        f"wanted {shown(sample.problem.answer)}, in {shown(sample.response)}"
    )


def shown(text: str | None) -> str:
    """A text in one line, cut, with everything escaped that a terminal could obey."""
    if text is None:
        return "nothing"
    return repr(text if len(text) <= SHOWN else text[: SHOWN - 1] + "…")


def write_pictures(problem: Problem, run_folder: Path) -> list[str]:
    """Write a problem's pictures once under samples/; their paths relative to the run directory."""
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
    # A key comes from a data file: it may hold slashes, or be longer than a file name may be.
    if SAFE_NAME.fullmatch(key):
        return key
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def _as_png(picture: bytes) -> bytes:
    if picture.startswith(PNG):
        return picture
    from mssr_rl.data.pictures import decode  # here: most runs only ever meet PNG

    out = io.BytesIO()
    decode(picture).save(out, "PNG")
    return out.getvalue()
