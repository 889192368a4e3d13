"""The gallery of the page: some recorded rollouts as cards, from steps of the whole run.

The size of all cards together is limited. A model's text is untrusted. It is shortened, its control
characters are made visible, and the template escapes it. Pictures are read only from inside the
run's folder, made small, and embedded as data URIs.
"""

import base64
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from mssr_rl import untrusted
from mssr_rl.data import pictures
from mssr_rl.report.runfiles import Row
from mssr_rl.report.text import Excerpt, ResponseParts, excerpt, number, take_apart

MAX_CARDS = 160
MAX_BYTES = 1_800_000  # for all texts and pictures together
TEXT_LIMIT = 2_000  # characters of a question, of a reasoning, of an answer
PICTURE_LIMIT = 40_000  # bytes; larger pictures are scaled down
PICTURE_SIDE = 400  # pixels of a picture that was scaled down
MAX_PICTURES = 4  # per problem
TYPES = {"PNG": "image/png", "JPEG": "image/jpeg"}
VERDICTS = {
    "correct": "right",
    "wrong": "wrong",
    "no_answer": "no answer found",
    "bad_format": "bad format",
    "timeout": "grading timed out",
    "error": "grading failed",
}


class RolloutCard(NamedTuple):
    """One recorded rollout, with its texts and pictures ready for the page."""

    step: int
    split: str
    key: str
    tags: str
    pictures: tuple[str, ...]  # data: URIs
    missing: int  # pictures that could not be read
    question: Excerpt
    response: ResponseParts
    extracted: str | None
    gold: str
    right: bool
    verdict: str
    reason: str
    reward: str
    family: str = ""
    advantage: str = ""  # the mean over the response's tokens
    flipped: bool = False  # without reward, and yet a token was pushed up

    @property
    def weight(self) -> int:
        """The size of the texts and pictures in bytes, without HTML markup."""
        texts = (self.question.text, self.response.reasoning.text, self.response.answer.text)
        return sum(map(len, self.pictures)) + sum(len(t.encode()) for t in texts)


class Gallery(NamedTuple):
    """The cards in the order of the run, and the number of recorded rollouts."""

    cards: tuple[RolloutCard, ...]
    recorded: int

    @property
    def steps(self) -> list[int]:
        """The training steps that have at least one card."""
        return sorted({card.step for card in self.cards})

    @property
    def splits(self) -> list[str]:
        """The splits that have at least one card."""
        return sorted({card.split for card in self.cards})

    @property
    def families(self) -> list[str]:
        """The families that have at least one card."""
        return sorted({card.family for card in self.cards if card.family})

    @property
    def reasons(self) -> list[str]:
        """The reasons of the verdicts."""
        return sorted({card.reason for card in self.cards if card.reason})

    @property
    def flips(self) -> bool:
        """Whether a card has a wrong answer with a token that was pushed up."""
        return any(card.flipped for card in self.cards)

    @property
    def repeated(self) -> list[str]:
        """The problems with more than one card, so that early and late answers can be compared."""
        seen = Counter(card.key for card in self.cards)
        return sorted(key for key, times in seen.items() if times > 1)

    @property
    def right(self) -> int:
        """The number of cards with a right answer."""
        return sum(card.right for card in self.cards)


def gallery(samples: Sequence[Row], folder: Path) -> Gallery:
    """Return as many cards as fit within the size limit, from steps of the whole run."""
    cards: list[RolloutCard] = []
    room = MAX_BYTES
    for sample in _by_importance(samples):
        shown = card(sample, folder)
        room -= shown.weight
        if room < 0 or len(cards) == MAX_CARDS:
            break
        cards.append(shown)
    cards.sort(key=lambda card: (card.step, card.split, card.key))
    return Gallery(tuple(cards), len(samples))


def spread(count: int) -> list[int]:
    """Return the numbers 0 to count - 1 in an order in which the first few cover the whole range.

    The order is: last, first, then the middles of the remaining gaps.
    """
    order = [count - 1, 0][:count] if count != 1 else [0]
    gaps = [(0, count - 1)]
    while gaps:
        a, b = gaps.pop(0)
        if b - a > 1:
            middle = (a + b) // 2
            order.append(middle)
            gaps += [(a, middle), (middle, b)]
    return order


