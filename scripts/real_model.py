"""Convert a GGUF file to an ordinary model folder: float32 safetensors, tokenizer, chat template.

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
    """Convert the file.

    The folder is written under another name and renamed, so it is never incomplete.
    """
    aside = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    source = {"gguf_file": file.name}
    tokenizer = AutoTokenizer.from_pretrained(file.parent, **source)
    model = AutoModelForCausalLM.from_pretrained(file.parent, **source, dtype=torch.float32)
    # transformers 5.15 reads the tokenizer's end token wrongly from GGUF; the model's own is right.
    end = model.config.eos_token_id
    tokenizer.eos_token = tokenizer.pad_token = tokenizer.convert_ids_to_tokens(end)
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = [end], end
    # It is meant for other tokenizers, and transformers warns.
    tokenizer.clean_up_tokenization_spaces = False
    model.save_pretrained(aside)
    tokenizer.save_pretrained(aside)
    aside.rename(folder)
    count = sum(p.numel() for p in model.parameters())
    print(f"{folder}: {type(model).__name__} of {count / 1e6:.1f} M parameters")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
