"""Our RMSNorm has the values and gradients of torch's own, in every precision and layout."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from crawl2chat.model.norms import FUSED, RMSNorm, _RMSNorm


def norm_of(size: int) -> RMSNorm:
    norm = RMSNorm(size, eps=1e-5)
    with torch.no_grad():
        norm.weight.normal_(1.0, 0.5, generator=torch.Generator().manual_seed(2))
    return norm


@pytest.mark.parametrize("shape", [(3, 5, 32), (4, 33), (2, 3, 4, 8), (7, 1), (1, 200)])
@pytest.mark.parametrize("shift", [0.0, 5.0])  # a mean far from zero, which a LayerNorm would take off
def test_values_and_gradients(shape: tuple[int, ...], shift: float) -> None:
    generator = torch.Generator().manual_seed(1)
    norm = norm_of(shape[-1])
    x = (torch.randn(shape, generator=generator) + shift).requires_grad_()
    wanted_x, wanted_w = x.detach().double().requires_grad_(), norm.weight.detach().double().requires_grad_()
    grad = torch.randn(shape, generator=generator)
    y = norm(x)
    assert not FUSED or type(y.grad_fn).__name__ == "_RMSNormBackward"
    wanted = F.rms_norm(wanted_x, shape[-1:], wanted_w, 1e-5)
    y.backward(grad)
    wanted.backward(grad.double())
    torch.testing.assert_close(y.double(), wanted, atol=1e-5, rtol=1e-5)
    for found, exact in ((x.grad, wanted_x.grad), (norm.weight.grad, wanted_w.grad)):
        torch.testing.assert_close(found.double(), exact, atol=2e-5, rtol=2e-5)  # type: ignore[union-attr]


def test_gradients_by_differences() -> None:
    x = torch.randn(4, 6, dtype=torch.double, requires_grad=True, generator=torch.Generator().manual_seed(1))
    weight = torch.randn(6, dtype=torch.double, requires_grad=True, generator=torch.Generator().manual_seed(2))
    assert torch.autograd.gradcheck(lambda *both: _RMSNorm.apply(*both, 1e-6), (x, weight))


def test_views_that_are_not_contiguous() -> None:
    norm = norm_of(8)
    whole = torch.randn(3, 4, 5, 8, generator=torch.Generator().manual_seed(1))
    one, other = (whole.clone().requires_grad_() for _ in range(2))
    norm(one.transpose(1, 2)).transpose(0, 2).square().sum().backward()
    F.rms_norm(other.transpose(1, 2), (8,), norm.weight, 1e-5).transpose(0, 2).square().sum().backward()
    torch.testing.assert_close(one.grad, other.grad, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_precisions_are_torchs(dtype: torch.dtype) -> None:
    norm, x = norm_of(16).to(dtype), torch.randn(4, 16, dtype=dtype)
    assert torch.equal(norm(x), F.rms_norm(x, (16,), norm.weight, 1e-5))


def test_without_a_gradient_the_values_are_the_same() -> None:
    norm, x = norm_of(16), torch.randn(4, 16)
    with torch.no_grad():
        plain = norm(x)
    assert torch.equal(plain, norm(x))


def test_a_compiler_gets_the_plain_formula() -> None:
    norm, x = norm_of(16), torch.randn(4, 16, requires_grad=True)
    compiled = torch.compile(norm, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), norm(x))
