"""The compiled operations against torch's: values, gradients, strides, odd sizes, their absence."""

import pytest
import torch
import torch.nn.functional as F

from mssr_rl.models import fused, native
from mssr_rl.models.fused import Before, PackedSequences

compiled = pytest.mark.skipif(
    native.kernels().library is None, reason=f"no compiled kernels: {native.kernels().why}"
)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(shape, generator=generator).requires_grad_()


def results(y: torch.Tensor, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
    outside = torch.cos(torch.arange(y.numel()).view(y.shape))
    return y, *torch.autograd.grad((y * outside).sum(), inputs)


def agree(ours: tuple[torch.Tensor, ...], theirs: tuple[torch.Tensor, ...]) -> None:
    for got, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=2e-5)


@compiled
@pytest.mark.parametrize("shape", [(1, 8), (5, 32), (3, 7, 96), (0, 16)])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_rms_norm_is_torchs(shape, scale):
    x, weight = (scale * normal(*shape)).detach().requires_grad_(), normal(shape[-1])
    ours = results(fused.rms_norm(x, weight, 1e-5), x, weight)
    agree(ours, results(F.rms_norm(x, shape[-1:], weight, 1e-5), x, weight))


@compiled
def test_zeros_have_finite_gradients():
    x = torch.zeros(2, 4, requires_grad=True)
    fused.rms_norm(x, torch.ones(4), 1e-5).sum().backward()
    assert torch.isfinite(x.grad).all()


@compiled
def test_swiglu_is_torchs_however_large_the_gate():
    gate, up = normal(7, 33), normal(7, 33, seed=1)
    wide = (40 * gate).detach().requires_grad_()
    for g in (gate, wide):
        agree(results(fused.swiglu(g, up), g, up), results(F.silu(g) * up, g, up))


@compiled
@pytest.mark.parametrize("size", [2, 6, 32, 80])
def test_a_rotation_is_the_formula_and_reads_heads_where_they_lie(size):
    joint, angle = normal(5, 4 * size), normal(5, size // 2, seed=3).detach()
    cosine, sine = angle.cos(), angle.sin()
    x = joint.view(5, 4, size)[:, 1:3]
    first, second = x.chunk(2, -1)
    c, s = cosine[:, None], sine[:, None]
    formula = torch.cat((first * c - second * s, second * c + first * s), -1)
    agree(results(fused.rotate(x, (cosine, sine)), joint), results(formula, joint))


def padded(rows: torch.Tensor, lengths: list[int]) -> list[torch.Tensor]:
    return [part.transpose(0, 1) for part in rows.split(lengths)]


def by_torch(q, k, v, lengths, before=None, *, causal=True):
    """One sequence after the other."""
    out = []
    group = 1 if before is None else len(lengths) // len(before.length_P)
    parts = zip(padded(q, lengths), padded(k, lengths), padded(v, lengths), strict=True)
    for b, (one_q, *kv) in enumerate(parts):
        seen, length = 0, one_q.shape[1]
        if before is not None:
            prompt, seen = b // group, int(before.length_P[b // group])
            prompts = (before.k_PLKH[prompt, :seen], before.v_PLKH[prompt, :seen])
            kv = [torch.cat((x.transpose(0, 1), y), 1) for x, y in zip(prompts, kv, strict=True)]  # noqa: PLW2901
        mask = torch.ones(length, seen + length, dtype=torch.bool)
        mask = mask.tril(seen) if causal else mask
        heads = F.scaled_dot_product_attention(one_q, *kv, attn_mask=mask, enable_gqa=True)
        out.append(heads.transpose(0, 1))
    return torch.cat(out)


LENGTHS = [1, 5, 37, 16, 18, 3]


@compiled
@pytest.mark.parametrize("size", [8, 24, 32, 64])
@pytest.mark.parametrize("causal", [True, False])
def test_attention_is_torchs_sequence_by_sequence(size, causal):
    n = sum(LENGTHS)
    q, k, v = normal(n, 4, size), normal(n, 2, size, seed=1), normal(n, 2, size, seed=2)
    sequences = PackedSequences.of(torch.tensor(LENGTHS))
    ours = fused.attend(q, (k, v), sequences, causal=causal)
    theirs = by_torch(q, k, v, LENGTHS, causal=causal)
    agree(results(ours, q, k, v), results(theirs, q, k, v))


@compiled
@pytest.mark.parametrize("group", [1, 2, 3])
def test_rollouts_see_their_prompt_and_prompts_learn_from_all_their_rollouts(group):
    n, prompts = sum(LENGTHS), len(LENGTHS) // group
    q, k, v = normal(n, 6, 32), normal(n, 2, 32, seed=1), normal(n, 2, 32, seed=2)
    prompt_k, prompt_v = normal(prompts, 21, 2, 32, seed=3), normal(prompts, 21, 2, 32, seed=4)
    length_P = torch.tensor([21, 2, 9, 1, 20, 16][:prompts])
    before = Before(prompt_k, prompt_v, length_P)
    ours = fused.attend(q, (k, v), PackedSequences.of(torch.tensor(LENGTHS)), before)
    inputs = (q, k, v, prompt_k, prompt_v)
    agree(results(ours, *inputs), results(by_torch(q, k, v, LENGTHS, before), *inputs))


@compiled
def test_what_is_no_number_stays_none():
    broken = torch.full((4, 16), torch.nan)
    assert fused.swiglu(broken, torch.ones(4, 16)).isnan().all()
    assert fused.rms_norm(broken, torch.ones(16), 1e-5).isnan().all()
    q, k = torch.randn(4, 1, 16), broken[:, None]
    out = fused.attend(q, (k, torch.ones(4, 1, 16)), PackedSequences.of(torch.tensor([4])))
    assert out.isnan().all()


@pytest.fixture
def afresh():
    """`native` looks again, and forgets what it found when the test is over."""
    native.kernels.cache_clear()
    yield
    native.kernels.cache_clear()


@pytest.mark.usefixtures("afresh")
@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("MSSR_KERNELS", "torch", "as MSSR_KERNELS=torch asks for"),
        ("PATH", "", "no C compiler is installed; gcc makes it faster"),
        ("CC", "false", "the kernels were not compiled"),
    ],
)
def test_without_a_library_torch_computes_and_it_is_said_why(
    monkeypatch, tmp_path, name, value, why
):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert native.kernels().library is None
    assert why in native.kernels().why
    x, weight = normal(3, 8), normal(8)
    assert not fused.usable(x)
    assert torch.equal(fused.rms_norm(x, weight, 1e-5), F.rms_norm(x, (8,), weight, 1e-5))
    angle = normal(3, 4).detach()
    rotated = fused.rotate(x[:, None], (angle.cos(), angle.sin()))
    assert torch.allclose(rotated.norm(dim=-1), x[:, None].norm(dim=-1))
