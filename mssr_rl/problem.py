"""A verifiable problem: what the policy is shown, and what its answer is held against."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One row of a data set, ready to be posed."""

    key: str  # stable across runs: the value tracker, the splits and the reports go by it
    prompt: str  # "<image>" stands where a picture goes, one tag a picture
    answer: str
    images: tuple[bytes, ...] = field(default=(), repr=False)  # encoded PNG or JPEG
    choices: tuple[str, ...] | None = None
    tags: Mapping[str, str] = field(default_factory=dict)  # e.g. family, level: for break-downs
    extras: Mapping[str, str] = field(default_factory=dict)  # what a scoring rule needs besides
