"""Pickles and Python files in checkpoints and model folders: refused, and never run."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mssr_rl.config import Config
from mssr_rl.engine_protocol import Engine
from mssr_rl.errors import UserError
from mssr_rl.models import TINY
from mssr_rl.models.load import load_model, load_processor
from mssr_rl.run import checkpoint, trainer

Configure = Callable[..., Config]
MakeEngine = Callable[[Config], Engine]


class Bomb:
    """Unpickled, it leaves the marker."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.marker,))


def test_the_bomb_goes_off_where_it_is_unpickled(marker: Path) -> None:
    pickle.loads(pickle.dumps(Bomb(marker)))
    assert marker.exists()


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors"])
def test_a_model_folder_with_a_pickle_is_refused(tmp_path: Path, marker: Path, name: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(TINY, folder)
    (folder / "model.safetensors").unlink()
    torch.save({"lm_head.weight": Bomb(marker)}, folder / name)
    with pytest.raises(UserError, match="could not be loaded"):
        load_model(str(folder), "cpu", "float32")
    assert not marker.exists()


def test_a_checkpoint_with_a_pickle_is_not_loaded(
    configure: Configure, make_engine: MakeEngine, marker: Path
) -> None:
    folder = trainer.run(configure("name=run"), make_engine)
    newest = checkpoint.newest_first(folder / "checkpoints")[0]
    bomb = pickle.dumps({"state": Bomb(marker)})
    (newest / "optimiser.safetensors").write_bytes(bomb)
    (newest / "extra.pt").write_bytes(bomb)
    trainer.run(configure("name=run", "resume=true"), make_engine)
    assert not marker.exists()


def test_a_pickle_with_a_manifest_to_match_fails_to_load_and_runs_nothing(
    configure: Configure, make_engine: MakeEngine, marker: Path
) -> None:
    folder = trainer.run(configure("name=run"), make_engine)
    newest = checkpoint.newest_first(folder / "checkpoints")[0]
    (newest / "algorithm.safetensors").write_bytes(pickle.dumps(Bomb(marker)))
    checkpoint._seal(newest)
    assert checkpoint.fault(newest) is None
    with pytest.raises(UserError, match="it was not written by training"):
        trainer.run(configure("name=run", "resume=true"), make_engine)
    assert not marker.exists()


def test_python_files_in_a_model_folder_are_not_run(tmp_path: Path, marker: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(TINY, folder)
    (folder / "evil.py").write_text(f"open({str(marker)!r}, 'w')\n")
    for name, entry in (
        ("config.json", {"AutoModelForImageTextToText": "evil.Model", "AutoConfig": "evil.C"}),
        ("processor_config.json", {"AutoProcessor": "evil.Processor"}),
        ("tokenizer_config.json", {"AutoTokenizer": ["evil.T", "evil.T"]}),
    ):
        known = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**known, "auto_map": entry}))
    load_model(str(folder), "cpu", "float32")
    load_processor(str(folder))
    assert not marker.exists()
