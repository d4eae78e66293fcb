"""What a block may save: memory, by computing activations again; time, by compiling. Neither changes what it computes.

Activation checkpointing (Chen et al. 2016): full keeps the input of a block alone and runs it again in the backward
pass, a third more work; selective (Korthikanti et al. 2022) keeps what is expensive, products of matrices and
attention, and computes norms, activations and rotations again, which is nearly free.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from ..model.transformer import Transformer

aten = torch.ops.aten
KEPT = {
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
    contexts = {"none": None, "selective": partial(create_selective_checkpoint_contexts, _policy), "full": _keep_none}
    context_fn = contexts[kind]
    if context_fn is None:
        return
    for block in model.blocks:
        # The instance's own forward, inside of what hooks the module has: names in checkpoints stay, and FSDP gathers
        # a block's weights before it is computed again.
        block.forward = _recomputing(block, block.forward, context_fn)  # type: ignore[method-assign]


def compile_blocks(model: Transformer) -> None:
    """Compile every block on its own (regional compilation): one compilation serves all, as they are alike."""
    for block in model.blocks:
        block.compile(dynamic=False)


def _recomputing(block: nn.Module, forward: Callable[..., Any], context_fn: Callable[[], Any]) -> Callable[..., Any]:
    def run(*arguments: Any) -> Any:
        if not (block.training and torch.is_grad_enabled()):
            return forward(*arguments)
        return checkpoint(forward, *arguments, use_reentrant=False, preserve_rng_state=False, context_fn=context_fn)

    return run


def _policy(context: Any, op: Any, *arguments: Any, **options: Any) -> CheckpointPolicy:
    return CheckpointPolicy.MUST_SAVE if op in KEPT else CheckpointPolicy.PREFER_RECOMPUTE


def _keep_none() -> Any:
    return nullcontext(), nullcontext()
