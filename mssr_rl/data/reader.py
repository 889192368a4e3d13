"""Turn rows in any known format into problems. All data are read through this module.

    load("mini_folder", "train")       problem  text, with or without <image> tags
    load("rows.jsonl", "val")          images   a list (or one) of {bytes, path}, bytes, PIL, path
    load("owner/name", "test")         answer   text or a number, alone or in a solution
                                       choices, id, family, level, subject: if there

`sources` and `table_files` find and read the rows. `formats` decides which column has which role.
`pictures` and `seen` process pictures, `golds` gold answers. Data that cannot be used raise a
UserError that names the file and the row.
"""

import hashlib
import itertools
import logging
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from mssr_rl.data import (
    column_content,
    formats,
    golds,
    multiple_choice,
    pictures,
    row_faults,
    seen,
    sources,
)
from mssr_rl.data.hub import hub_source
from mssr_rl.data.table_files import SUFFIXES, Row
from mssr_rl.errors import UserError
from mssr_rl.problem import Problem, text_fault, unusable

TAGS = ("family", "level", "subject", "category", "problem_version")  # kept for results by group
EXTRAS = (  # kept for scoring rules and reports
    "precision", "unit", "question_for_eval", "set_id", "figure_id", "question_id", "subcategory",
    "problem_index", "answer_type", "question_type",
    "raw_answer",
)  # fmt: skip
AT_ONCE, AT_ONCE_BYTES = 512, 128 * 2**20  # rows and bytes of pictures that are decoded together

_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_WRAPPED = re.compile(r"\s*<answer>(.*)</answer>\s*", re.DOTALL)

log = logging.getLogger(__name__)


class Numbered(NamedTuple):
    """A row with its number in the file and its key."""

    i: int
    key: str
    row: Row


class ProblemDraft(NamedTuple):
    """A problem whose pictures have not been checked yet."""

    where: str
    problem: Problem


def load(data: str, split: str, limit: int | None = None, stated: str = "") -> list[Problem]:
    """Return the problems of one split ("train", "val", "test") of a file, a folder or a hub id.

    If val is missing, test is used in its place, and the reverse, both with a warning. If there is
    only a train split, or one file, a tenth of it is held out (at most 512 rows, chosen by a hash
    of their keys). The held-out rows are used as both val and test, and are removed from train.
    `limit` keeps only the first rows of the result. `stated` is `env.columns`, see `formats`.
    """
    return problems(_find(data, split), split, limit, stated)


def problems(
    source: sources.Source,
    split: str,
    limit: int | None = None,
    stated: str = "",
) -> list[Problem]:
    """Return the problems of a source in any of the known formats."""
    rows = iter(source.rows())
    first = list(itertools.islice(rows, formats.LOOKED_AT))
    if not first:
        raise UserError(f"{source.name} has no rows in its {source.split} split")
    try:
        reading = formats.reading_of(first, formats.parsed(stated))
    except UserError as error:
        raise UserError(f"{source.name}: {error}") from error
    row_faults.note(reading.says)
    again = source._replace(rows=lambda: itertools.chain(first, rows))
    return _all(again, split, limit, reading)


def normalised(source: sources.Source, split: str, limit: int | None = None) -> list[Problem]:
    """Return the problems of rows that are already in the reader's own columns."""
    return _all(source, split, limit, None)


