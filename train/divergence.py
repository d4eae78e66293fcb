"""How far a model has moved from another one, over the whole vocabulary, at the places of held-out answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from .checkpoints import load_for_inference
from .preference import divergence
from .preference_file import PairRows
from .preference_objective import flat_pairs

ROWS = 4  # pairs a forward


def held_out_divergence(policy: Path, reference: Path, pairs: Path, number: int) -> float:
    """KL(π ‖ π_ref) of the next token in nats, the mean over all answers' tokens of at most `number` pairs."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    models = [load_for_inference(path)[0].to(device) for path in (policy, reference)]
    rows = PairRows(pairs, context=models[0].config.context)
    total, tokens = 0.0, 0
    for start in range(0, min(number, len(rows)), ROWS):
        inputs, targets, *_ = rows.batch(np.arange(start, min(start + ROWS, number, len(rows))))
        tokens_BT, answer_BT = flat_pairs(inputs, targets, device)
        here = int(answer_BT.sum())
        total += float(divergence(models[0], models[1], tokens_BT, answer_BT)) * here
        tokens += here
    return total / max(1, tokens)
