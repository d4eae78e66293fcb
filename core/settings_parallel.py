"""The recipe's section `resources.parallel`: how a model is spread over the training workers, and what it saves there.

In float32 none of it changes what is computed but for the order of sums, so it is in no fingerprint, and a run may go
on from a checkpoint under other settings. What bf16 rounds depends on the strategy: then `Parallel.bf16` is in it.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from .section import Section, misfit


class Parallel(Section):
    """Strategy, and what to trade for memory or speed on each worker."""

    strategy: Literal["single", "ddp", "fsdp", "deepspeed"] = "fsdp"
    shard_over: int | None = Field(
        default=None,
        ge=1,
        description="fsdp: workers that one copy of the model is sharded over; copies are data-parallel (hybrid "
        "sharding). null: all workers, one copy",
    )
    zero_stage: Literal[2, 3] = Field(
        default=3, description="deepspeed: 2 shards gradients and optimizer states, 3 the weights too"
    )
    checkpointing: Literal["none", "selective", "full"] = Field(
        default="none",
        description="of activations: selective keeps the products of matrices and attention, and computes the rest "
        "again in the backward pass; full keeps a block's input alone",
    )
    compile: bool = Field(default=False, description="the blocks, by torch.compile")

    @model_validator(mode="after")
    def _fits_together(self) -> Parallel:
        if self.shard_over is not None and self.strategy != "fsdp":
            raise ValueError(
                f"resources.parallel.shard_over is {self.shard_over}, but the strategy is {self.strategy}; "
                f"leave shard_over out, or set resources.parallel.strategy=fsdp"
            )
        if self.strategy == "deepspeed" and self.compile:
            raise ValueError(
                "resources.parallel.compile is on, but deepspeed gathers weights inside of blocks, where a compiled "
                "block has no place for it; set resources.parallel.compile=false, or strategy=fsdp"
            )
        if self.strategy == "deepspeed" and self.checkpointing != "none":
            raise ValueError(
                f"resources.parallel.checkpointing is {self.checkpointing}, but deepspeed gathers and frees weights "
                f"inside of blocks, which computing them again would upset; set checkpointing=none, or strategy=fsdp"
            )
        return self

    @property
    def bf16(self) -> str:
        """What is rounded to bfloat16: by operator (autocast), or weights and activations, in two ways."""
        return "autocast" if self.strategy in ("single", "ddp") else self.strategy

    def check(self, workers: int, elastic: bool, muon: bool) -> None:
        """Raises ValueError when it does not fit the number of workers, or that it may change, or the optimizer."""
        if self.strategy == "single" and workers > 1:
            raise ValueError(
                f"resources.parallel.strategy is single, but resources.train_workers is {workers}; "
                f"set train_workers to 1, or the strategy to ddp, fsdp or deepspeed"
            )
        if self.shard_over is not None and (
            wrong := misfit("resources.parallel.shard_over", self.shard_over, "resources.train_workers", workers)
        ):
            raise ValueError("; ".join(wrong))
        if self.shard_over is not None and elastic:
            raise ValueError(
                f"resources.parallel.shard_over is {self.shard_over}, but with min_train_workers there may be "
                f"a number of workers that it does not divide; leave one of the two out"
            )
        if self.strategy == "deepspeed" and muon:
            raise ValueError(
                "optimizer.muon is given, but deepspeed cuts matrices into flat pieces that Muon cannot work on; "
                "set resources.parallel.strategy to fsdp or ddp, or leave muon out"
            )
