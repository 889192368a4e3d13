"""The lean forward pass is transformers' forward pass, for every mix of pictures and lengths."""

import io
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from mssr_rl.errors import UserError
from mssr_rl.models import fused, lean
from mssr_rl.models.encode import PromptEncoder
from mssr_rl.models.load import load_model, load_processor
from mssr_rl.models.patches import all_frames
from mssr_rl.models.score import score
from mssr_rl.models.see import see
from mssr_rl.problem import Problem
from mssr_rl.prompts import chat_messages

TOLERANCE = 1e-4  # float32 sums in another order, logits of order 10


def png(width: int, height: int, colour: tuple[int, int, int]) -> bytes:
    out = io.BytesIO()
    image = Image.linear_gradient("L").resize((width, height)).convert("RGB")
    Image.blend(image, Image.new("RGB", image.size, colour), 0.5).save(out, "PNG")
    return out.getvalue()


PROBLEMS = [
    Problem(
        key="a", prompt="<image>Which digit is shown?", answer="1", images=(png(96, 96, (9, 9, 9)),)
    ),
    Problem(
        key="b",
        prompt="Compare <image> and <image>: which is larger, and by how much?",
        answer="1",
        images=(png(64, 96, (200, 0, 0)), png(96, 96, (0, 200, 0))),
    ),
    Problem(key="c", prompt="What is 2 + 3?", answer="5"),
    Problem(key="d", prompt="<image>Wide.", answer="5", images=(png(200, 40, (0, 0, 99)),)),
]


@pytest.fixture(scope="module")
def tiny():
    return load_model("tiny", "cpu", "float32"), load_processor("tiny")


def scored(model, block, response):
    return score(model, lean.read_prompts(model, block), response, 1.0)


