"""A checkpoint with low-rank differences as one of plain weights: what a finished stage hands on.

Everything that reads a model afterwards (chat, export, evaluation, the next stage) then finds a checkpoint as any
other. The model is held whole, in one process.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from .checkpoints import broken, load_for_inference, read_meta, step_name
from .saving import save
from .variant import Variant
from .world import World


def write_merged(checkpoint: Path, folder: Path) -> Path:
    """Merge, and write below `folder`; a checkpoint that is there already and complete stays. Returns its folder."""
    meta = read_meta(checkpoint)
    target = folder / step_name(meta.step)
    if broken(target) is None:
        return target
    model, _ = load_for_inference(checkpoint)
    folder.mkdir(parents=True, exist_ok=True)
    variant = replace(Variant.from_dict(meta.variant), lora=None)
    nothing_learned = torch.optim.SGD(model.parameters(), lr=0.0)  # it has no state: only weights are written
    return save(
        folder, model, nothing_learned, replace(meta, variant=variant.to_dict(), files={}), World(), "merged", 1
    )
