"""The problems of a run: rows in two splits, pictures and prompts that the model cannot take."""

import io
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from mssr_rl.config import Config
from mssr_rl.config.compose import load
from mssr_rl.data.row_faults import BadRows
from mssr_rl.errors import UserError
from mssr_rl.run import splits

Configure = Callable[..., Config]


def picture(folder: Path, name: str, kind: str = "PNG", seed: int = 0, width: int = 96) -> str:
    """A drawing of its own for each seed, stored as asked for."""
    draw = random.Random(seed)
    image = Image.new("RGB", (96, 96), "white")
    for _ in range(6):
        colour = tuple(draw.randrange(200) for _ in range(3))
        image.paste(colour, (x := draw.randrange(70), y := draw.randrange(70), x + 20, y + 20))
    buffer = io.BytesIO()
    image.resize((width, width)).save(buffer, kind, quality=80)
    (folder / name).write_bytes(buffer.getvalue())
    return name


def rows(folder: Path, split: str, *found: dict[str, object]) -> None:
    lines = [json.dumps({"problem": "How many?", "answer": "1", **row}) for row in found]
    (folder / f"{split}.jsonl").write_text("\n".join(lines))


def config(folder: Path, *words: str) -> Config:
    return load(["env=vision_r1", f"env.data={folder}", "algo=grpo", *words])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Ten training problems, five validation and five test problems, all different."""
    for place, split in enumerate(splits.NAMES):
        seeds = range(100 * place, 100 * place + (10 if split == "train" else 5))
        found = [
            {"id": f"{split}-{s}", "images": [picture(tmp_path, f"{s}.png", seed=s)]} for s in seeds
        ]
        rows(tmp_path, split, *found)
    return tmp_path


def test_splits_that_share_nothing_are_said_to(data: Path) -> None:
    found = splits.read_splits(config(data))
    assert [len(env.problems) for env in found[:3]] == [10, 5, 5]
    assert "overlap no problem of val or test is in train, nor one of test in val" in splits.lines(
        found
    )
    assert [(o["split"], o["with"], o["rows"]) for o in splits.data_record(found)["overlap"]] == [
        ("val", "train", 0), ("test", "train", 0), ("test", "val", 0),
    ]  # fmt: skip


def test_test_rows_that_are_trained_on_stop_the_run_and_are_named(data: Path) -> None:
    (data / "test.jsonl").write_text((data / "train.jsonl").read_text().replace("train-", "t-"))
    with pytest.raises(
        UserError, match=r"10 of 10 test rows are also in train \(10 the same\)"
    ) as e:
        splits.read_splits(config(data))
    assert "t-3 = train-3" in str(e.value)
    assert "env.overlap=allow" in str(e.value)
    allowed = splits.read_splits(config(data, "env.overlap=allow"))
    assert any("10 of 10 test rows are also in train" in line for line in splits.lines(allowed))


def test_copies_that_were_saved_anew_or_written_with_other_blanks_are_found(data: Path) -> None:
    rows(
        data, "test",
        {"id": "jpeg", "images": [picture(data, "j.jpg", "JPEG", seed=1)]},
        {"id": "resized", "images": [picture(data, "r.png", seed=2, width=128)]},
        {"id": "blanks", "problem": "how   many ?", "images": ["3.png"]},
        {"id": "another", "images": [picture(data, "n.png", seed=999)]},
    )  # fmt: skip
    with pytest.raises(
        UserError, match=r"3 of 4 test rows are also in train \(3 nearly\)"
    ) as caught:
        splits.read_splits(config(data))
    assert "jpeg = train-1, resized = train-2, blanks = train-3" in str(caught.value)


def test_one_split_that_stands_in_for_another_is_said_and_does_not_stop(data: Path) -> None:
    (data / "val.jsonl").unlink()
    found = splits.read_splits(config(data))
    assert "overlap test is val: the same rows are used for both" in splits.lines(found)


def test_a_picture_that_the_model_cannot_take_is_found_before_anything_starts(data: Path) -> None:
    Image.new("RGB", (1, 300)).save(data / "thin.png")
    with (data / "train.jsonl").open("a") as file:
        file.write(
            "\n" + json.dumps({"id": "x", "problem": "?", "answer": "1", "images": ["thin.png"]})
        )
    with pytest.raises(BadRows, match="train row x: the model cannot take its picture") as caught:
        splits.read_splits(config(data))
    assert "env.bad_rows=leave_out continues without them" in str(caught.value)
    found = splits.read_splits(config(data, "env.bad_rows=leave_out"))
    assert len(found.train.problems) == 10
    assert splits.data_record(found)["data"]["train"]["left_out"] == 1
    assert any(
        line.startswith("left out 1 rows of train, the first: ") for line in splits.lines(found)
    )


def test_prompts_over_the_limit_stop_or_are_left_out(data: Path) -> None:
    with (data / "train.jsonl").open("a") as file:
        file.write("\n" + json.dumps({"id": "x", "problem": "count " * 900, "answer": "1"}))
    with pytest.raises(BadRows, match=r"train row x: the prompt of x has \d+ tokens, over"):
        splits.read_splits(config(data))
    with pytest.raises(BadRows, match=r"env\.long_prompts=leave_out"):
        splits.read_splits(config(data, "env.bad_rows=leave_out"))
    found = splits.read_splits(config(data, "env.long_prompts=leave_out"))
    assert len(found.train.problems) == 10
    fewer = splits.read_splits(config(data, "env.long_prompts=leave_out", "env.limit=10"))
    assert found.train.fingerprint() != fewer.train.fingerprint()


def test_bad_rows_are_all_named_at_once(data: Path) -> None:
    rows(
        data,
        "test",
        *({"id": f"b{i}", "answer": ""} for i in range(5)),
        {"id": "good", "problem": "2?"},
    )
    with pytest.raises(BadRows, match=r"\(id b0\) has an empty answer.*and 2 more rows") as caught:
        splits.read_splits(config(data))
    assert len(caught.value.rows) == 5
    assert len(splits.read_splits(config(data, "env.bad_rows=leave_out")).test.problems) == 1


def test_a_text_that_holds_the_models_sign_for_a_picture_is_found_before_anything_starts(
    data: Path,
) -> None:
    lines = (data / "test.jsonl").read_text().splitlines()
    last = json.loads(lines[-1])
    (data / "test.jsonl").write_text(
        "\n".join([*lines[:-1], json.dumps({**last, "problem": "What is <|image_pad|>?"})])
    )
    with pytest.raises(BadRows, match=rf"test row {last['id']}.*sign for a picture"):
        splits.read_splits(config(data))


def test_more_pictures_than_vllm_keeps_room_for_are_refused_before_anything_starts(
    data: Path,
) -> None:
    many = [picture(data, f"many-{n}.png", seed=900 + n) for n in range(3)]
    rows(data, "val", {"id": "crowd", "images": many, "problem": "<image>" * 3 + "?"})
    two = ("engine=openrlhf", "cluster.pictures_per_prompt=2")
    with pytest.raises(BadRows, match=r"crowd: it has 3 pictures, over cluster\.pictures_per_p"):
        splits.read_splits(config(data, *two))
    for words in ((), (*two[:1], "cluster.pictures_per_prompt=3"), (*two, SAMPLES_ITSELF)):
        assert splits.read_splits(config(data, *words)).val.problems[0].key == "crowd"


SAMPLES_ITSELF = "rollout.sampler=transformers"
