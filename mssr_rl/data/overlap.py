"""Find rows that two data sets share, for example training rows that are also test rows.

    shared(train, test)     rows that are equal or nearly equal: a run stops at them
    alike(ours, theirs)     also pictures that look alike with other words: `check` lists them

Equal rows have equal words and equal pictures. Nearly equal rows have the same answer, words that
differ in case, blanks and signs only, and pictures that look alike. Pictures look alike if their
grey thumbnails differ little everywhere. So a resized or re-encoded copy is found, but a drawing
with another printed digit is not. An equal picture alone, or an equal question alone, is not a
match, because many rows are made from the same template.
"""

import hashlib
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mssr_rl.data import seen
from mssr_rl.data.seen import SIDE, Thumbnail
from mssr_rl.problem import Problem
from mssr_rl.prompts import IMAGE

# Limits for thumbnails of copies. JPEG at quality 75, and resizing by 0.6 to 1.5, stay below them.
# Of 10,021 pairs of independent drawings with equal question and answer, 1 stays below.
LARGEST, ROOT_MEAN_SQUARE = 30, 4.0  # of 255
BLOCK = 8  # side of the blocks that the first comparison averages [pixels]
NEAR_TEXT = 0.6  # share of words that two texts have in common
AT_ONCE = 256  # rows that are held against others in one product


class Hit(NamedTuple):
    """A row of one data set, the matching row of the other, and the reason why they match."""

    ours: str
    theirs: str
    why: str
    exact: bool = False


class Shared(NamedTuple):
    """The rows that one split shares with another split."""

    split: str
    other: str
    of: int  # rows of `split`
    hits: tuple[Hit, ...]
    stands_in: bool  # both splits are the same rows, used twice

    @property
    def exact(self) -> int:
        """The number of rows of `split` that are in `other` word for word."""
        return sum(hit.exact for hit in self.hits)

    @property
    def too_many(self) -> bool:
        """Whether a run stops at these rows, if `env.overlap` does not allow them."""
        near = len(self.hits) - self.exact
        return self.exact > 0 or near > CHANCE * self.of

    @property
    def says(self) -> str:
        """The result as a sentence with the keys of the rows."""
        if self.stands_in:
            return f"{self.split} is {self.other}: the same rows are used for both"
        near = len(self.hits) - self.exact
        kinds = [f"{self.exact} the same"] * bool(self.exact) + [f"{near} nearly"] * bool(near)
        rows = ", ".join(f"{hit.ours} = {hit.theirs}" for hit in self.hits[:SHOWN])
        more = f" and {len(self.hits) - SHOWN} more" if len(self.hits) > SHOWN else ""
        return (
            f"{len(self.hits)} of {self.of} {self.split} rows are also in {self.other}"
            f" ({', '.join(kinds)}): {rows}{more}"
        )


SHOWN = 20  # most rows that are named
# Share of a split's rows that may be nearly the same as rows of another split. Generated pictures
# can agree by chance.
CHANCE = 0.01


def overlap_record(result: Shared) -> dict[str, Any]:
    """Return the result for run.json.

    `rows` counts equal and nearly equal rows; `near` counts only nearly equal rows.
    """
    return {
        "split": result.split,
        "with": result.other,
        "of": result.of,
        "rows": len(result.hits),
        "near": len(result.hits) - result.exact,
        "stands_in": result.stands_in,
        "examples": [[hit.ours, hit.theirs, hit.why] for hit in result.hits[:SHOWN]],
    }


