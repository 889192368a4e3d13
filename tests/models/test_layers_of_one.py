"""The layers of a sampling step in compiled code against torch's, one layer after the other."""

import pytest
import torch

from mssr_rl.models import decode, layers_of_one, lean, native
from mssr_rl.models.layers_of_one import Packed

pytestmark = pytest.mark.skipif(
    native.kernels().library is None, reason=f"no compiled kernels: {native.kernels().why}"
)
ROOM = 21  # tokens of a response
VOCABULARY = 50


def made(hidden=128, heads=4, key_heads=2, inner=352):
    """A model with random weights, biases and norms."""
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
    vision = {"depth": 1, "hidden_size": 32, "intermediate_size": 32, "num_heads": 1}
    config = Qwen2_5_VLConfig(
        text_config=text, vision_config={**vision, "out_hidden_size": hidden}, pad_token_id=0
    )
    torch.manual_seed(hidden + inner)
    model = Qwen2_5_VLForConditionalGeneration(config).eval()
    for weight in model.parameters():
        weight.data.normal_(0, 0.15).add_(0.5 * (weight.ndim == 1))
    return model


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


def fed(model, packed, running, steps=3):
    rows = len(running.row_A)
    with torch.no_grad():
        return [
            decode._advance(model, packed, (running, torch.arange(rows) % VOCABULARY), t)
            for t in range(steps)
        ]


SHAPES = [{}, {"hidden": 64, "heads": 8, "key_heads": 4, "inner": 32},
          {"hidden": 160, "heads": 2, "key_heads": 2, "inner": 96},
          {"hidden": 192, "heads": 3, "key_heads": 1, "inner": 64}]  # fmt: skip
LENGTHS = [[1], [5, 1, 3], [16] * 8 + [7] * 5, [3, 40, 33] * 45]  # the last: more than TOGETHER


@torch.no_grad()
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("lengths", LENGTHS, ids=len)
def test_a_step_is_torchs_and_reads_nothing_it_was_not_given(shape, lengths) -> None:
    model = made(**shape)
    ours, theirs = begun(model, lengths), zeroed(begun(model, lengths))
    packed = Packed.of(model)
    assert packed is not None
    for got, expected in zip(fed(model, packed, ours), fed(model, None, theirs), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
    for layer, other in zip(ours.layers, theirs.layers, strict=True):
        for kept, expected in zip(layer, other, strict=True):
            torch.testing.assert_close(kept.nan_to_num(0), expected, rtol=1e-4, atol=1e-4)


def test_a_row_is_the_same_to_the_bit_whichever_rows_are_beside_it() -> None:
    model, lengths = made(), [9, 4, 9, 2, 7, 9, 1, 9, 9, 3, 5]
    packed = Packed.of(model)
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
    (out,) = fed(model, Packed.of(model), running, steps=1)
    assert out[1].isnan().all()
    assert not out[0].isnan().any()


def test_torch_serves_where_the_kernel_does_not(monkeypatch) -> None:
    model = made()
    assert Packed.of(made(hidden=48, heads=2, key_heads=2, inner=96)) is None  # not whole panels
    assert Packed.of(made().bfloat16()) is None
    biased = made()
    biased.model.language_model.layers[1].mlp.down_proj.bias = torch.nn.Parameter(torch.ones(128))
    assert Packed.of(biased) is None
    monkeypatch.setattr(layers_of_one, "MOST", 1000)
    assert Packed.of(model) is None
