"""What the training loop does when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..core.settings_alignment import Align
from ..core.settings_guard import SpikeGuard
from ..core.settings_training import Finetune, Train
from .batch_sizes import Stages, begins


@dataclass(frozen=True)
class Plan:
    """What to do when. A last step is always logged, validated and checkpointed."""

    steps: int
    batch: int
    seed: int
    micro_batch: int | None = None
    precision: str = "fp32"
    clip_norm: float = 1.0
    batch_warmup: Stages = ()
    z_loss: float = 0.0
    guard: SpikeGuard | None = None
    dropout: bool = False  # the model drops something: torch's generator is seeded at every step
    log_every: int = 10
    validate_every: int = 100
    checkpoint_every: int = 100
    probe_every: int | None = None

    @classmethod
    def of(cls, settings: Train | Finetune | Align, seed: int, precision: str, micro_batch: int | None = None) -> Plan:
        """The plan that a section of the recipe gives."""
        of_train: dict[str, Any] = {}
        if isinstance(settings, Train):
            stages = tuple((stage.steps, stage.batch) for stage in settings.batch_warmup)
            of_train = {"batch_warmup": stages, "z_loss": settings.z_loss}
        elif settings.lora is not None:
            of_train = {"dropout": settings.lora.dropout > 0}
        pace = ("steps", "batch", "log_every", "validate_every", "checkpoint_every")
        return cls(
            **{name: getattr(settings, name) for name in pace},
            seed=seed,
            micro_batch=micro_batch,
            precision=precision,
            clip_norm=settings.optimizer.clip_norm,
            guard=None if settings.guard.policy == "off" else settings.guard,
            **of_train,
        )

    def begins(self, step: int) -> int:
        """The first position of a step's batch in an order of which nothing is left out."""
        return begins(self.batch, self.batch_warmup, step)

    def due(self, step: int, every: int) -> bool:
        return step % every == 0 or step == self.steps
