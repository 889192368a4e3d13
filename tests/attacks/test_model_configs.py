"""Model folders whose settings no model has: one sentence each, at once, and nothing is built."""

import json
import os
import shutil
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mssr_rl.errors import UserError
from mssr_rl.models import TINY, bounds
from mssr_rl.models.load import Wanted, family_of_folder, load_model
from mssr_rl.models.vetting import local_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "model"
    shutil.copytree(TINY, place)
    return place


def put(path: Path, dotted: str, value: Any) -> None:
    """Set one entry of a JSON file."""
    tree = json.loads(path.read_text()) if path.exists() else {}
    node = tree
    *sections, last = dotted.split(".")
    for section in sections:
        node = node.setdefault(section, {})
    node[last] = value
    path.write_text(json.dumps(tree))


def loaded(folder: Path) -> None:
    """Everything that a run builds from a model folder."""
    load_model(str(folder), "cpu", "float32")
    family_of_folder(Wanted(str(folder)))


@pytest.fixture
def quick() -> Iterator[None]:
    begun = time.process_time()
    yield
    assert time.process_time() - begun < 10


ODD = [
    ("config.json", "vision_config.depth", 10**6),
    ("config.json", "vision_config.depth", -1),
    ("config.json", "text_config.num_hidden_layers", 0),
    ("config.json", "text_config.num_hidden_layers", "3"),
    ("config.json", "text_config.num_hidden_layers", 3.0),
    ("config.json", "text_config.num_hidden_layers", True),
    ("config.json", "text_config.hidden_size", 10**9),
    ("config.json", "text_config.vocab_size", 10**12),
    ("config.json", "text_config.vocab_size", -640),
    ("config.json", "text_config.num_attention_heads", 0),
    ("config.json", "text_config.num_key_value_heads", [2]),
    ("config.json", "text_config.head_dim", 10**7),
    ("config.json", "text_config.rms_norm_eps", -1.0),
    ("config.json", "text_config.rms_norm_eps", "tiny"),
    ("config.json", "text_config.rope_parameters.rope_theta", 0),
    ("config.json", "text_config.rope_parameters", "default"),
    ("config.json", "text_config.max_position_embeddings", 10**15),
    ("config.json", "text_config.attention_dropout", 7.5),
    ("config.json", "text_config", None),
    ("config.json", "text_config", {}),
    ("config.json", "text_config", []),
    ("config.json", "vision_config", 7),
    ("config.json", "vision_config.patch_size", 0),
    ("config.json", "vision_config.spatial_merge_size", 0),
    ("config.json", "vision_config.window_size", -96),
    ("config.json", "vision_config.num_heads", 10**9),
    ("config.json", "model_type", ["qwen2_5_vl"]),
    ("config.json", "model_type", ""),
    ("config.json", "model_type", "no_such_model"),
    ("config.json", "image_token_id", "five"),
    ("config.json", "dtype", "hub"),
    ("config.json", "attn_implementation", "somebody/kernel"),
    ("generation_config.json", "eos_token_id", "two"),
    ("generation_config.json", "eos_token_id", 10**6),
    ("generation_config.json", "suppress_tokens", [10**9]),
    ("generation_config.json", "suppress_tokens", [[1]]),
    ("processor_config.json", "image_processor.merge_size", 0),
    ("processor_config.json", "image_processor.patch_size", 10**9),
    ("processor_config.json", "image_processor.image_std", [0, 0, 0]),
    ("processor_config.json", "image_processor.size.longest_edge", -1),
]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("name", "dotted", "value"), ODD)
def test_an_odd_value_is_one_sentence(folder: Path, name: str, dotted: str, value: Any) -> None:
    put(folder / name, dotted, value)
    with pytest.raises(UserError) as caught:
        loaded(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


WHOLE: dict[str, bytes] = {
    "nothing": b"",
    "cut": b'{"model_type": "qwen2_5_vl", "text_con',
    "list": b"[]",
    "nan": b'{"model_type": "qwen2_5_vl", "x": NaN}',
    "endless": b'{"model_type": "qwen2_5_vl", "vocab_size": 1e999}',
    "digits": b'{"vocab_size": ' + b"9" * 5000 + b"}",
    "deep": b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep enough": b'{"a": ' + b"[" * 500 + b"]" * 500 + b"}",
    "large": b'{"a": "' + b"x" * 2**23 + b'"}',
    "binary": bytes(range(256)),
}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("kind", WHOLE)
def test_a_config_that_is_none_is_one_sentence(folder: Path, kind: str) -> None:
    (folder / "config.json").write_bytes(WHOLE[kind])
    with pytest.raises(UserError, match=r"config\.json"):
        load_model(str(folder), "cpu", "float32")


def test_a_config_that_describes_more_than_the_files_hold(folder: Path) -> None:
    for key, value in (("num_hidden_layers", 900), ("hidden_size", 60_000)):
        put(folder / "config.json", f"text_config.{key}", value)
    with pytest.raises(UserError, match=r"describes a model of about [\d,]+ M parameters"):
        load_model(str(folder), "cpu", "float32")


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "merges.txt", "x.safetensors"])
@pytest.mark.usefixtures("no_hang")
def test_a_pipe_or_device_in_a_model_folder_is_not_opened(folder: Path, name: str) -> None:
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    with pytest.raises(UserError, match="is not a regular file"):
        load_model(str(folder), "cpu", "float32")
    (folder / name).unlink()
    (folder / name).symlink_to("/dev/zero")
    with pytest.raises(UserError, match="is not a regular file"):
        load_model(str(folder), "cpu", "float32")


@pytest.mark.parametrize("head", [2**62, 10**9, 0, 1])
def test_a_header_that_is_longer_than_its_file(folder: Path, head: int) -> None:
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", head) + b"{}")
    with pytest.raises(UserError, match="not a safetensors file"):
        local_folder(str(folder))


def test_an_adapter_cannot_name_another_model(folder: Path) -> None:
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "owner/name"}')
    with pytest.raises(UserError, match="whose base model lies"):
        load_model(str(folder), "cpu", "float32")


@pytest.mark.parametrize(
    ("config", "millions"),
    [
        ({"num_hidden_layers": 36, "hidden_size": 2048, "intermediate_size": 11008,
          "vocab_size": 151936}, 3_100),
        ({"text_config": {"num_hidden_layers": 48, "hidden_size": 2048, "num_experts": 128,
          "moe_intermediate_size": 768, "vocab_size": 151936}}, 30_500),
    ],
)  # fmt: skip
def test_a_published_model_is_about_as_large_as_it_is(
    config: dict[str, Any], millions: float
) -> None:
    assert 0.5 < bounds.about(config) / 1e6 / millions < 2


def test_the_shipped_model_is_within_all_bounds() -> None:
    bounds.check_bounds(TINY)
