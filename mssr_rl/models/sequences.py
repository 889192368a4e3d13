"""Join prompts and responses to whole sequences, with prompts padded on the left.

All responses begin at the same column, so the last T + 1 logits of a row predict its T response
tokens. Positions come from `models.encode`, as in the local engine. So they do not depend on how
transformers treats padding.

Shapes: B rows, L prompt and T response tokens, S = L + T; N pictures, Q patches of all of them, C
values of a patch.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mssr_rl.models.encode import PromptBlock, PromptEncoder
from mssr_rl.models.patches import all_frames
from mssr_rl.problem import Problem


class Sequences(NamedTuple):
    """The inputs of one forward pass."""

    token_BS: Tensor
    mask_BS: Tensor  # int64: 1 on prompt and response
    position_3BS: Tensor
    patch_QC: Tensor | None  # None if no prompt has a picture
    grid_N3: Tensor | None

    def inputs(self, device: torch.device | str, dtype: torch.dtype) -> dict[str, Tensor]:
        """Return these inputs as keyword arguments of a Qwen2.5-VL model."""
        arguments = {
            "input_ids": self.token_BS,
            "attention_mask": self.mask_BS,
            "position_ids": self.position_3BS,
        }
        if self.patch_QC is not None and self.grid_N3 is not None:
            arguments |= {"pixel_values": self.patch_QC.to(dtype), "image_grid_thw": self.grid_N3}
        return {name: tensor.to(device) for name, tensor in arguments.items()}


def join(
    encoder: PromptEncoder, problems: Sequence[Problem], token_BT: Tensor, mask_BT: Tensor
) -> Sequences:
    """Return one row for each response, with the prompt of its problem before it.

    `problems` has one entry for each response, so a problem is repeated for its group.
    """
    prompts = encoder.block(problems)
    length_B = prompts.mask_PL.sum(1)
    width = prompts.token_PL.shape[1]
    # Column j of a left-padded row is column j - (L - length) of a right-padded one.
    column_BL = torch.arange(width) - (width - length_B)[:, None]
    there_BL = column_BL >= 0
    source_BL = column_BL.clamp(min=0)
    prompt_BL = prompts.token_PL.gather(1, source_BL)
    padding = encoder.processor.tokenizer.pad_token_id
    position_3BL = prompts.position_3PL.gather(2, source_BL.expand(3, -1, -1)) * there_BL
    step_BT = prompts.next_position_P[:, None] + torch.arange(token_BT.shape[1])
    patches, grids = _pictures(prompts, encoder.images.temporal_patch_size)
    return Sequences(
        token_BS=torch.cat((prompt_BL.masked_fill(~there_BL, padding), token_BT), 1),
        mask_BS=torch.cat((there_BL.long(), mask_BT.long()), 1),
        position_3BS=torch.cat((position_3BL, step_BT.expand(3, -1, -1)), 2),
        patch_QC=patches,
        grid_N3=grids,
    )


def _pictures(prompts: PromptBlock, frames: int) -> tuple[Tensor | None, Tensor | None]:
    """Return the patches and grids of all pictures, in the order of the prompts.

    Both are None if there is no picture.
    """
    placed = [
        (int(slots[0]), patches, (1, *block.grid))
        for block in prompts.pictures
        for slots, patches in zip(block.slot_NK, block.cut(), strict=True)
    ]
    if not placed:
        return None, None
    # transformers expects pictures in the order of the prompts; blocks hold them by size.
    placed.sort(key=lambda one: one[0])
    one_frame = torch.cat([patches for _, patches, _ in placed])
    return all_frames(one_frame, frames), torch.tensor([grid for *_, grid in placed])
