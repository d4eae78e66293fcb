"""RMSNorm (Zhang & Sennrich 2019) whose gradient, in float32 on a CPU, comes from LayerNorm's kernel.

torch has a fused kernel for RMSNorm's values on a CPU, but takes its gradient through a dozen element-wise operations,
and keeps the normed input for it. The gradient is LayerNorm's for a mean of zero, whose kernel torch has, but for the
term by which LayerNorm takes the mean off:

    dx = rstd · (g·w - x̂ · mean(g·w · x̂)) = LayerNorm's dx + rstd · mean(g·w),   x̂ = rstd · x

Other devices, precisions, and compilers, which fuse the operations themselves, get torch's own.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

aten = torch.ops.aten
FUSED = hasattr(aten, "_fused_rms_norm")


class RMSNorm(nn.RMSNorm):
    """x / sqrt(mean(x²) + eps) · weight, over the last dimension."""

    def forward(self, x: Tensor) -> Tensor:
        plain = x.device.type == "cpu" and x.dtype == self.weight.dtype == torch.float32
        if FUSED and plain and torch.is_grad_enabled() and not torch.compiler.is_compiling():
            return _RMSNorm.apply(x, self.weight, self.eps)  # pyright: ignore[reportReturnType]
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        y, rstd = aten._fused_rms_norm(x, weight.shape, weight, eps)
        ctx.save_for_backward(x, weight, rstd)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, rstd = ctx.saved_tensors
        grad = gradients[0].contiguous()
        mean = torch.zeros_like(rstd)
        dx, dweight, _ = aten.native_layer_norm_backward(
            grad, x, weight.shape, mean, rstd, weight, None, [True, True, False]
        )
        dx.addcmul_((grad @ weight).unsqueeze(-1), rstd, value=1 / weight.numel())
        return dx, dweight, None
