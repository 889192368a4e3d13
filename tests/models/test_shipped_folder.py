"""The shipped weights are an ordinary folder: transformers' own classes read it."""

import re
import subprocess
import sys

import pytest

from mssr_rl.models import TINY

USE = """
from PIL import Image
text = processor.apply_chat_template(
    [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "How many?"}]}],
    add_generation_prompt=True,
)
batch = processor(images=[Image.new("RGB", (96, 96))], text=[text], return_tensors="pt")
logits = model(**batch).logits
pictured = int((batch["input_ids"] == model.config.image_token_id).sum())
print(type(model).__name__, pictured, list(logits.shape) == [*batch["input_ids"].shape, 640])
"""


@pytest.mark.slow
def test_the_cards_example_loads_model_and_processor_and_they_fit_together() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (TINY / "README.md").read_text(), re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", example + USE], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["Qwen2_5_VLForConditionalGeneration", "9", "True"]
