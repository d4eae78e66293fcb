"""The recipe's section for what to do when a batch blows up the loss or the gradient."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .section import Section


class SpikeGuard(Section):
    """Judges every update by those before it; a loss or gradient norm that is not finite is always a spike."""

    policy: Literal["skip", "rewind", "off"] = Field(
        default="skip",
        description="skip: do not apply the update; rewind: back to the newest checkpoint, and on with other batches; "
        "off: apply it, and end the run at a logged step that is not finite",
    )
    threshold: float = Field(
        default=8.0, gt=0, description="deviations above the median: of the loss, and of the gradient norm's logarithm"
    )
    window: int = Field(default=128, ge=8, description="updates that median and deviation are taken over")
    warmup: int = Field(default=32, ge=8, description="updates before the first judgement")
    patience: int = Field(
        default=10, ge=1, description="spikes one after the other, or rewinds to one checkpoint, before the run ends"
    )
