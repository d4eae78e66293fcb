"""What a row of the scaling table costs: parameters, FLOPs, and the memory of a GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..model.memory import Checkpointing, memory
from .table import Row


@dataclass(frozen=True)
class Plan:
    """How a row is trained, as far as memory depends on it: FSDP over all GPUs, AdamW in float32."""

    gpus: int = 8
    rows: int = 1  # of a whole context, that a GPU computes at a time
    precision: Literal["fp32", "bf16"] = "bf16"
    checkpointing: Checkpointing = "full"


@dataclass(frozen=True)
class Cost:
    """A row's costs. FLOPs count attention's too; memory is in bytes, without buffers and the allocator's rounding."""

    parameters: int
    parameters_without_embedding: int
    flops_per_token: int
    flops: float  # of the whole training
    memory_per_gpu: int


def cost(row: Row, plan: Plan) -> Cost:
    """With the row's own vocabulary and context."""
    config = row.own_config()
    held = memory(
        config,
        plan.rows,
        "fsdp" if plan.gpus > 1 else "single",
        ranks=plan.gpus,
        precision=plan.precision,
        checkpointing=plan.checkpointing,
    )
    per_token = config.flops_per_token()
    return Cost(config.parameters(), row.parameters_without_embedding(), per_token, per_token * row.tokens, held.total)
