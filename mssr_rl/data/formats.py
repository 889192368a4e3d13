"""The formats of data sets: which columns hold the question, the answer and the pictures.

`reading_of` looks at the first rows of a data set and decides how to read them. It uses the table
of known formats, or the usual names of columns and their content. `ColumnRoles.row` then converts a
raw row to the reader's own columns: problem, images, answer, choices, id. `env.columns` overrides
any of these choices, for formats that are not in the table:

    env.columns={problem: question, images: [left, right], answer: key, choices: opts, id: uid,
                 answer_index: true_option, answer_number: true_option, context: passage,
                 ignored: [mask, preview]}

`answer_index` counts options from 0, `answer_number` from 1. A dot selects a nested column:
reward_model.ground_truth.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from mssr_rl.data import column_content, multiple_choice
from mssr_rl.data.conversations import Conversation, conversation
from mssr_rl.data.table_files import Row
from mssr_rl.errors import UserError
from mssr_rl.prompts import IMAGE, INSTRUCTIONS

ROLES = ("problem", "images", "answer", "answer_index", "answer_number", "choices", "id", "context")
PROBLEM = (
    "problem", "question", "query", "prompt", "messages", "conversations", "conversation",
    "message", "dialog", "instruction", "input", "question_text", "problem_text", "text",
)  # fmt: skip
ANSWER = (
    "answer", "gt_answer", "ground_truth", "label", "gt", "correct_answer", "final_answer",
    "solution", "original_answer", "target", "multiple_choice_answer", "answers", "response",
    "output", "gold", "completion",
)  # fmt: skip
INDEX = (
    "correct_choice_idx", "answer_index", "answer_idx", "correct_idx", "correct_index",
    "correct_option_index", "label_index",
)  # fmt: skip
CHOICES = ("choices", "options", "option", "candidates", "answer_choices", "multiple_choices")
IMAGES = ("images", "image", "decoded_image")
IDS = ("id", "qid", "pid", "uid")
CONTEXT = ("context", "hint", "passage")
LOOKED_AT = 200  # first rows, which decide how a data set is read

_NUMBERED = re.compile(r"(.*?)[_ -]?([0-9]{1,2})", re.DOTALL)
_LETTERED = re.compile(r"(?:(?:choice|option|answer)[_ ]?)?([A-J])|(?:choice|option)[_ ]([a-j1-9])")
# The tags in use for a picture's place in the text. The group is the picture's number, from 1.
_TAG = re.compile(
    r"<\|vision_start\|><\|image_pad\|><\|vision_end\|>|<ImageHere>|<\|image\|>|<image_placeholder>"
    r"|<img>(?:</img>)?|<(?:\|)?ima?ge?[ _]?([0-9]{1,2})(?:\|)?>|<image>",
    re.IGNORECASE,
)


class Known(NamedTuple):
    """A known format: its name, the columns that identify it, and how to read them."""

    name: str
    needs: frozenset[str]
    roles: Mapping[str, str] = {}  # role -> column, where the usual column names are wrong
    ignored: tuple[str, ...] = ()  # columns with pictures or options that are not read
    one_picture: bool = False  # one picture may have several numbered tags
    from_0: bool = False  # an answer that is a whole number is an option's place, from 0


def _known(name: str, needs: str, **more: Any) -> Known:
    return Known(name, frozenset(needs.split()), **more)


KNOWN = (
    _known("verl", "prompt reward_model", roles={"answer": "reward_model.ground_truth"}),
    _known("A-OKVQA", "question choices correct_choice_idx"),
    _known("ScienceQA", "question choices answer hint lecture", from_0=True),
    _known("MMMU", "question options answer image_1"),
    _known("MathVista", "pid question choices answer question_type"),
    _known("MATH-V", "question options answer decoded_image", one_picture=True),
    _known("MATH-V", "question options answer level subject", one_picture=True),
    _known("We-Math", "question option answer image_path"),
    _known("DynaMath", "question ground_truth answer_type image"),
    _known("LogicVista", "question answer skill reasoning"),
    _known("MathVerse", "question answer problem_version question_type"),
    _known("ViRL39K", "question answer qid image"),
    _known("MMK12", "question answer subject image id"),
    _known(
        "geometry3k of EasyR1", "problem images answer choices ground_truth",
        ignored=("choices", "ground_truth"),
    ),
    _known("multimodal open-r1", "problem solution original_question original_answer"),
    _known("Vision-R1", "problem answer images"),
    _known("R1-V", "problem solution image"),
    _known("VLMEvalKit's tables", "index question answer image"),
    _known("ms-swift or LLaMA-Factory", "messages"),
    _known("LLaVA", "conversations"),
    _known("OpenRLHF", "prompt label"),
    _known("TRL", "prompt solution"),
    _known("TRL", "prompt answer"),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ColumnRoles:
    """How the rows of a data set are read: each role, and the columns that have this role."""

    name: str  # of the format; empty if only the names of columns were recognised
    roles: Mapping[str, tuple[str, ...]]
    ignored: frozenset[str] = frozenset()
    one_picture: bool = False
    from_0: bool = False
    settled: frozenset[str] = frozenset()  # columns that certainly hold no pictures

    @property
    def says(self) -> str:
        """A text for the user that says how the rows are read.

        It has the format's name and its columns, or a value of `env.columns`.
        """
        named = ", ".join(", ".join(columns) for columns in self.roles.values() if columns)
        return f"as {self.name}: {named}" if self.name else f"by their names: {self.mapping}"

    @property
    def mapping(self) -> str:
        """The column roles as a value of `env.columns`."""
        parts = {r: columns for r, columns in self.roles.items() if columns}
        if self.ignored:
            parts["ignored"] = tuple(sorted(self.ignored))
        listed = ", ".join(f"{role}: {_one_or_list(columns)}" for role, columns in parts.items())
        return f"env.columns={{{listed}}}"

    def row(self, raw: Row, keep: Iterable[str] = ()) -> Row:
        """Return the raw row in the reader's columns, together with the columns in `keep`.

        Raises:
            ValueError: the row cannot be read; the message says why.
        """
        talk = conversation(self.value(raw, "problem"))
        text = self._question(raw, talk)
        options = multiple_choice.read_options(
            [cell(raw, name) for name in self.roles.get("choices", ())]
        )
        pictures = self._pictures(raw) or (list(talk.pictures) if talk else [])
        self._refuse_unread(raw, pictures)
        if options and not multiple_choice.shown(text, options):
            text = multiple_choice.with_options(text, options)
        return {
            **{name: raw[name] for name in keep if name in raw},
            "problem": tagged(text, len(pictures), lenient=self.one_picture),
            "images": pictures,
            "answer": self._answer(raw, talk, options),
            "choices": options,
        }

    def _question(self, raw: Row, talk: Conversation | None) -> str:
        value = talk.question if talk else self.value(raw, "problem")
        if not isinstance(value, str) or not value.strip():
            raise ValueError("has an empty problem: it must be text")
        plain = cell(raw, "extra_info.question")  # verl keeps the question without its instruction
        if isinstance(plain, str) and plain.strip() and value.startswith(plain.strip()):
            value = plain
        text = value.strip().removesuffix(INSTRUCTIONS["paper"]).strip()
        context = self.value(raw, "context")
        return (
            f"{context.strip()}\n{text}" if isinstance(context, str) and context.strip() else text
        )

    def _answer(self, raw: Row, talk: Conversation | None, options: Sequence[str] | None) -> Any:
        """Return the gold answer as stored, or the letter if it is the position of an option."""
        for role, first in (("answer_index", 0), ("answer_number", 1)):
            if role in self.roles:
                return multiple_choice.letter(self.value(raw, role), first, options)
        if "answer" not in self.roles:
            return talk.answer if talk else None
        value = self.value(raw, "answer")
        if self.from_0 and options:
            return multiple_choice.letter(value, 0, options)
        return value

    def value(self, raw: Row, role: str) -> Any:
        """Return the value of a role in a row: the first value that is not null in its columns."""
        return _first_filled(raw, self.roles.get(role, ()))

    def _pictures(self, raw: Row) -> list[Any]:
        names = self.roles.get("images", ())
        return [item for name in names for item in _pictures(name, cell(raw, name))]

    def _refuse_unread(self, raw: Row, pictures: Sequence[Any]) -> None:
        used = {name.partition(".")[0] for names in self.roles.values() for name in names}
        if missed := column_content.unread(raw, pictures, used | self.ignored | self.settled):
            raise ValueError(
                f"the column {missed[0]!r} holds pictures and would not be read;"
                f" {self._hint(missed)}"
            )
        if "choices" in self.roles:
            return
        for name in CHOICES:
            if name not in self.ignored and name in raw and raw[name] not in (None, "", []):
                raise ValueError(
                    f"the column {name!r} holds options and would not be read; set"
                    f" env.columns={{choices: {name}}}, or ignored: {name}"
                )

    def _hint(self, missed: Sequence[str]) -> str:
        names = (*self.roles.get("images", ()), *missed)
        return f"set env.columns={{images: {_one_or_list(names)}}}, or ignored: {missed[0]}"


def _pictures(name: str, value: Any) -> list[Any]:
    """Return the pictures of a cell. Raises ValueError if an item of a list is empty."""
    found = column_content.items(value)
    if isinstance(value, list | tuple) and len(found) < len(value):
        place = next(i for i, item in enumerate(value) if item is None or item == "")
        raise ValueError(f"has no picture at place {place} of the list in {name}: it is empty")
    return found


def _one_or_list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"[{', '.join(names)}]"


def _first_filled(row: Row, names: Sequence[str]) -> Any:
    return next((v for name in names if (v := cell(row, name)) is not None), None)


def cell(row: Row, name: str) -> Any:
    """Return the value of a column in a row; None if there is no such column.

    A name with dots selects a nested column, if no column has the whole name.
    """
    if name in row:
        return row[name]
    head, _, rest = name.partition(".")
    inner = row.get(head)
    return cell(inner, rest) if rest and isinstance(inner, Mapping) else None


def tagged(text: str, pictures: int, *, lenient: bool = False) -> str:
    """Return the text with one `<image>` tag for each picture, whatever tags it had.

    A numbered tag stands for the picture with that number. If a picture has a second tag, that tag
    becomes the words "picture N". Pictures without a tag are put in front.

    Raises:
        ValueError: there are tags without a picture.
    """
    tags = list(_TAG.finditer(text))
    numbers = {int(tag[1]) for tag in tags if tag[1]}
    if lenient and numbers and pictures == 1 and max(numbers) > 1:
        return IMAGE + _TAG.sub("", text).strip()
    if not numbers:
        return _plainly_tagged(text, len(tags), pictures)
    if max(numbers) > pictures:
        raise ValueError(
            f"names picture {max(numbers)} in a tag but has {pictures} pictures;"
            " write one tag for each picture"
        )
    return _in_order(text, numbers, pictures)


def _plainly_tagged(text: str, tags: int, pictures: int) -> str:
    if tags == 0:
        return IMAGE * pictures + text
    if tags != pictures:
        raise ValueError(
            f"has {tags} {IMAGE} tags but {pictures} pictures;"
            " write one tag for each, or none to have them in front"
        )
    return _TAG.sub(IMAGE, text)


def _in_order(text: str, numbers: set[int], pictures: int) -> str:
    """Return the text with its tags in the order of the pictures.

    If the tags have another order, all pictures are put in front with their numbers.
    """
    order = list(dict.fromkeys(int(tag[1]) for tag in _TAG.finditer(text) if tag[1]))
    if order != sorted(order) or len(numbers) < pictures:
        front = "".join(f"Picture {n}: {IMAGE}\n" for n in range(1, pictures + 1))
        return front + _TAG.sub(lambda tag: f"picture {tag[1]}" if tag[1] else "", text)
    seen: set[str] = set()

    def shown(tag: re.Match[str]) -> str:
        again = tag[1] in seen
        seen.add(tag[1])
        return f"picture {tag[1]}" if again else IMAGE

    return _TAG.sub(shown, text)


# ---- how a data set is read ----


def parsed(text: str) -> Mapping[str, Any]:
    """Return `env.columns` as {role: column, role: [column, column]}; {} if it is empty.

    Raises:
        UserError: it cannot be parsed.
    """
    if not text.strip():
        return {}
    stripped = text.strip().removeprefix("{").removesuffix("}")
    pairs = re.findall(r"([^:,\[\]]+):\s*(\[[^\[\]]*\]|[^,\[\]]+)\s*(?:,|$)", stripped)
    read = {_bare(role): _bare_names(names) for role, names in pairs}
    rest = re.sub(r"([^:,\[\]]+):\s*(\[[^\[\]]*\]|[^,\[\]]+)\s*(?:,|$)", "", stripped)
    if rest.strip() or not read:
        raise UserError(
            f"env.columns={text} cannot be read; write it as"
            " env.columns={problem: question, images: [left, right], answer: key}"
        )
    return read


def _bare(name: str) -> str:
    return name.strip().strip("'\"")


def _bare_names(names: str) -> str | list[str]:
    if not names.startswith("["):
        return _bare(names)
    return [_bare(name) for name in names[1:-1].split(",") if name.strip()]


def reading_of(rows: Sequence[Row], given: Mapping[str, Any] | None = None) -> ColumnRoles:
    """Return how to read the rows of a data set, from its first rows and the user's `env.columns`.

    Raises:
        UserError: a required column was not recognised; the message suggests `env.columns`.
    """
    names = list(dict.fromkeys(str(name) for row in rows for name in row))
    known = next((k for k in KNOWN if k.needs <= set(names)), Known("", frozenset()))
    stated = {
        role: _as_names(columns) for role, columns in (given or {}).items() if role != "ignored"
    }
    ignored = {*known.ignored, *_as_names((given or {}).get("ignored", ()))}
    _refuse_unknown(stated, names, rows)
    roles: dict[str, tuple[str, ...]] = {role: (name,) for role, name in known.roles.items()}
    for role, guess in _GUESSES.items():
        if role not in roles and role not in stated:
            usable = [name for name in names if name not in ignored]
            roles[role] = guess(usable, rows)
    roles |= stated
    if "answer" not in stated and not (stated.keys() & _PLACES) and not known.from_0:
        roles |= _places(roles, rows)
    if any(roles.get(role) for role in _PLACES) and "answer" not in stated:
        roles["answer"] = ()
    reading = ColumnRoles(
        name="" if stated else known.name,
        roles={role: roles[role] for role in ROLES if roles.get(role)},
        ignored=frozenset(ignored),
        one_picture=known.one_picture,
        from_0=known.from_0 and "answer" not in stated,
        settled=_settled(names, rows),
    )
    _refuse_incomplete(reading, names, rows)
    return reading


def _settled(names: Sequence[str], rows: Sequence[Row]) -> frozenset[str]:
    """Return the columns without pictures in the first rows; later rows need no check of them."""
    cells = {name: [column_content.value(row, name) for row in rows] for name in names}
    return frozenset(
        name
        for name, values in cells.items()
        if any(map(_is_filled, values)) and not any(map(column_content.are_pictures, values))
    )


_PLACES = {"answer_index", "answer_number"}


def _places(
    roles: Mapping[str, tuple[str, ...]], rows: Sequence[Row]
) -> dict[str, tuple[str, ...]]:
    """Return the answer's role, if all answers are whole numbers that are positions of options.

    Positions count from 0 if one of them is 0, and from 1 if one equals the number of options.
    Otherwise, or if the options are numbers themselves, the result is {}. The rows are then refused
    later, with a message that says which option of the run decides it.
    """
    pairs = [pair for row in rows if (pair := _place_in(row, roles))]
    if not pairs or any(place is None for place, _ in pairs):
        return {}
    if any(place == 0 for place, _ in pairs) and all(p < n for p, n in pairs if p is not None):
        return {"answer_index": roles["answer"]}
    if any(place == n for place, n in pairs):
        return {"answer_number": roles["answer"]}
    return {}


def _place_in(row: Row, roles: Mapping[str, tuple[str, ...]]) -> tuple[int | None, int] | None:
    """Return (position, number of options) of a row; None if it has no options or no answer.

    The position is None if the answer cannot be the position of an option.
    """
    try:
        options = multiple_choice.read_options(
            [cell(row, name) for name in roles.get("choices", ())]
        )
    except ValueError:
        return None
    value = _first_filled(row, roles.get("answer", ()))
    if not options or value is None:
        return None
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    numbers = any(option.strip().strip("$").isdecimal() for option in options)
    place = int(text) if text.isdecimal() and not isinstance(value, bool) and not numbers else None
    return place, len(options)


def _problem(names: Sequence[str], rows: Sequence[Row]) -> tuple[str, ...]:
    return _first(names, PROBLEM, rows)


def _answer(names: Sequence[str], rows: Sequence[Row]) -> tuple[str, ...]:
    return _first(names, ANSWER, rows)


def _index(names: Sequence[str], rows: Sequence[Row]) -> tuple[str, ...]:
    columns = _first(names, INDEX, rows)
    return columns if columns and not _first(names, ("answer",), rows) else ()


def _choices(names: Sequence[str], rows: Sequence[Row]) -> tuple[str, ...]:
    if columns := _first(names, CHOICES, rows):
        return columns
    lettered = [name for name in names if _LETTERED.fullmatch(name)]
    return tuple(lettered) if len(lettered) >= 2 else ()


def _id(names: Sequence[str], rows: Sequence[Row]) -> tuple[str, ...]:  # noqa: ARG001  all guesses have this signature
    folded = {name.lower(): name for name in names}
    return next(((folded[name],) for name in IDS if name in folded), ())


def _context(names: Sequence[str], rows: Sequence[Row]) -> tuple[str, ...]:
    return _first(names, CONTEXT, rows)


def _images(names: Sequence[str], rows: Sequence[Row]) -> tuple[str, ...]:
    """Return the columns with pictures: one column, or a numbered series of columns."""
    with_pictures = [
        n
        for n in names
        if any(column_content.are_pictures(column_content.value(row, n)) for row in rows)
    ]
    named = [n for n in names if n.lower() in IMAGES and _filled(n, rows)]
    inside = [n for n in with_pictures if any(_is_content(row.get(n)) for row in rows)]
    if len(inside) == 1:
        return (inside[0],)  # file names in other columns only say where its pictures came from
    series = _series(with_pictures)
    if series and set(inside or with_pictures) <= set(series):
        return series
    candidates = inside or list(dict.fromkeys((*named, *with_pictures)))
    usual = [n for n in candidates if n.lower() in IMAGES]
    if len(candidates) == 1 or len(usual) == 1:
        return ((usual or candidates)[0],)
    return (usual[0],) if usual else ()


def _series(names: Sequence[str]) -> tuple[str, ...]:
    """Return the columns image_1, image_2 … in the order of their numbers; () if there are none."""
    numbered = [m for m in map(_NUMBERED.fullmatch, names) if m and m[1]]
    if not numbered or len({m[1] for m in numbered}) > 1:
        return ()
    return tuple(m[0] for m in sorted(numbered, key=lambda m: int(m[2])))


def _is_content(value: Any) -> bool:
    """Return whether a cell holds pictures, and not only their file names."""
    cell_items = column_content.items(value)
    return (
        bool(cell_items)
        and column_content.are_pictures(value)
        and not any(map(_is_name, cell_items))
    )


def _is_name(item: Any) -> bool:
    return column_content.is_file_name(item) or (
        isinstance(item, Mapping) and not item.get("bytes") and column_content.is_picture(item)
    )


_GUESSES = {
    "problem": _problem,
    "images": _images,
    "answer": _answer,
    "answer_index": _index,
    "choices": _choices,
    "id": _id,
    "context": _context,
}


def _first(names: Sequence[str], usual: Sequence[str], rows: Sequence[Row]) -> tuple[str, ...]:
    """Return the first of the usual column names that exists, ignoring case; () if none does.

    A column with content is preferred.
    """
    folded = {name.lower(): name for name in reversed(names)}
    for word in usual:
        if word in folded and _filled(folded[word], rows):
            return (folded[word],)
    return next(((folded[word],) for word in usual if word in folded), ())


def _filled(name: str, rows: Sequence[Row]) -> bool:
    return any(_is_filled(row.get(name)) for row in rows)


def _is_filled(value: Any) -> bool:
    return value is not None and not (isinstance(value, str | list | tuple) and len(value) == 0)


def _as_names(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(map(str, value))


def _refuse_unknown(
    stated: Mapping[str, tuple[str, ...]], names: Sequence[str], rows: Sequence[Row]
) -> None:
    for role, columns in stated.items():
        if role not in ROLES:
            raise UserError(f"env.columns knows no {role}; it takes {', '.join(ROLES)} and ignored")
        for name in columns:
            if name not in names and all(cell(row, name) is None for row in rows):
                raise UserError(
                    f"env.columns={{{role}: {name}}}: there is no column {name};"
                    f" found {', '.join(names)}"
                )


def _refuse_incomplete(reading: ColumnRoles, names: Sequence[str], rows: Sequence[Row]) -> None:
    """Raise UserError if no column was recognised as the question or the answer."""
    talk = any(_is_conversation(reading.value(row, "problem")) for row in rows)
    answered = talk or {"answer", "answer_index", "answer_number"} & set(reading.roles)
    missing = [role for role in ("problem", "answer") if role not in reading.roles]
    if missing == ["answer"] and answered:
        return
    if missing:
        raise UserError(
            f"no column was recognised as the {' and the '.join(missing)};"
            f" found {', '.join(names)}. Say which is which, for example"
            f" {_suggestion(reading, missing, names, rows)}"
        )


def _is_conversation(value: Any) -> bool:
    try:
        return conversation(value) is not None
    except ValueError:
        return True  # it is a conversation, and its row is refused later


def _suggestion(
    reading: ColumnRoles, missing: Iterable[str], names: Sequence[str], rows: Sequence[Row]
) -> str:
    """Return a value of `env.columns` in which the missing roles have the most likely columns."""
    taken = {name for columns in reading.roles.values() for name in columns}
    texts = {name: length for name in names if (length := _typical_length(name, rows)) > 0}
    free = [name for name in texts if name not in taken]
    filled = dict(reading.roles)
    for role in missing:
        pick = max if role == "problem" else min
        # A column with the same text in every row may be a question, but not an answer.
        likely = [n for n in free if role == "problem" or not _is_constant(n, rows)] or free
        filled[role] = (pick(likely, key=texts.__getitem__) if likely else "NAME",)
        free = [name for name in free if name not in filled[role]]
    return replace(reading, roles={r: filled[r] for r in ROLES if r in filled}).mapping


def _typical_length(name: str, rows: Sequence[Row]) -> int:
    """Return about the mean length of a column's texts and numbers [characters].

    Returns 0 if the column holds something else.
    """
    values = [row.get(name) for row in rows]
    texts = [str(v) for v in values if isinstance(v, str | int | float) and not isinstance(v, bool)]
    if not texts or any(column_content.are_pictures(text) for text in texts):
        return 0
    return 1 + sum(map(len, texts)) // len(texts)


def _is_constant(name: str, rows: Sequence[Row]) -> bool:
    return len(rows) > 1 and len({str(row.get(name)) for row in rows}) == 1
