"""Layers in one call of compiled code against torch's, one layer after the other."""

import pytest
import torch

from mssr_rl.engine_protocol import Sampling
from mssr_rl.models import decode, layers, lean, native
from mssr_rl.models.encode import PromptBlock
from mssr_rl.models.layers import Layers, Linear
from mssr_rl.models.patches import Pictures
from mssr_rl.models.responses import Compiled
from mssr_rl.models.sampled import widen
from mssr_rl.models.see import see
from mssr_rl.models.vocabulary import Vocabulary

pytestmark = pytest.mark.skipif(
    native.kernels().library is None, reason=f"no compiled kernels: {native.kernels().why}"
)
ROOM = 21  # tokens of a response


def made(*, hidden=128, heads=4, key_heads=2, inner=352, vision=(64, 2, 96), vocabulary=64):
    """A model with random weights, biases and norms; `vision`: hidden, heads and inner."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    text = {
        "vocab_size": vocabulary,
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


def reading(model, lengths):
    """Prompts of these lengths; what is no prompt's key is no number."""
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
    last = torch.randn(len(lengths), text.hidden_size, generator=generator)
    return lean.Cache(kept, real, torch.tensor(lengths)), last


def zeroed(given):
    """What torch's attention adds with weight 0 must be a number."""
    cache, last = given
    return cache._replace(
        layers=tuple(tuple(x.nan_to_num(0) for x in y) for y in cache.layers)
    ), last


def some(given, rows):
    cache, last = given
    layers = tuple(tuple(x[rows] for x in layer) for layer in cache.layers)
    return lean.Cache(layers, cache.mask_PL[rows], cache.next_position_P[rows]), last[rows]


def numbers(rows):
    return torch.rand(rows, ROOM, generator=torch.Generator().manual_seed(4))


WORDS = Vocabulary(banned=torch.tensor([3]), end=torch.tensor([0, 7, 21, 40]), pad=5)
AS_IT_IS = Sampling(max_response_tokens=ROOM)


def compiled(model, given, uniform, sampling=AS_IT_IS, words=WORDS):
    with torch.no_grad():
        return Compiled.of(model).responses(given, words, sampling, uniform)


def by_torch(model, given, uniform, sampling=AS_IT_IS):
    with torch.no_grad():
        return decode._token_by_token(model, zeroed(given), WORDS, sampling, uniform)


SHAPES = [{}, {"hidden": 64, "heads": 8, "key_heads": 4, "inner": 32},
          {"hidden": 160, "heads": 8, "key_heads": 8, "inner": 96},
          {"hidden": 160, "heads": 2, "key_heads": 2, "inner": 96},
          {"hidden": 192, "heads": 3, "key_heads": 1, "inner": 64},
          {"hidden": 192, "heads": 12, "key_heads": 4, "inner": 64}]  # fmt: skip
LENGTHS = [[1], [5, 1, 3], [16] * 8 + [7] * 5, [3, 40, 33] * 45]  # the last: more than TOGETHER


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("lengths", LENGTHS, ids=len)
@pytest.mark.parametrize("temperature", [0.7, 0.0])
def test_responses_are_torchs_and_nothing_is_read_that_was_not_given(shape, lengths, temperature):
    model, given, uniform = (
        made(**shape),
        reading(made(**shape), lengths),
        numbers(3 * len(lengths)),
    )
    sampling = Sampling(max_response_tokens=ROOM, temperature=temperature)
    ours = compiled(model, given, uniform, sampling)
    theirs = by_torch(model, given, uniform, sampling)
    width = max(ours.token_BT.shape[1], theirs.token_BT.shape[1])
    wide = [[widen(x, width) for x in sampled[:4]] for sampled in (ours, theirs)]
    same = (wide[0][0] * wide[0][1] == wide[1][0] * wide[1][1]).all(1)
    assert same.float().mean() > 0.95  # a number may lie on an edge of two tokens
    assert torch.equal(ours.truncated_B[same], theirs.truncated_B[same])
    for one, other in zip(*wide, strict=True):
        torch.testing.assert_close(one[same], other[same], rtol=1e-4, atol=1e-4)


def test_a_response_is_the_same_to_the_bit_whichever_are_beside_it() -> None:
    model, given = made(), reading(made(), [9, 4, 9, 2, 7, 9, 1, 9, 9, 3, 5])
    together = compiled(model, given, numbers(11))
    rows = [3, 10]
    alone = compiled(model, some(given, rows), numbers(11)[rows])
    assert len(set(together.mask_BT.sum(1).tolist())) > 3  # they leave one by one
    width = alone.token_BT.shape[1]
    for one, other in zip(alone[1:4], together[1:4], strict=True):
        assert torch.equal(one, other[rows, :width])
    assert torch.equal(alone.token_BT, together.token_BT[rows, :width])


def test_what_is_no_number_stays_none() -> None:
    model, given = made(), reading(made(), [4, 4])
    given[0].layers[0][1][1, 0, 2, 5] = torch.nan
    endless = WORDS._replace(end=torch.tensor([WORDS.pad]), banned=torch.tensor([WORDS.pad]))
    found = compiled(model, given, numbers(2), words=endless)
    assert found.logprob_BT[1, 1].isnan()
    assert not found.logprob_BT[0].isnan().any()


@pytest.mark.parametrize("shape", [(7, 4), (3, 0), (0, 4)])
def test_responses_that_fit_no_prompts_are_refused(shape) -> None:
    model = made()
    with pytest.raises(ValueError, match="to 3 prompts"):
        compiled(model, reading(model, [3, 5, 3]), torch.rand(shape))