def by_transformers(model, processor, problem, response):
    """Logits that predict each response token, from the stock processor and forward pass."""
    text = processor.apply_chat_template(
        chat_messages(problem), add_generation_prompt=True, tokenize=False
    )
    images = [Image.open(io.BytesIO(data)) for data in problem.images] or None
    inputs = processor(text=[text], images=images, return_tensors="pt")
    length = inputs["input_ids"].shape[1]
    inputs["input_ids"] = torch.cat((inputs["input_ids"], response[None]), 1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    kinds = inputs["mm_token_type_ids"]
    inputs["mm_token_type_ids"] = torch.cat((kinds, torch.zeros_like(response[None])), 1)
    with torch.no_grad():
        return model(**inputs).logits[0, length - 1 : -1]


@pytest.mark.parametrize("row", range(len(PROBLEMS)))
def test_a_padded_block_gives_the_log_probabilities_of_the_stock_forward_pass(tiny, row):
    model, processor = tiny
    encoder = PromptEncoder(processor, 1024)
    texts = ["<think>The digit is 7.</think>\\boxed{7}", "no", "<think>5", "wide wide"]
    rows = [processor.tokenizer.encode(text) for text in texts]
    width = max(map(len, rows))
    token_BT, mask_BT = torch.zeros(4, width, dtype=torch.long), torch.zeros(4, width)
    for i, ids in enumerate(rows):
        token_BT[i, : len(ids)], mask_BT[i, : len(ids)] = torch.tensor(ids), 1
    with torch.no_grad():
        ours = scored(model, encoder.block(PROBLEMS), (token_BT, mask_BT)).logprob_BT
    response = torch.tensor(rows[row])
    logits = by_transformers(model, processor, PROBLEMS[row], response)
    banned = model.generation_config.suppress_tokens
    logits[:, banned] = float("-inf")
    stock = logits.log_softmax(-1).gather(1, response[:, None])[:, 0]
    assert torch.allclose(ours[row, : len(response)], stock, atol=TOLERANCE)


def test_a_picture_sign_in_a_text_is_refused_by_the_name_of_its_problem(tiny):
    _, processor = tiny
    forged = replace(PROBLEMS[1], key="forged", prompt=f"how many {processor.image_token}?")
    with pytest.raises(UserError, match=r"the text of forged holds .*image_pad"):
        PromptEncoder(processor, 1024).block([forged])


def test_prompt_tokens_patches_and_positions_are_the_processors_own(tiny):
    model, processor = tiny
    problem = PROBLEMS[1]
    block = PromptEncoder(processor, 1024).block([problem])
    text = processor.apply_chat_template(
        chat_messages(problem), add_generation_prompt=True, tokenize=False
    )
    images = [Image.open(io.BytesIO(data)) for data in problem.images]
    stock = processor(text=[text], images=images, return_tensors="pt")
    assert torch.equal(block.token_PL, stock["input_ids"])
    patches = all_frames(torch.cat([p.cut().flatten(0, 1) for p in block.pictures]), 2)
    assert torch.allclose(patches, stock["pixel_values"], atol=1e-5)
    position, delta = model.model.get_rope_index(
        stock["input_ids"], stock["mm_token_type_ids"], image_grid_thw=stock["image_grid_thw"]
    )
    assert torch.equal(block.position_3PL, position)
    assert int(block.next_position_P) == block.token_PL.shape[1] + int(delta)


@pytest.mark.parametrize(("side", "merge"), [(16, 2), (5, 3), (7, 1)])
def test_compiled_patches_are_torchs_to_the_bit_wherever_colours_lie(
    tiny, monkeypatch, side, merge
):
    encoder = PromptEncoder(tiny[1], 1024)
    stated = {"patch_size": side, "merge_size": merge, "image_mean": [0.1, 0.2, 0.3]}
    monkeypatch.setattr(
        encoder, "images", SimpleNamespace(**vars(tiny[1].image_processor) | stated)
    )
    shape = (2 * side * merge, 3 * side * merge, 3)
    picture = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8).transpose(2, 0, 1)
    entries = [(p, np.arange(6)) for p in (picture, picture[:, ::-1, ::-1])]
    plain = [(np.ascontiguousarray(p), place) for p, place in entries]
    found = [encoder._block(given).cut() for given in (entries, plain)]
    monkeypatch.setattr(fused, "usable", lambda *_: False)
    assert all(torch.equal(one, encoder._block(entries).cut()) for one in found)


def test_rollouts_that_share_a_prompt_score_as_if_each_had_its_own(tiny):
    model, processor = tiny
    encoder = PromptEncoder(processor, 1024)
    token_BT = torch.randint(20, 500, (6, 9), generator=torch.Generator().manual_seed(0))
    mask_BT = torch.ones(6, 9)
    with torch.no_grad():
        shared = scored(model, encoder.block(PROBLEMS[:2]), (token_BT, mask_BT))
        alone = encoder.block([PROBLEMS[0]] * 3 + [PROBLEMS[1]] * 3)
        single = scored(model, alone, (token_BT, mask_BT))
    assert torch.allclose(shared.logprob_BT, single.logprob_BT, atol=TOLERANCE)


def test_blocks_read_apart_join_to_the_block_read_together(tiny):
    model, processor = tiny
    encoder = PromptEncoder(processor, 1024)
    response = (torch.full((4, 5), 30), torch.ones(4, 5))
    with torch.no_grad():
        blocks = [PROBLEMS[:1], PROBLEMS[1:3], PROBLEMS[3:]]
        apart = [
            k
            for block in blocks
            for k in lean.apart(lean.read_prompts(model, encoder.block(block)))
        ]
        ours = score(model, lean.joined(apart), response, 1.0)
        together = scored(model, encoder.block(PROBLEMS), response)
    assert torch.allclose(ours.logprob_BT, together.logprob_BT, atol=TOLERANCE)