class SplitRows:
    """The problems of a split with the values for their comparison, each computed only once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = problems
        # Hashing the bytes is most of what is left to do where pictures are known: once.
        self.digests = [[seen.digest(content) for content in p.images] for p in problems]
        self.marks = [_posed(*pair) for pair in zip(problems, self.digests, strict=True)]

    @cached_property
    def bare(self) -> list[tuple[str, str, int]]:
        """The values (question, answer, picture count) of `_bare` for each problem."""
        return [_bare(problem) for problem in self.problems]

    def look_up(self, rows: Iterable[int]) -> None:
        """Load the thumbnails of these rows, so that `thumbnails` can return them."""
        self._known |= seen.thumbnails(
            {
                mark: content
                for row in rows
                for mark, content in zip(self.digests[row], self.problems[row].images, strict=True)
            }
        )

    def thumbnails(self, row: int) -> NDArray[np.uint8]:
        """Return the thumbnails of a loaded row, with the shape pictures x SIDE * SIDE."""
        return np.stack([self._known[mark] for mark in self.digests[row]])

    @cached_property
    def _known(self) -> dict[bytes, Thumbnail]:
        return {}


def between(splits: Mapping[str, Sequence[Problem]]) -> tuple[Shared, ...]:
    """Return the shared rows of each two splits: of each later split with each earlier one.

    The order is train, val, test.
    """
    rows = {split: SplitRows(problems) for split, problems in splits.items()}
    results = []
    for (earlier, theirs), (later, ours) in combinations(rows.items(), 2):
        same = earlier != "train" and ours.marks == theirs.marks  # val or test that was missing
        hits = () if same else tuple(_shared(ours, theirs).values())
        results.append(Shared(later, earlier, len(ours.problems), hits, stands_in=same))
    return tuple(results)


def shared(ours: Sequence[Problem], theirs: Sequence[Problem]) -> list[Hit]:
    """Return the rows of `ours` that are also in `theirs`, equal or nearly equal, each once."""
    return list(_shared(SplitRows(ours), SplitRows(theirs)).values())


def alike(ours: Sequence[Problem], theirs: Sequence[Problem]) -> list[Hit]:
    """Return the rows that `shared` returns, and rows that differ only in the question's words."""
    mine, others = SplitRows(ours), SplitRows(theirs)
    hits = _shared(mine, others)
    for rows in (mine, others):
        rows.look_up(range(len(rows.problems)))
    seen = [_seen(problem) for problem in theirs]
    by_numbers: dict[tuple[str, ...], list[int]] = {}
    for j, other in enumerate(seen):
        by_numbers.setdefault(other.numbers, []).append(j)
    for i, problem in enumerate(ours):
        one = _seen(problem)
        for j in by_numbers.get(one.numbers, ()) if i not in hits else ():
            if why := _reworded((one, mine, i), (seen[j], others, j)):
                hits[i] = Hit(problem.key, theirs[j].key, why)
                break
    return [hits[i] for i in sorted(hits)]


def _shared(ours: SplitRows, theirs: SplitRows) -> dict[int, Hit]:
    """Return {row of `ours`: its hit}, in the order of the rows."""
    exact: dict[bytes, int] = {}
    for j, mark in enumerate(theirs.marks):
        exact.setdefault(mark, j)
    hits = {
        i: Hit(_key(ours, i), _key(theirs, exact[mark]), "the same question and picture", True)
        for i, mark in enumerate(ours.marks)
        if mark in exact
    }
    for i, j in _near(ours, theirs, set(hits)):
        hits[i] = Hit(
            _key(ours, i), _key(theirs, j), "the same words, a picture that looks the same"
        )
    return {i: hits[i] for i in sorted(hits)}


def _key(rows: SplitRows, row: int) -> str:
    return rows.problems[row].key


def posed(problem: Problem) -> bytes:
    """Return a digest of the question's words and the pictures' bytes."""
    return _posed(problem, [seen.digest(content) for content in problem.images])


def _posed(problem: Problem, digests: Iterable[bytes]) -> bytes:
    digest = hashlib.blake2b(" ".join(problem.prompt.split()).encode("utf-8", "surrogatepass"))
    for picture in digests:
        digest.update(picture)
    return digest.digest()