def data_uri(path: Path) -> str | None:
    """Return a picture as a data URI; None if it is not a readable PNG or JPEG."""
    try:
        raw = untrusted.content(path, pictures.MAX_BYTES)
        with Image.open(io.BytesIO(raw), formats=tuple(TYPES)) as picture:
            if picture.width * picture.height > pictures.MAX_PIXELS:
                return None
            kind = TYPES[str(picture.format)]
            if len(raw) > PICTURE_LIMIT:
                kind, raw = TYPES["JPEG"], _smaller(picture)
            else:
                picture.verify()
    except (OSError, SyntaxError, ValueError, untrusted.Unusable, Image.DecompressionBombError):
        return None
    return f"data:{kind};base64,{base64.b64encode(raw).decode()}"


def _smaller(picture: Image.Image) -> bytes:
    picture.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
    flat = Image.new("RGB", picture.size, "white")
    with_alpha = picture.convert("RGBA")
    flat.paste(with_alpha, mask=with_alpha.getchannel("A"))
    out = io.BytesIO()
    flat.save(out, "JPEG", quality=82, optimize=True)
    return out.getvalue()


def _by_importance(samples: Sequence[Row]) -> Iterator[Row]:
    by_step: dict[int, list[Row]] = {}
    for sample in samples:
        by_step.setdefault(int(sample["step"]), []).append(sample)
    steps = sorted(by_step)
    for index in spread(len(steps)) if steps else ():
        yield from by_step[steps[index]]


def card(sample: Row, folder: Path) -> RolloutCard:
    """Return the card of a recorded rollout, with its pictures from the run's folder."""
    reason = str(sample.get("reason", ""))
    uris = [_inside(folder, name) for name in _pictures(sample)]
    extracted = sample.get("extracted")
    return RolloutCard(
        step=int(sample["step"]),
        split=_short(sample.get("split", "train")),
        key=_short(sample.get("key", "")),
        tags=_tags(sample.get("tags")),
        pictures=tuple(uri for uri in uris if uri is not None),
        missing=uris.count(None),
        question=excerpt(_question(str(sample.get("prompt", "")), bool(uris)), TEXT_LIMIT),
        response=take_apart(str(sample.get("response", "")), TEXT_LIMIT),
        extracted=None if extracted is None else _short(extracted),
        gold=_short(sample.get("answer", "")),
        right=reason == "correct",
        verdict=VERDICTS.get(reason, _short(reason) or "not graded"),
        reason=_short(reason),
        reward=number(sample.get("reward", "–")),
        family=_family(sample.get("tags")),
        advantage=_signed(sample.get("advantage")),
        flipped=sample.get("flipped") is True,
    )


def _pictures(sample: Row) -> list[str]:
    several = sample.get("images")
    if isinstance(several, list):
        return [str(name) for name in several[:MAX_PICTURES]]
    return [str(sample["image"])] if sample.get("image") else []


def _inside(folder: Path, name: str) -> str | None:
    # The name comes from an untrusted file: it must not point outside the run's folder.
    try:
        path = (folder / name).resolve()
    except (OSError, ValueError):
        return None
    return data_uri(path) if path.is_relative_to(folder.resolve()) else None


def _question(prompt: str, has_picture: bool) -> str:
    return prompt.removeprefix("<image>").strip() if has_picture else prompt.strip()


def _tags(tags: object) -> str:
    if not isinstance(tags, Mapping):
        return ""
    return " · ".join(f"{_short(k)} {_short(v)}" for k, v in tags.items())


def _family(tags: object) -> str:
    return _short(tags.get("family", "")) if isinstance(tags, Mapping) else ""


def _signed(value: object) -> str:
    known = isinstance(value, (int, float)) and not isinstance(value, bool)
    return f"{value:+.3g}".replace("-", "−") if known else ""


def _short(thing: Any) -> str:
    shown = excerpt(str(thing), 120)
    return shown.text + ("…" if shown.cut else "")
