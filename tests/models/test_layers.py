"""Layers in one call of compiled code against torch's, one layer after the other."""

import pytest
import torch

from mssr_rl.models import decode, layers, lean, native
from mssr_rl.models.encode import Pictures, Prompts
from mssr_rl.models.layers import Layers
from mssr_rl.models.see import see

pytestmark = pytest.mark.skipif(
    native.kernels().library is None, reason=f"no compiled kernels: {native.kernels().why}"
)
ROOM = 21  # tokens of a response
VOCABULARY = 50


def made(hidden=128, heads=4, key_heads=2, inner=352, vision=(64, 2, 96)):
    """A model with random weights, biases and norms; `vision`: hidden, heads and inner."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    text = {
        "vocab_size": VOCABULARY,
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": 3,
        "num_attention_heads": heads,
        "num_key_value_heads": key_heads,
        "rope_parameters": {
            "rope_type": "default",
            "mrope_section": [hidden // heads // 2 - 2, 1, 1],
            "rope_theta": 10000.0,
        },
    }
    tower = {
        **dict(zip(("hidden_size", "num_heads", "intermediate_size"), vision, strict=True)),
        "depth": 2,
        "patch_size": 4,
        "fullatt_block_indexes": [0, 1],
        "out_hidden_size": hidden,
    }
    config = Qwen2_5_VLConfig(text_config=text, vision_config=tower, pad_token_id=0)
    torch.manual_seed(hidden + inner)
    model = Qwen2_5_VLForConditionalGeneration(config).eval()
    for weight in model.parameters():
        weight.data.normal_(0, 0.15).add_(0.5 * (weight.ndim == 1))
    return model


def of(model):
    return Layers.of_text(model.model.language_model)


def begun(model, lengths):
    """Rows behind prompts of these lengths; what is no prompt's key is no number."""
    text = model.config.text_config
    heads, size = text.num_key_value_heads, text.hidden_size // text.num_attention_heads
    shape = (len(lengths), heads, max(lengths), size)
    generator = torch.Generator().manual_seed(1)
    real = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    kept = tuple(
        tuple(
            torch.randn(shape, generator=generator).masked_fill(~real[:, None, :, None], torch.nan)
            for _ in range(2)
        )
        for _ in range(3)
    )
    running = decode._start(lean.Cache(kept, real, torch.tensor(lengths)), 1, ROOM)
    for layer in running.layers:
        for x in layer:
            x[:, :, max(lengths) :] = torch.nan
    return running


def zeroed(running):
    """What torch's attention adds with weight 0 must be a number."""
    layers = [tuple(x.nan_to_num(0) for x in layer) for layer in running.layers]
    return running._replace(layers=layers)


def fed(model, packed, running, steps=19):
    rows = len(running.row_A)
    with torch.no_grad():
        return [
            decode._advance(model, packed, (running, torch.arange(rows) % VOCABULARY), t)
            for t in range(steps)
        ]


SHAPES = [{}, {"hidden": 64, "heads": 8, "key_heads": 4, "inner": 32},
          {"hidden": 160, "heads": 8, "key_heads": 8, "inner": 96},
          {"hidden": 160, "heads": 2, "key_heads": 2, "inner": 96},
          {"hidden": 192, "heads": 3, "key_heads": 1, "inner": 64}]  # fmt: skip
LENGTHS = [[1], [5, 1, 3], [16] * 8 + [7] * 5, [3, 40, 33] * 45]  # the last: more than TOGETHER