def look_alike(one: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return for each other row whether its pictures look like these, picture by picture.

    `one` has the shape pictures x SIDE * SIDE, `others` rows x pictures x SIDE * SIDE. The result
    has one bool for each row.
    """
    difference = others.astype(np.int32) - one
    within = np.abs(difference).max(-1) <= LARGEST
    near = (difference**2).mean(-1) <= ROOT_MEAN_SQUARE**2
    alike: NDArray[np.bool_] = (within & near).all(-1)
    return alike


def _near(ours: SplitRows, theirs: SplitRows, known: Collection[int]) -> Iterator[tuple[int, int]]:
    """Yield (row of one split, row of the other) for nearly equal rows that are not in `known`."""
    others: dict[tuple[str, str, int], list[int]] = {}
    for j, bare in enumerate(theirs.bare):
        others.setdefault(bare, []).append(j)
    mine: dict[tuple[str, str, int], list[int]] = {}
    for i, bare in enumerate(ours.bare):
        if i not in known and bare in others:
            mine.setdefault(bare, []).append(i)
    ours.look_up(i for rows in mine.values() for i in rows)
    theirs.look_up(j for bare in mine for j in others[bare])
    for bare, rows in mine.items():
        if bare[2] == 0:
            yield from ((i, others[bare][0]) for i in rows)
        else:
            yield from _matches(ours, theirs, rows, others[bare])


class _Album(NamedTuple):
    """The thumbnails of rows with the same question, in the order of their mean grey."""

    rows: NDArray[np.int64]
    mean: NDArray[np.float64]  # rows, ascending
    coarse: NDArray[np.float64]  # rows x (pictures * blocks): means of blocks
    thumbnails: NDArray[np.uint8]  # rows x pictures x SIDE * SIDE


def _album(rows: SplitRows, some: list[int]) -> _Album:
    thumbnails = np.stack([rows.thumbnails(row) for row in some])
    coarse = _coarse(thumbnails)
    mean = coarse.mean(1)
    order = np.argsort(mean, kind="stable")
    return _Album(np.asarray(some)[order], mean[order], coarse[order], thumbnails[order])


def _matches(
    ours: SplitRows, theirs: SplitRows, mine: list[int], others: list[int]
) -> Iterator[tuple[int, int]]:
    """Yield (row of ours, first row of theirs) for rows whose pictures look alike.

    All rows have the same number of pictures.
    """
    a, b = _album(ours, mine), _album(theirs, others)
    for start in range(0, len(mine), AT_ONCE):
        some = slice(start, start + AT_ONCE)
        for i, near in zip(range(start, len(mine)), _candidates(a, b, some), strict=False):
            for part in np.split(near, range(AT_ONCE, len(near), AT_ONCE)):
                alike = part[look_alike(a.thumbnails[i], b.thumbnails[part])]
                if len(alike):
                    yield int(a.rows[i]), int(b.rows[alike].min())
                    break


def _candidates(a: _Album, b: _Album, some: slice) -> Iterator[NDArray[np.int64]]:
    """Yield, for each of some rows of `a`, the rows of `b` that must be compared pixel by pixel.

    The mean of a block, or of all pictures, differs by at most the root mean square of the pixels'
    differences. So only rows with about the same grey are compared, by a matrix product.
    """
    mean, coarse = a.mean[some], a.coarse[some]
    first = int(np.searchsorted(b.mean, mean[0] - ROOT_MEAN_SQUARE))
    last = int(np.searchsorted(b.mean, mean[-1] + ROOT_MEAN_SQUARE, side="right"))
    theirs = b.coarse[first:last]
    distance = (coarse**2).sum(1)[:, None] + (theirs**2).sum(1) - 2 * (coarse @ theirs.T)
    near = distance <= coarse.shape[1] * ROOT_MEAN_SQUARE**2 + 1  # 1 for rounding
    for row in near:
        yield np.flatnonzero(row) + first


def _coarse(thumbnails: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the mean grey of each block, with the shape rows x (pictures * blocks)."""
    rows, count, _ = thumbnails.shape
    blocks = SIDE // BLOCK
    shaped = thumbnails.reshape(rows, count, blocks, BLOCK, blocks, BLOCK)
    means: NDArray[np.float64] = shaped.mean(axis=(3, 5), dtype=np.float64)
    return means.reshape(rows, -1)


def _bare(problem: Problem) -> tuple[str, str, int]:
    """Return the question without case, blanks and punctuation, the answer, and the picture count.

    Punctuation inside numbers stays, as in 1.5 and 3:20, and so do the signs of formulas.
    """
    text = unicodedata.normalize("NFKC", problem.prompt.replace(IMAGE, " ")).casefold()
    bare = re.sub(r"\s+|[!?;\"'`]|(?<!\d)[.,:]|[.,:](?!\d)", "", text)
    return bare, problem.answer.casefold(), len(problem.images)


class _Seen(NamedTuple):
    answer: str
    words: frozenset[str]
    numbers: tuple[str, ...]


def _seen(problem: Problem) -> _Seen:
    text = problem.prompt.replace(IMAGE, " ").lower()
    words = frozenset(re.findall(r"[^\W\d_]{2,}", text))
    return _Seen(problem.answer, words, tuple(sorted(re.findall(r"[0-9]+", text))))


def _reworded(
    mine: tuple[_Seen, SplitRows, int], other: tuple[_Seen, SplitRows, int]
) -> str | None:
    """Return why two rows with the same numbers match; None if they do not match."""
    (a, ours, i), (b, theirs, j) = mine, other
    count = len(ours.problems[i].images)
    if len(theirs.problems[j].images) != count:
        return None
    words = _share(a.words, b.words)
    if not count:
        return f"{words:.0%} of the words" if words >= NEAR_TEXT and a.numbers else None
    if a.answer != b.answer and words < NEAR_TEXT:
        return None
    if look_alike(ours.thumbnails(i), theirs.thumbnails(j)[None])[0]:
        return f"a picture that looks the same, {words:.0%} of the words"
    return None


def _share(a: frozenset[str], b: frozenset[str]) -> float:
    return len(a & b) / len(a | b) if a or b else 1.0