def test_what_is_kept_of_a_prompt_holds_no_more_than_its_tokens(tiny):
    model, processor = tiny
    encoder = PromptEncoder(processor, 1024)
    block = encoder.block(PROBLEMS)
    with torch.no_grad():
        kept = lean.apart(lean.read_prompts(model, block))
    lengths = block.mask_PL.sum(1).tolist()
    assert len(set(lengths)) > 1
    assert [len(one.token_LCKH) for one in kept] == lengths
    for one in kept:
        stored = one.token_LCKH.untyped_storage().nbytes()
        assert stored == one.token_LCKH.numel() * one.token_LCKH.element_size()


def test_gradients_are_those_of_the_stock_forward_pass(tiny):
    model, processor = tiny
    encoder = PromptEncoder(processor, 1024)
    response = torch.tensor(processor.tokenizer.encode("<think>5.</think>"))
    block = encoder.block(PROBLEMS[:1])

    def gradient(loss):
        model.zero_grad()
        loss.backward()
        return torch.cat([p.grad.flatten() for p in model.parameters()])

    hidden = score(
        model, lean.read_prompts(model, block), (response[None], torch.ones(1, len(response))), 1.0
    ).logprob_BT
    ours = gradient(hidden.sum())
    stock_inputs = processor(
        text=[
            processor.apply_chat_template(
                chat_messages(PROBLEMS[0]), add_generation_prompt=True, tokenize=False
            )
        ],
        images=[Image.open(io.BytesIO(PROBLEMS[0].images[0]))],
        return_tensors="pt",
    )
    length = stock_inputs["input_ids"].shape[1]
    ids = torch.cat((stock_inputs["input_ids"], response[None]), 1)
    kinds = torch.cat((stock_inputs["mm_token_type_ids"], torch.zeros_like(response[None])), 1)
    logits = model(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        mm_token_type_ids=kinds,
        pixel_values=stock_inputs["pixel_values"],
        image_grid_thw=stock_inputs["image_grid_thw"],
    ).logits[0, length - 1 : -1]
    banned = torch.tensor(model.generation_config.suppress_tokens)
    logits = logits.index_fill(-1, banned, float("-inf"))
    stock = gradient(logits.log_softmax(-1).gather(1, response[:, None]).sum())
    assert F.cosine_similarity(ours, stock, dim=0) > 1 - 1e-6
    assert torch.allclose(ours, stock, atol=1e-3 * float(stock.abs().max()))


@pytest.mark.parametrize("kernels", ["compiled", "torch"])
def test_a_tower_with_windows_sees_what_transformers_sees(tiny, monkeypatch, kernels):
    """Windows at the edge are smaller than the others; pictures are a batch."""
    model, processor = tiny
    if kernels == "torch":
        monkeypatch.setattr("mssr_rl.models.fused.usable", lambda *_: False)
    pictures = PromptEncoder(processor, 1024).block(PROBLEMS[3:]).pictures
    visual = model.model.visual
    (whole,) = see(model, pictures)
    monkeypatch.setattr(visual, "fullatt_block_indexes", [0])
    monkeypatch.setattr(visual, "window_size", 2 * visual.patch_size * visual.spatial_merge_size)
    (windowed,) = see(model, pictures)
    (again,) = see(model, pictures, recompute=True)
    cut = pictures[0].cut()
    grid = torch.tensor([[1, *pictures[0].grid]] * len(cut))
    patches = all_frames(cut.flatten(0, 1), visual.patch_embed.temporal_patch_size)
    stock = visual(patches, grid_thw=grid).pooler_output.view_as(windowed)
    assert torch.allclose(windowed, stock, atol=1e-4)
    assert torch.equal(again, windowed)
    assert not torch.allclose(whole, windowed, atol=2e-4)
    weights = list(visual.blocks.parameters())
    ours, theirs = (torch.autograd.grad(x.square().sum(), weights) for x in (again, stock))
    for one, other in zip(ours, theirs, strict=True):
        assert torch.allclose(one, other, atol=1e-3 * max(1.0, float(other.abs().max())))
