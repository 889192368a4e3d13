"""RMSNorm with its own gradient against torch's."""

import pytest
import torch
import torch.nn.functional as F

from mssr_rl.models.norm import _RMSNorm, rms_norm


@pytest.mark.parametrize("shape", [(1, 8), (5, 32), (3, 7, 96)])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_value_and_gradients_are_torchs(shape, scale):
    generator = torch.Generator().manual_seed(len(shape))
    x = (scale * torch.randn(shape, generator=generator)).requires_grad_()
    weight = torch.randn(shape[-1], generator=generator).requires_grad_()
    outside = torch.randn(shape, generator=generator)

    def results(y):
        return y, *torch.autograd.grad((y * outside).sum(), (x, weight))

    ours = results(rms_norm(x, weight, 1e-5))
    torchs = results(F.rms_norm(x, shape[-1:], weight, 1e-5))
    for got, expected in zip(ours, torchs, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


def test_the_gradient_is_that_of_finite_differences():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, 6, generator=generator, dtype=torch.float64).requires_grad_()
    weight = torch.randn(6, generator=generator, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, w: _RMSNorm.apply(x, w, 1e-5), (x, weight))


def test_zeros_have_finite_gradients():
    x = torch.zeros(2, 4, requires_grad=True)
    rms_norm(x, torch.ones(4), 1e-5).sum().backward()
    assert torch.isfinite(x.grad).all()