@torch.no_grad()
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("lengths", LENGTHS, ids=len)
def test_a_step_is_torchs_and_reads_nothing_it_was_not_given(shape, lengths) -> None:
    model = made(**shape)
    ours, theirs = begun(model, lengths), zeroed(begun(model, lengths))
    packed = of(model)
    assert packed is not None
    for got, expected in zip(fed(model, packed, ours), fed(model, None, theirs), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
    for layer, other in zip(ours.layers, theirs.layers, strict=True):
        for kept, expected in zip(layer, other, strict=True):
            torch.testing.assert_close(kept.nan_to_num(0), expected, rtol=1e-4, atol=1e-4)


def test_a_row_is_the_same_to_the_bit_whichever_rows_are_beside_it() -> None:
    model, lengths = made(), [9, 4, 9, 2, 7, 9, 1, 9, 9, 3, 5]
    packed = of(model)
    together = fed(model, packed, begun(model, lengths), steps=1)[0]
    running = begun(model, lengths)
    some = [3, 10]
    few = running._replace(
        row_A=running.row_A[some],
        layers=[tuple(x[some].contiguous() for x in layer) for layer in running.layers],
        length_A=running.length_A[some],
        position_A=running.position_A[some],
    )
    token = torch.tensor(some) % VOCABULARY
    with torch.no_grad():
        alone = decode._advance(model, packed, (few, token), 0)
    assert torch.equal(alone, together[some])


def test_what_is_no_number_stays_none() -> None:
    model = made()
    running = begun(model, [4, 4])
    running.layers[0][1][1, 0, 2, 5] = torch.nan
    (out,) = fed(model, of(model), running, steps=1)
    assert out[1].isnan().all()
    assert not out[0].isnan().any()


def prompts(lengths):
    """Text in right-padded rows, with positions of three axes."""
    shape = (len(lengths), max(lengths))
    generator = torch.Generator().manual_seed(2)
    real = torch.arange(shape[1]) < torch.tensor(lengths)[:, None]
    token = torch.randint(0, VOCABULARY, shape, generator=generator)
    position = torch.randint(0, 99, (3, *shape), generator=generator)
    return Prompts(token, real, position, torch.tensor(lengths), ())


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("lengths", [[1], [7, 1, 30], [150, 3], [43] * 5 + [128, 129]], ids=str)
def test_prompts_are_read_as_torch_reads_them(shape, lengths) -> None:
    model = made(**shape)
    assert of(model) is not None
    cache, last = lean.read(model, prompts(lengths))
    with torch.no_grad():
        compiled, compiled_last = lean.read(model, prompts(lengths))
    torch.testing.assert_close(compiled_last, last, rtol=1e-4, atol=1e-4)
    for layer, other in zip(compiled.layers, cache.layers, strict=True):
        for kept, expected in zip(layer, other, strict=True):
            torch.testing.assert_close(kept, expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_prompt_is_read_the_same_to_the_bit_whichever_prompts_are_beside_it() -> None:
    model, lengths = made(), [12, 70, 5, 61, 33]
    whole = prompts(lengths)
    cache, last = lean.read(model, whole)
    one = Prompts(
        whole.token_PL[2:3, :5],
        whole.mask_PL[2:3, :5],
        whole.position_3PL[:, 2:3, :5],
        whole.next_position_P[2:3],
        (),
    )
    alone, alone_last = lean.read(model, one)
    assert torch.equal(alone_last, last[2:3])
    for layer, other in zip(alone.layers, cache.layers, strict=True):
        assert all(torch.equal(a, b[2:3, :, :5]) for a, b in zip(layer, other, strict=True))


@torch.no_grad()
def test_keys_and_values_are_as_wide_as_their_mask() -> None:
    model, whole = made(), prompts([12, 5])
    padded = whole._replace(
        token_PL=torch.nn.functional.pad(whole.token_PL, (0, 4)),
        mask_PL=torch.nn.functional.pad(whole.mask_PL, (0, 4)),
        position_3PL=torch.nn.functional.pad(whole.position_3PL, (0, 4)),
    )
    (cache, last), (wide, wide_last) = lean.read(model, whole), lean.read(model, padded)
    assert torch.equal(wide_last, last)
    assert {x.shape[2] for layer in wide.layers for x in layer} == {16}
    assert torch.equal(wide.layers[0][0][:, :, :12], cache.layers[0][0])


@torch.no_grad()
def test_half_precision_between_full_weights_is_torchs_business() -> None:
    model = made()
    pictures = Pictures(torch.randn(3, 16, 48), (4, 4), torch.arange(12).view(3, 4))
    (full,) = see(model, [pictures])
    with torch.autocast("cpu", torch.bfloat16):  # patches come out of their embedding in bfloat16
        (half,) = see(model, [pictures])
    assert torch.nn.functional.cosine_similarity(half.float(), full, dim=-1).min() > 0.9


@pytest.mark.parametrize("vision", [(64, 2, 96), (96, 3, 160), (160, 2, 32)], ids=str)
@pytest.mark.parametrize(("count", "grid"), [(1, (2, 2)), (9, (4, 6)), (2, (12, 14))], ids=str)
def test_pictures_are_seen_as_torch_sees_them(vision, count, grid) -> None:
    model, patches = made(vision=vision), grid[0] * grid[1]
    assert Layers.of_vision(model.model.visual) is not None
    generator = torch.Generator().manual_seed(3)
    patch = torch.randn(count, patches, 3 * 4 * 4, generator=generator)
    pictures = Pictures(patch, grid, torch.arange(count * patches // 4).view(count, -1))
    (features,) = see(model, [pictures])
    with torch.no_grad():
        (compiled,) = see(model, [pictures])
    torch.testing.assert_close(compiled, features, rtol=1e-4, atol=1e-4)


def test_torch_serves_where_the_kernels_do_not(monkeypatch) -> None:
    model = made()
    assert of(made(hidden=48, heads=2, key_heads=2, inner=96)) is None  # not whole panels
    assert of(made().bfloat16()) is None
    assert Layers.of_vision(made(vision=(80, 2, 96)).model.visual) is None
    monkeypatch.setattr(layers, "MOST", 1000)
    assert of(model) is None
    assert Layers.of_vision(model.model.visual) is None
