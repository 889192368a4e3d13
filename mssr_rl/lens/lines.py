"""Read recorded batches as the input of advantage chains.

A file has one JSON object per line, and one line per training step:

    {"problem": ["p0", "p0", ...], "reward": [1, 0, ...], "logprob": [[...], ...],
     "logprob_ref": [[...], ...]?, "entropy": [[...], ...]?, "greedy": [1, 0, ...]?,
     "loss_mask": [[1, 0, ...], ...]?, "kl_step": 0.004?}

There is one entry per rollout, problem by problem, with one value per response token. "?" marks
entries that may be missing. The recordings of a run also hold `row`, the problem's row in the
training set, and `problems`, the size of that set. All tensors are float64.

Shapes: B rollouts, T response tokens.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mssr_rl import untrusted
from mssr_rl.advantage import Batch
from mssr_rl.errors import UserError

LINE_BYTES = 2**30  # a number as text takes about 20 bytes
MOST_PROBLEMS = 10**7  # the state of an algorithm has a row for each
MOST_TOKENS = 2**25  # limit for a padded batch: 256 MiB per tensor
RAGGED = ("logprob", "logprob_ref", "entropy", "loss_mask")


BEYOND = 1 << 20  # group numbers of a step must be smaller


class LensStep(NamedTuple):
    """One recorded training step, as a batch and as the JSON object of its line."""

    where: str  # file and line, for error messages
    problems: list[str]  # B keys
    lengths: list[int]  # B
    groups: list[int]  # numbers of consecutive rollouts of the same problem
    batch: Batch
    record: Mapping[str, Any]  # the JSON object itself


class Recording(NamedTuple):
    """A file of recorded steps, and the rows of its problems."""

    path: Path
    row_of: Mapping[str, int]  # problem -> its row in the state of an algorithm
    size: int  # N, the number of rows of that state

    def lines(self) -> Iterator[LensStep]:
        """Yield the steps in order; only one is in memory at a time."""
        for where, record in _objects(self.path):
            yield line_of(record, where, self.row_of)


def open_recording(path: Path) -> Recording:
    """Return the recording in a file; only its problems are read yet.

    Raise `UserError` if the file holds no batch, or an entry is wrong.
    """
    row_of: dict[str, int] = {}
    size = 0
    for where, record in _objects(path):
        keys = _keys(record, where)
        if "row" in record and "problems" in record:
            row_of.update(zip(keys, _rows(record, len(keys), where), strict=True))
            size = max(size, _count(record["problems"], MOST_PROBLEMS, f"{where}: problems"))
        else:
            for key in keys:
                row_of.setdefault(key, len(row_of))
    if not row_of:
        raise UserError(f"{path} holds no batch; a line is an object with problem, reward, logprob")
    return Recording(path, row_of, max(size, max(row_of.values()) + 1))


def line_of(record: Mapping[str, Any], where: str, row_of: Mapping[str, int]) -> LensStep:
    """Return the training step of one JSON object. Raise `UserError` if an entry is wrong.

    `where` is the file and line, for messages.
    """
    problems = _keys(record, where)
    reward_B = _numbers(record.get("reward"), f"{where}: reward")
    _same(where, "reward", len(reward_B), len(problems))
    ragged = {name: _ragged(record, name, where) for name in RAGGED if record.get(name) is not None}
    if "logprob" not in ragged:
        raise UserError(f"{where} has no logprob; give every rollout its tokens' log-probabilities")
    lengths = ragged["logprob"].lengths
    if len(lengths) * max(lengths, default=0) > MOST_TOKENS:
        raise UserError(
            f"{where}: {len(lengths):,} rollouts padded to {max(lengths):,} tokens are more than "
            f"{MOST_TOKENS:,} places; give them in several lines"
        )
    for name, values in ragged.items():
        _same(where, name, len(values.lengths), len(problems))
        if values.lengths != lengths:
            raise UserError(f"{where}: {name} and logprob give the same rollout different lengths")
    mask_BT = torch.arange(max(lengths, default=0)) < torch.tensor(lengths)[:, None]
    groups = [len(list(run)) for _, run in groupby(problems)]
    padded = {name: _padded(values.flat, mask_BT) for name, values in ragged.items()}
    unequal_B = _unequal_groups(record, len(problems), where)
    batch = Batch(
        reward_B=reward_B,
        problem_B=torch.tensor([row_of[key] for key in problems]),
        mask_BT=_loss_mask(padded.get("loss_mask"), mask_BT, where),
        logprob_BT=padded["logprob"],
        entropy_BT=padded.get("entropy"),
        logprob_ref_BT=padded.get("logprob_ref"),
        kl_step=_kl_step(record, where),
        group_size=_group_size(record, groups, where) if unequal_B is None else 0,
        response_limit=_optional(record, "response_limit", where),
        group_B=unequal_B,
        greedy_B=_greedy(record, len(problems), where),
    )
    return LensStep(where, problems, lengths, groups, batch, record)


def _loss_mask(loss_BT: Tensor | None, mask_BT: Tensor, where: str) -> Tensor:
    """Return 1 on the response tokens with loss; without a record, these are all."""
    if loss_BT is None:
        return mask_BT.double()
    if not ((loss_BT == 0) | (loss_BT == 1)).all():
        raise UserError(f"{where}: loss_mask must hold 1 for a token with loss, and 0 without")
    return loss_BT


def _greedy(record: Mapping[str, Any], count: int, where: str) -> Tensor | None:
    """Return the reward of the greedy response to each rollout's problem; None if not recorded."""
    if record.get("greedy") is None:
        return None
    greedy_B = _numbers(record["greedy"], f"{where}: greedy")
    _same(where, "greedy", len(greedy_B), count)
    return greedy_B


