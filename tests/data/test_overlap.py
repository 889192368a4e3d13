"""Nearly the same rows: found wherever they are, without holding every row against every other."""

import io

import numpy as np
import pytest
from PIL import Image

from mssr_rl.data import overlap, pictures, seen
from mssr_rl.problem import Problem
from mssr_rl.prompts import IMAGE


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MSSR_CACHE", str(tmp_path_factory.getbasetemp() / "overlap"))


def photograph(seed: int, brightness: int = 128) -> Image.Image:
    """A few soft shapes around a level of grey."""
    levels = np.random.default_rng(seed).integers(-60, 60, (4, 4, 3)) + brightness
    small = Image.fromarray(levels.clip(0, 255).astype(np.uint8))
    return small.resize((64, 64), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str, quality: int = 80) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, quality=quality)
    return buffer.getvalue()


def row(key: str, *contents: bytes, text: str = "How long is it?") -> Problem:
    return Problem(key=key, prompt=IMAGE * len(contents) + text, answer="4", images=contents)


def one_question(count: int) -> tuple[list[Problem], list[Problem]]:
    """Rows that differ in their picture only, and copies in another encoding, in reverse."""
    images = [photograph(i, 60 + 130 * i // count) for i in range(count)]
    ours = [row(f"a{i}", encoded(image, "PNG")) for i, image in enumerate(images)]
    theirs = [row(f"b{i}", encoded(image, "JPEG")) for i, image in enumerate(images)]
    return ours, theirs[::-1]


def test_each_copy_is_found_among_rows_with_the_same_question() -> None:
    ours, theirs = one_question(40)
    hits = overlap.shared(ours, theirs)
    assert [(hit.ours, hit.theirs) for hit in hits] == [(f"a{i}", f"b{i}") for i in range(40)]


def test_of_several_copies_the_first_row_is_named() -> None:
    image = photograph(5)
    theirs = [row(f"b{q}", encoded(image, "JPEG", q)) for q in (80, 95, 85)]
    (hit,) = overlap.shared([row("a", encoded(image, "PNG"))], theirs)
    assert hit.theirs == "b80"


def test_every_picture_of_a_row_has_to_look_alike() -> None:
    one, two, three = (photograph(i) for i in range(3))
    ours = [row("a", encoded(one, "PNG"), encoded(two, "PNG"))]
    other = [row("b", encoded(one, "JPEG"), encoded(three, "JPEG"))]
    copy = [row("c", encoded(one, "JPEG"), encoded(two, "JPEG"))]
    assert not overlap.shared(ours, other)
    assert [hit.theirs for hit in overlap.shared(ours, [*other, *copy])] == ["c"]


def test_blocks_of_rows_find_what_comparing_all_pixels_finds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Candidates by mean and by blocks lose none of the pairs that look alike."""
    monkeypatch.setattr(overlap, "AT_ONCE", 4)  # so that edges of blocks are met
    rng = np.random.default_rng(0)
    kinds = [photograph(seed, 60 + 6 * seed) for seed in range(12)]
    ours = [row(f"a{i}", encoded(kinds[rng.integers(12)], "PNG")) for i in range(15)]
    theirs = [
        row(f"b{i}", encoded(kinds[rng.integers(12)], "JPEG", int(rng.integers(70, 95))))
        for i in range(15)
    ]
    a, b = overlap.SplitRows(ours), overlap.SplitRows(theirs)
    for rows in (a, b):
        rows.look_up(range(15))
    everything = np.stack([b.thumbnails(j) for j in range(15)])
    expected = {}
    for i in range(15):
        alike = np.flatnonzero(overlap.look_alike(a.thumbnails(i), everything))
        if len(alike):
            expected[f"a{i}"] = f"b{alike[0]}"
    assert 5 < len(expected) < 15
    assert {hit.ours: hit.theirs for hit in overlap.shared(ours, theirs)} == expected


def test_pixels_are_compared_for_about_as_many_pairs_as_there_are_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The guard of the cost: 200 x 200 pairs with one question, and hardly more than 200 looks."""
    compared = []
    real = overlap.look_alike
    monkeypatch.setattr(
        overlap,
        "look_alike",
        lambda one, others: (compared.append(len(others)), real(one, others))[1],
    )
    assert len(overlap.shared(*one_question(200))) == 200
    assert sum(compared) < 2 * 200


def test_each_picture_is_hashed_and_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = one_question(20)
    hashed, decoded = [], []
    digest, look = seen.digest, pictures.as_seen_and
    monkeypatch.setattr(seen, "digest", lambda c: (hashed.append(c), digest(c))[1])
    monkeypatch.setattr(pictures, "as_seen_and", lambda c, m: (decoded.append(c), look(c, m))[1])
    monkeypatch.setenv("MSSR_CACHE", "/dev/null/none")  # nothing is known from before
    overlap.shared(ours, theirs)
    assert len(hashed) == len(decoded) == 40


def test_rows_with_one_picture_each_are_not_held_against_rows_with_two() -> None:
    image = encoded(photograph(1), "PNG")
    again = encoded(photograph(1), "JPEG")
    assert not overlap.shared([row("a", image)], [row("b", again, again)])
