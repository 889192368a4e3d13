"""`check model=`: sound folders pass, and each planted corruption is found by name."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mssr_rl import check_model, cli
from mssr_rl.errors import UserError
from mssr_rl.models import TINY
from mssr_rl.models.load import load_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(TINY, tmp_path / "model")
    return tmp_path / "model"


def checked(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = cli.main(["check", f"model={folder}"])
    return code, capsys.readouterr().out


def test_the_shipped_model_is_sound(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = checked(Path("tiny"), capsys)
    assert code == 0
    assert "57 x 31: 20 tokens, pictures take 6" in said
    assert said.splitlines()[-1] == "sound"


def test_a_template_whose_turns_end_with_no_end_token_is_found(folder, capsys) -> None:
    template = (folder / "chat_template.jinja").read_text()
    (folder / "chat_template.jinja").write_text(template.replace("<|im_end|>", "###"))
    code, said = checked(folder, capsys)
    assert code == 1
    assert "FAIL ends: the chat template closes an answer with" in said


def test_pictures_normalised_otherwise_than_the_processor_does_are_found(
    folder, capsys, monkeypatch
) -> None:
    from mssr_rl.models.encode import PromptEncoder

    off = torch.linspace(0, 1, 256).expand(3, 256).contiguous()
    monkeypatch.setattr(PromptEncoder, "_value", off)
    code, said = checked(folder, capsys)
    assert code == 1
    assert "FAIL scores     96 x 96" in said
    assert "FAIL scores     text" not in said


def test_weights_that_a_folder_lacks_are_not_made_up(folder) -> None:
    weights = load_file(folder / "model.safetensors")
    gone = next(name for name in weights if name.endswith("layers.1.mlp.down_proj.weight"))
    del weights[gone]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"lacks 1 weights, such as .*down_proj"):
        load_model(str(folder), "cpu", "float32")


def test_weights_of_another_shape_than_the_config_says_are_refused(folder) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["intermediate_size"] = 320
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="could not be loaded"):
        load_model(str(folder), "cpu", "float32")


def test_a_word_that_it_does_not_know_is_refused() -> None:
    with pytest.raises(UserError, match="speed"):
        check_model.check_model_folder(["model=tiny", "speed=1"])
