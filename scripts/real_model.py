"""A GGUF file made into an ordinary model folder: float32 safetensors, tokenizer, chat template.

    python scripts/real_model.py FILE.gguf FOLDER

Only `scripts/real_model.sh` calls it, with the packages `gguf` and `accelerate` on its path.
"""

import shutil
import sys
from pathlib import Path

import torch

import mssr_rl.models  # noqa: F401  makes torchvision importable where it is installed

from transformers import AutoModelForCausalLM, AutoTokenizer  # isort: skip


def main(file: Path, folder: Path) -> None:
    """Written aside and renamed: a folder that is there is whole."""
    aside = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    told = {"gguf_file": file.name}
    words = AutoTokenizer.from_pretrained(file.parent, **told)
    model = AutoModelForCausalLM.from_pretrained(file.parent, **told, dtype=torch.float32)
    # transformers 5.15 reads the tokenizer's end token wrongly from GGUF; the model's own is right.
    end = model.config.eos_token_id
    words.eos_token = words.pad_token = words.convert_ids_to_tokens(end)
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = [end], end
    words.clean_up_tokenization_spaces = False  # made for other tokenizers; transformers warns
    model.save_pretrained(aside)
    words.save_pretrained(aside)
    aside.rename(folder)
    count = sum(p.numel() for p in model.parameters())
    print(f"{folder}: {type(model).__name__} of {count / 1e6:.1f} M parameters")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