def test_half_precision_keys_are_torchs_business(monkeypatch) -> None:
    cache, last = reading(made(), [3, 5])
    halves = tuple(tuple(x.bfloat16() for x in layer) for layer in cache.layers)
    monkeypatch.setattr(decode.Vocabulary, "of", lambda _: WORDS)
    monkeypatch.setattr(decode, "_token_by_token", lambda *_: "torch")
    given = cache._replace(layers=halves), last
    assert decode.sample(made(), given, AS_IT_IS, numbers(2)) == "torch"


def test_the_default_precision_is_not_the_kernels() -> None:
    model, given, pictures = made(), reading(made(), [3, 5, 3]), pictured(1, (2, 2))
    uniform, expected = numbers(3), compiled(model, given, numbers(3))
    torch.set_default_dtype(torch.float64)
    try:
        found, patches = compiled(model, given, uniform), pictures.cut()
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(found.logprob_BT, expected.logprob_BT)
    assert torch.equal(patches, pictures.cut())


@torch.no_grad()
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("rows", "inputs", "outputs"), [(1, 7, 32), (300, 96, 64), (15, 768, 96)])
def test_a_linear_map_is_torchs(rows, inputs, outputs, bias) -> None:
    torch.manual_seed(rows)
    linear = torch.nn.Linear(inputs, outputs, bias=bias)
    ours = Linear.of(linear.weight, linear.bias)
    x = torch.randn(2, rows, inputs)
    assert ours.panels is not None
    torch.testing.assert_close(ours(x), linear(x), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours(x.transpose(0, 1)), linear(x.transpose(0, 1)))
    with pytest.raises(RuntimeError, match="shapes"):
        ours(x[..., 1:])


def prompts(lengths):
    """Text in right-padded rows, with positions of three axes."""
    shape = (len(lengths), max(lengths))
    generator = torch.Generator().manual_seed(2)
    real = torch.arange(shape[1]) < torch.tensor(lengths)[:, None]
    token = torch.randint(0, 64, shape, generator=generator)
    position = torch.randint(0, 99, (3, *shape), generator=generator)
    return PromptBlock(token, real, position, torch.tensor(lengths), ())


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("lengths", [[1], [7, 1, 30], [150, 3], [43] * 5 + [128, 129]], ids=str)
def test_prompts_are_read_as_torch_reads_them(shape, lengths) -> None:
    model = made(**shape)
    assert of(model) is not None
    cache, last = lean.read_prompts(model, prompts(lengths))
    with torch.no_grad():
        compiled, compiled_last = lean.read_prompts(model, prompts(lengths))
    torch.testing.assert_close(compiled_last, last, rtol=1e-4, atol=1e-4)
    for layer, other in zip(compiled.layers, cache.layers, strict=True):
        for kept, expected in zip(layer, other, strict=True):
            torch.testing.assert_close(kept, expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_prompt_is_read_the_same_to_the_bit_whichever_prompts_are_beside_it() -> None:
    model, lengths = made(), [12, 70, 5, 61, 33]
    whole = prompts(lengths)
    cache, last = lean.read_prompts(model, whole)
    one = PromptBlock(
        whole.token_PL[2:3, :5],
        whole.mask_PL[2:3, :5],
        whole.position_3PL[:, 2:3, :5],
        whole.next_position_P[2:3],
        (),
    )
    alone, alone_last = lean.read_prompts(model, one)
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
    (cache, last), (wide, wide_last) = (
        lean.read_prompts(model, whole),
        lean.read_prompts(model, padded),
    )
    assert torch.equal(wide_last, last)
    assert {x.shape[2] for layer in wide.layers for x in layer} == {16}
    assert torch.equal(wide.layers[0][0][:, :, :12], cache.layers[0][0])


def pictured(count, grid, side=4, merge=2):
    """Pictures of random bytes."""
    generator = torch.Generator().manual_seed(3)
    shape = (count, 3, grid[0] * side, grid[1] * side)
    pixel = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    slots = torch.arange(count * grid[0] * grid[1] // merge**2).view(count, -1)
    return Pictures(pixel, torch.randn(3, 256, generator=generator), slots, side, merge)


@torch.no_grad()
def test_half_precision_between_full_weights_is_torchs_business() -> None:
    model = made()
    pictures = pictured(3, (4, 4))
    (full,) = see(model, [pictures])
    with torch.autocast("cpu", torch.bfloat16):  # patches come out of their embedding in bfloat16
        (half,) = see(model, [pictures])
    assert torch.nn.functional.cosine_similarity(half.float(), full, dim=-1).min() > 0.9


@pytest.mark.parametrize("vision", [(64, 2, 96), (96, 3, 160), (160, 2, 32)], ids=str)
@pytest.mark.parametrize(("count", "grid"), [(1, (2, 2)), (9, (4, 6)), (2, (12, 14))], ids=str)
def test_pictures_are_seen_as_torch_sees_them(vision, count, grid) -> None:
    model = made(vision=vision)
    assert Layers.of_vision(model.model.visual) is not None
    pictures = pictured(count, grid)
    (features,) = see(model, [pictures])
    with torch.no_grad():
        (compiled,) = see(model, [pictures])
    torch.testing.assert_close(compiled, features, rtol=1e-4, atol=1e-4)


def test_torch_serves_where_the_kernels_do_not(monkeypatch) -> None:
    model = made()
    assert of(made(hidden=48, heads=2, key_heads=2, inner=96)) is None  # not whole panels
    assert of(made().bfloat16()) is None
    assert Compiled.of(model) is not None
    assert Compiled.of(made(vocabulary=50)) is None
    assert Layers.of_vision(made(vision=(80, 2, 96)).model.visual) is None
    monkeypatch.setattr(layers, "MOST", 1000)
    assert of(model) is None
    assert Layers.of_vision(model.model.visual) is None