def answer_text(value: Any) -> str:
    """Return an answer in a user's file as text without <answer> tags; "" if it is no answer."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    if isinstance(value, float) and math.isnan(value):
        return ""
    text = str(value)
    wrapped = _WRAPPED.fullmatch(text)
    return (wrapped[1] if wrapped else text).strip()


def _find(data: str, split: str) -> sources.Source:
    if split not in sources.SPLITS:
        raise UserError(f"no split {split!r}; choose from {', '.join(sources.SPLITS)}")
    path = Path(data).expanduser()
    if path.exists():
        return sources.local(path, split)
    if _HUB_ID.fullmatch(data):
        return hub_source(data, split)
    raise UserError(
        f"there is no file or folder {data}; env.data takes mini, a {', '.join(SUFFIXES)}"
        " file, a folder with train, val and test files, or a hub id as owner/name"
    )


def _all(
    source: sources.Source, split: str, limit: int | None, reading: formats.ColumnRoles | None
) -> list[Problem]:
    if limit is not None and limit < 1:
        raise UserError(f"limit={limit} leaves no rows: use a positive number, or none")
    rows = _numbered(source, reading)
    if source.holds_out:
        rows = _part(list(rows), split, source.name)
    drafts = _drafts(itertools.islice(rows, limit), source, reading)
    usable = list(_looked_at(drafts, source.name))
    if not usable:
        raise UserError(f"{source.name} has no rows in its {source.split} split")
    return usable


def _numbered(source: sources.Source, reading: formats.ColumnRoles | None) -> Iterator[Numbered]:
    name = reading.roles["id"][0] if reading and "id" in reading.roles else "id"
    known: dict[str, int] = {}
    for i, row in enumerate(source.rows()):
        try:
            key = _key(row, i, source, name)
            if key in known:
                raise UserError(f"{source.name} rows {known[key]} and {i} have the same id {key}")
        except UserError as error:
            row_faults.met(error)
            continue
        known[key] = i
        yield Numbered(i, key, row)


def _key(row: Row, i: int, source: sources.Source, name: str) -> str:
    if name not in row:
        return f"{source.split}-{i}"
    value = row[name]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise UserError(f"{source.name} row {i} has no id; give every row one, or drop the column")
    if (fault := text_fault(str(value), empty=False)) is not None:
        raise UserError(f"{source.name} row {i} has an id that {fault}")
    return str(value)


def _part(rows: list[Numbered], split: str, name: str) -> Iterator[Numbered]:
    """Return the held-out rows for val and test, or the other rows for train."""
    if not rows:
        raise UserError(f"{name} has no rows in its {split} split; give it at least two")
    if len(rows) < 2:
        raise UserError(f"{name} has {len(rows)} rows: too few to hold some out for validation")
    order = sorted(rows, key=lambda row: hashlib.blake2b(row.key.encode()).digest())
    count = max(1, min(512, len(rows) // 10))
    held = {row.i for row in order[:count]}
    if split != "train":
        log.warning("%s is one split: %d of its rows are kept as val and test", name, count)
    return (row for row in rows if (row.i in held) == (split != "train"))


def _drafts(
    rows: Iterable[Numbered], source: sources.Source, reading: formats.ColumnRoles | None
) -> Iterator[ProblemDraft]:
    for i, key, raw in rows:
        where = f"{source.name} row {i} (id {key})"
        try:
            row = reading.row(raw, (*TAGS, *EXTRAS)) if reading else raw
            yield ProblemDraft(where, _draft(key, row, source.folder))
        except ValueError as error:
            colon = "" if str(error).startswith(("has ", "is ", "names ")) else ":"
            row_faults.met(UserError(f"{where}{colon} {error}"))


def _draft(key: str, row: Row, folder: Path | None) -> Problem:
    """Return a problem whose pictures are as stored.

    Raises ValueError if the row cannot be used.
    """
    options = multiple_choice.read_options([row.get("choices")])
    gold = golds.gold(row.get("answer"), options)
    if gold.said:
        row_faults.note(f"answers were taken out of {gold.said}", f"{gold.text!r} of row {key}")
    images = _encoded(row.get("images"), folder)
    text = row.get("problem")
    if not isinstance(text, str) or not text.strip():
        raise ValueError("has an empty problem: it must be text")
    made = Problem(
        key=key,
        prompt=formats.tagged(text, len(images)),
        answer=gold.text,
        images=images,
        choices=tuple(options) if options else None,
        tags=_kept(row, TAGS),
        extras=_kept(row, EXTRAS),
    )
    if (fault := unusable(made)) is not None:
        raise ValueError(fault)
    return made


def _encoded(value: Any, folder: Path | None) -> tuple[bytes, ...]:
    contents = []
    for i, item in enumerate(column_content.items(value)):
        try:
            contents.append(pictures.encoded(item, folder))
        except ValueError as error:
            raise ValueError(f"picture {i} cannot be used, {error}") from error
    return tuple(contents)


def _kept(row: Row, names: Iterable[str]) -> dict[str, str]:
    return {name: str(row[name]) for name in names if row.get(name) not in (None, "")}


# ---- pictures, many at a time ----


def _looked_at(drafts: Iterable[ProblemDraft], name: str) -> Iterator[Problem]:
    """Yield the problems whose pictures can be used, and report the others as faults."""
    progress = seen.Progress(name)
    for some in _batches(drafts):
        contents = [content for draft in some for content in draft.problem.images]
        looks = iter(seen.looked_at(contents, progress) if contents else ())
        for where, problem in some:
            decoded = [next(looks) for _ in problem.images]
            bad = [(i, look.fault) for i, look in enumerate(decoded) if look.fault]
            if bad:
                row_faults.met(
                    UserError(f"{where}: picture {bad[0][0]} cannot be used, {bad[0][1]}")
                )
            else:
                yield _with_images(problem, decoded)


def _with_images(problem: Problem, looks: Sequence[seen.DecodedPicture]) -> Problem:
    if all(look.content is content for look, content in zip(looks, problem.images, strict=True)):
        return problem
    return replace(problem, images=tuple(look.content for look in looks))


def _batches(drafts: Iterable[ProblemDraft]) -> Iterator[list[ProblemDraft]]:
    some: list[ProblemDraft] = []
    held = 0
    for draft in drafts:
        some.append(draft)
        held += sum(map(len, draft.problem.images))
        if len(some) >= AT_ONCE or held >= AT_ONCE_BYTES:
            yield some
            some, held = [], 0
    if some:
        yield some
