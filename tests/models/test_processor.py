"""Folders as they are published load as they are, with and without torchvision."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers.utils import is_torchvision_available

from mssr_rl.errors import UserError
from mssr_rl.models import TINY, lean
from mssr_rl.models.encode import PromptEncoder
from mssr_rl.models.load import load_model, load_processor, save_model
from mssr_rl.models.score import score
from mssr_rl.problem import Problem

LAYOUTS = ("nested", "flat")


def problem() -> Problem:
    out = io.BytesIO()
    Image.linear_gradient("L").resize((130, 70)).convert("RGB").save(out, "PNG")
    return Problem(key="a", prompt="<image>How bright?", answer="1", images=(out.getvalue(),))


def logprobs(folder: str) -> torch.Tensor:
    model, encoder = load_model(folder, "cpu", "float32"), PromptEncoder(load_processor(folder), 99)
    response = torch.arange(40, 50)[None], torch.ones(1, 10)
    with torch.no_grad():
        return score(
            model, lean.read_prompts(model, encoder.block([problem()])), response, 1.0
        ).logprob_BT


@pytest.mark.parametrize("layout", LAYOUTS)
def test_both_published_layouts_are_read_as_the_folder_they_were_made_from(published, layout):
    # The flat one holds bfloat16: eight bits of every weight.
    tolerance = 1e-6 if layout == "nested" else 0.1
    ours, known = logprobs(str(published[layout])), logprobs("tiny")
    assert torch.allclose(ours, known, atol=tolerance)


WITHOUT_TORCHVISION = """
import sys
sys.modules["torchvision"] = None
from mssr_rl import cli
for model in sys.argv[1:]:
    words = ["train", f"model.path={model}", "env=vision_r1", "env.limit=8", "budget.rollouts=256"]
    assert cli.main([*words, "--plan"]) == 0
    from mssr_rl.models.load import load_model, load_processor
    load_model(model, "cpu", "float32")
    print(type(load_processor(model)).__name__)
"""


@pytest.mark.slow
def test_published_folders_are_planned_and_loaded_where_torchvision_is_missing(published):
    folders = [str(published[layout]) for layout in LAYOUTS]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCHVISION, *folders],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("1.0 M parameters") == 2
    assert done.stdout.split()[-1] == "Qwen2_5_VLProcessor"


@pytest.mark.skipif(not is_torchvision_available(), reason="transformers' own class needs it")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_saved_copy_loads_in_plain_transformers_with_all_its_halves(published, layout, tmp_path):
    from transformers import AutoModelForImageTextToText, AutoProcessor

    folder = str(published[layout])
    model, processor = load_model(folder, "cpu", "float32"), load_processor(folder)
    save_model(model, processor, tmp_path)
    stock = AutoProcessor.from_pretrained(tmp_path)
    assert type(stock.video_processor).__name__ == "Qwen2VLVideoProcessor"
    assert stock.image_processor.size == processor.image_processor.size
    assert stock.chat_template == processor.chat_template
    again = AutoModelForImageTextToText.from_pretrained(tmp_path)
    assert all(map(torch.equal, again.parameters(), model.parameters()))


def test_a_processor_class_that_transformers_does_not_have_is_refused_by_name(tmp_path: Path):
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((TINY / name).read_bytes())
    config = json.loads((TINY / "config.json").read_text())
    text = config["text_config"] | {"model_type": "qwen2"}
    (tmp_path / "config.json").write_text(json.dumps(text))
    (tmp_path / "processor_config.json").write_text('{"processor_class": "TheirOwnProcessor"}')
    with pytest.raises(UserError, match=r"TheirOwnProcessor .* never run"):
        load_processor(str(tmp_path))
