"""What a block may save: memory, by computing activations again; time, by compiling. Neither changes what it computes.

Activation checkpointing (Chen et al. 2016): full keeps the input of a block alone and runs it again in the backward
pass, a third more work; selective (Korthikanti et al. 2022) keeps what is expensive, products of matrices and
attention, and computes norms, activations and rotations again, which is nearly free.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from ..model import products  # noqa: F401  (defines the operator crawl2chat::product)
from ..model.transformer import Transformer

aten = torch.ops.aten
KEPT = {
    torch.ops.crawl2chat.product.default,  # model/products.py
    aten.mm.default,
    aten.addmm.default,
    aten.bmm.default,
    aten._scaled_dot_product_flash_attention_for_cpu.default,
    aten._scaled_dot_product_flash_attention.default,
    aten._scaled_dot_product_efficient_attention.default,
    aten._scaled_dot_product_cudnn_attention.default,
}


def recompute_activations(model: Transformer, kind: str) -> None:
    """Let every block compute again what it does not keep: kind none, selective or full. In place."""
    if kind == "none":
        return
    for block in model.blocks:
        # The instance's own forward, inside of what hooks the module has: names in checkpoints stay, and FSDP gathers
        # a block's weights before it is computed again.
        block.forward = _recomputing(block, block.forward, kind == "selective")  # type: ignore[method-assign]


def compile_blocks(model: Transformer) -> None:
    """Compile every block on its own (regional compilation): one compilation serves all, as they are alike."""
    for block in model.blocks:
        block.compile(dynamic=False)


def _recomputing(block: nn.Module, forward: Callable[..., Any], selective: bool) -> Callable[..., Any]:
    def run(*arguments: Any) -> Any:
        if not (block.training and torch.is_grad_enabled()):
            return forward(*arguments)
        # Dropout, which LoRA may bring, has to drop the same again.
        random = any(isinstance(module, nn.Dropout) and module.p > 0 for module in block.modules())
        if selective:
            return checkpoint(
                forward, *arguments, use_reentrant=False, preserve_rng_state=random, context_fn=_keep_the_expensive
            )
        return checkpoint(forward, *arguments, use_reentrant=False, preserve_rng_state=random)

    return run


def _keep_the_expensive() -> Any:
    return create_selective_checkpoint_contexts(_policy)


def _policy(context: Any, op: Any, *arguments: Any, **options: Any) -> CheckpointPolicy:
    return CheckpointPolicy.MUST_SAVE if op in KEPT else CheckpointPolicy.PREFER_RECOMPUTE
