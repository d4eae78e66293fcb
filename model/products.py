"""The products of linear layers, in float32 on a CPU by the faster of the two libraries that torch brings along.

torch multiplies float32 matrices with MKL, which keeps its AVX-512 kernels for Intel's processors; oneDNN, in the same
wheel, has kernels for all, and on AMD's AVX-512 cores multiplies about twice as fast (docs/training.md). So there, and
only there, the products of a layer and of its gradients go through oneDNN. Which it is follows from the machine alone:
the same machine gives the same bits. Everything else (other devices and precisions, few rows, tensors in DTensor's or
a compiler's hands that are not plain) is torch's own `linear`.

N rows, I inputs, O outputs of a layer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import register_flop_formula

FEWEST_ROWS = 32  # below, as when generating, what a product costs is the call


def onednn_is_faster() -> bool:
    """Whether this machine has an AMD processor with AVX-512."""
    try:
        cpu = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    known = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return known and "AuthenticAMD" in cpu and torch.backends.cpu.get_cpu_capability() == "AVX512"


BY_ONEDNN = onednn_is_faster()

_library = torch.library.Library("crawl2chat", "DEF")  # named operators: torch.compile takes them as they are
_library.define("product(Tensor a_NI, Tensor b_OI) -> Tensor")
_library.define("outer_product(Tensor a_NO, Tensor b_NI) -> Tensor")


class Linear(nn.Linear):
    """nn.Linear, by the faster library."""

    def forward(self, input: Tensor) -> Tensor:
        return linear(input, self.weight, self.bias)


def linear(x: Tensor, weight_OI: Tensor, bias_O: Tensor | None = None) -> Tensor:
    """x · weightᵀ + bias for x [..., I], as torch.nn.functional.linear."""
    if not (BY_ONEDNN and _fits(x, weight_OI)):
        return F.linear(x, weight_OI, bias_O)
    y_NO = _Product.apply(x.flatten(0, -2), weight_OI).unflatten(0, x.shape[:-1])
    return y_NO if bias_O is None else y_NO + bias_O


def _fits(x: Tensor, weight: Tensor) -> bool:
    plain = x.device.type == "cpu" and x.dtype == weight.dtype == torch.float32
    many = x.dim() > 1 and x.shape[:-1].numel() >= FEWEST_ROWS
    return plain and many and not torch.is_autocast_enabled("cpu")


class _Product(torch.autograd.Function):
    """x · weightᵀ, and the two products of its gradient."""

    @staticmethod
    def forward(ctx: Any, x_NI: Tensor, weight_OI: Tensor) -> Tensor:
        ctx.save_for_backward(x_NI, weight_OI)
        return torch.ops.crawl2chat.product(x_NI, weight_OI)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        (grad_NO,) = gradients
        x_NI, weight_OI = ctx.saved_tensors
        of_x, of_weight = ctx.needs_input_grad
        return (
            torch.ops.crawl2chat.product(grad_NO, weight_OI.t()) if of_x else None,
            torch.ops.crawl2chat.outer_product(grad_NO, x_NI) if of_weight else None,
        )


def _product(a_NI: Tensor, b_OI: Tensor) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(a_NI, b_OI, None, "none", [], "")


def _outer_product(a_NO: Tensor, b_NI: Tensor) -> Tensor:
    """aᵀ · b. oneDNN copies its first factor where that is turned: the narrower of the two is."""
    if a_NO.shape[1] <= b_NI.shape[1]:
        return _product(a_NO.t(), b_NI.t())
    return _product(b_NI.t(), a_NO.t()).t().contiguous()


def _shape_of_product(a_NI: Tensor, b_OI: Tensor) -> Tensor:
    return a_NI.new_empty(a_NI.shape[0], b_OI.shape[0])


def _shape_of_outer_product(a_NO: Tensor, b_NI: Tensor) -> Tensor:
    return a_NO.new_empty(a_NO.shape[1], b_NI.shape[1])


@register_flop_formula(torch.ops.crawl2chat.product)
def _flops_of_product(a: tuple[int, int], b: tuple[int, int], *_: Any, **__: Any) -> int:
    return 2 * a[0] * a[1] * b[0]


@register_flop_formula(torch.ops.crawl2chat.outer_product)
def _flops_of_outer_product(a: tuple[int, int], b: tuple[int, int], *_: Any, **__: Any) -> int:
    return 2 * a[0] * a[1] * b[1]


_library.impl("product", _product, "CPU")
_library.impl("outer_product", _outer_product, "CPU")
torch.library.register_fake("crawl2chat::product", _shape_of_product)
torch.library.register_fake("crawl2chat::outer_product", _shape_of_outer_product)
