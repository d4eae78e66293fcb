"""Linear layers by oneDNN: torch's own values and gradients, alone and compiled; what does not fit is its."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from crawl2chat.model import products
from torch import Tensor

onednn = pytest.mark.skipif(
    not hasattr(torch.ops.mkldnn, "_linear_pointwise"), reason="this build of torch has no oneDNN"
)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Take oneDNN on any processor, and count the layers that went through it."""
    found: list[int] = []
    monkeypatch.setattr(products, "BY_ONEDNN", True)
    original = products._Product.apply
    monkeypatch.setattr(products._Product, "apply", lambda *given: (found.append(1), original(*given))[1])
    return found


def gradients(function: object, *inputs: Tensor) -> list[Tensor]:
    given = [one.clone().requires_grad_() for one in inputs]
    y = function(*given)  # type: ignore[operator]
    y.square().sum().backward()
    return [y.detach(), *(one.grad for one in given if one.grad is not None)]


@onednn
@pytest.mark.parametrize(("inputs", "outputs"), [(24, 40), (40, 24), (16, 16)])
@pytest.mark.parametrize("biased", [False, True])
def test_equals_torch(calls: list[int], inputs: int, outputs: int, biased: bool) -> None:
    torch.manual_seed(0)
    given = [torch.randn(5, 13, inputs), torch.randn(outputs, inputs)] + [torch.randn(outputs)] * biased
    for ours, theirs in zip(gradients(products.linear, *given), gradients(F.linear, *given), strict=True):
        assert ours.shape == theirs.shape
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-4)
    assert calls == [1]


@onednn
def test_input_without_gradient_and_turned_input(calls: list[int]) -> None:
    x, layer = torch.randn(24, 64).t(), products.Linear(24, 8)
    layer(x).sum().backward()
    assert layer.weight.grad is not None and layer.weight.grad.is_contiguous()
    torch.testing.assert_close(layer.weight.grad, x.sum(0).expand(8, 24))
    torch.testing.assert_close(layer(x), F.linear(x, layer.weight, layer.bias))
    assert calls == [1, 1]


@onednn
def test_the_same_bits_again(calls: list[int]) -> None:
    given = [torch.randn(64, 48), torch.randn(96, 48)]
    for one, other in zip(gradients(products.linear, *given), gradients(products.linear, *given), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("x", "weight"),
    [
        (torch.randn(8, 3, 16), torch.randn(4, 16)),  # few rows
        (torch.randn(64, 16).bfloat16(), torch.randn(4, 16).bfloat16()),
        (torch.randn(64, 16).double(), torch.randn(4, 16).double()),
        (torch.randn(16), torch.randn(4, 16)),
    ],
)
def test_what_does_not_fit_is_torchs(calls: list[int], x: Tensor, weight: Tensor) -> None:
    assert torch.equal(products.linear(x, weight), F.linear(x, weight))
    assert not calls


def test_mixed_precision_is_torchs(calls: list[int]) -> None:
    x, weight = torch.randn(64, 16), torch.randn(4, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert products.linear(x, weight).dtype == torch.bfloat16
    assert not calls


@onednn
@pytest.mark.slow
def test_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "BY_ONEDNN", True)
    given = [torch.randn(5, 13, 24), torch.randn(40, 24), torch.randn(40)]
    compiled = torch.compile(lambda *inputs: F.relu(products.linear(*inputs)), fullgraph=True)
    expected = gradients(lambda *inputs: F.relu(F.linear(*inputs)), *given)
    for ours, theirs in zip(gradients(compiled, *given), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-4)