def _unequal_groups(record: Mapping[str, Any], count: int, where: str) -> Tensor | None:
    """Return the number of each rollout's group, shape [B]; None if the record has no groups.

    A record has them if rollouts were left out, so that groups have unequal sizes.
    """
    groups = record.get("group")
    if groups is None:
        return None
    whole = isinstance(groups, list) and all(
        type(one) is int and 0 <= one < BEYOND for one in groups
    )
    if not whole or len(groups) != count:
        raise UserError(f"{where}: group must hold a whole number from 0 on for every rollout")
    return torch.tensor(groups)


class _Ragged(NamedTuple):
    flat: Tensor
    lengths: list[int]


def _ragged(record: Mapping[str, Any], name: str, where: str) -> _Ragged:
    rows = record[name]
    if not (isinstance(rows, list) and all(isinstance(row, list) for row in rows)):
        raise UserError(f"{where}: {name} must be a list with one list of numbers per rollout")
    flat = list(chain.from_iterable(rows))
    return _Ragged(_numbers(flat, f"{where}: {name}"), [len(row) for row in rows])


def _padded(flat: Tensor, mask_BT: Tensor) -> Tensor:
    return torch.zeros(mask_BT.shape, dtype=torch.float64).masked_scatter_(mask_BT, flat)


def _numbers(values: Any, what: str) -> Tensor:
    if not isinstance(values, list) or set(map(type, values)) - {int, float, bool}:
        raise UserError(f"{what} must be a list of numbers")
    tensor = torch.from_numpy(np.array(values, dtype=np.float64))
    bad = (~tensor.isfinite()).nonzero()
    if len(bad):
        raise UserError(f"{what}: value {int(bad[0]) + 1} is {tensor[bad[0]].item()}, not finite")
    return tensor


def _kl_step(record: Mapping[str, Any], where: str) -> float | None:
    value = record.get("kl_step")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UserError(f"{where}: kl_step={value} is not a number")
    if value < 0:
        raise UserError(f"{where}: kl_step={value} is below 0, which no KL divergence is")
    return float(value)


def _keys(record: Mapping[str, Any], where: str) -> list[str]:
    keys = record.get("problem")
    if not (isinstance(keys, list) and keys and all(isinstance(k, str | int) for k in keys)):
        raise UserError(f"{where}: problem must be a list with the problem of every rollout")
    return [str(key) for key in keys]


def _rows(record: Mapping[str, Any], count: int, where: str) -> list[int]:
    rows = record["row"]
    if not isinstance(rows, list):
        raise UserError(f"{where}: row must be a list with the row of every rollout's problem")
    _same(where, "row", len(rows), count)
    return [_count(row, MOST_PROBLEMS - 1, f"{where}: row", least=0) for row in rows]


def _group_size(record: Mapping[str, Any], groups: Sequence[int], where: str) -> int:
    size = _optional(record, "group_size", where)
    return size or (groups[0] if len(set(groups)) == 1 else 1)


def _optional(record: Mapping[str, Any], name: str, where: str) -> int | None:
    value = record.get(name)
    return None if value is None else _count(value, MOST_TOKENS, f"{where}: {name}")


def _count(value: Any, most: int, what: str, least: int = 1) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise UserError(f"{what} must be a whole number from {least} to {most:,}")
    return value


def _same(where: str, name: str, count: int, wanted: int) -> None:
    if count != wanted:
        raise UserError(f"{where}: {name} has {count} entries for {wanted} rollouts")


def _objects(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (place, object) of every line of the file that is not empty."""
    try:
        for number, line in enumerate(untrusted.lines(path, LINE_BYTES), 1):
            where = f"{path} line {number}"
            if line is None:
                raise UserError(f"{where} is longer than {LINE_BYTES >> 20} MiB")
            if line.strip():
                yield where, untrusted.line_object(line, where, "problem, reward and logprob")
    except FileNotFoundError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error


def sizes_in_words(problems: Sequence[str]) -> str:
    """Return the sizes of the first four groups as text: "a: 2, b: 1"."""
    runs = [f"{key}: {len(list(run))}" for key, run in groupby(problems)]
    return ", ".join(runs[:4]) + (", ..." if len(runs) > 4 else "")
