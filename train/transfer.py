"""Learning rates, eps and weight decay for `model.transfer`: what is written in the recipe holds at the base shape.

m_N and m_L as in model/transfer.py. By kind of parameter, AdamW (muP: Yang et al. 2022; CompleteP: Dey et al. 2025,
table 1 with alpha = 1, and its equation 40 for eps):

    kind                                   learning rate    weight decay    eps
    matrices of the blocks                 1 / m_N          m_N             1 / (m_N m_L)
    gains and biases of the blocks         1                none            1 / (m_N m_L)
    gains of norms on queries and keys     1                none            1 / m_L
    embeddings, head                       1                1               1 / m_N
    gain and bias of the last norm         1                none            1 / m_N

A step of AdamW moves every number by about its rate. A row of a hidden matrix sums m_N times as many of them, in step
with the activations: so its rate goes down by m_N, and decay up, as what it takes off in a step is rate · decay. eps
follows the gradients' size: the logits' factor 1 / m_N is in all of them, a block's share 1 / m_L in all of a block's.
The gains on queries and keys are shared by all heads, whose number grows with the width, so their gradients are sums of
m_N times as many (Mlodozeniec et al. 2025, "Completed Hyperparameter Transfer").

Muon does not move every number alike: its update is orthogonal, and what counts is its spectral norm. A layer's outputs
change alike at every width when that norm is of the order of sqrt(rows / columns) (Yang, Simon & Bernstein 2023, "A
Spectral Condition for Feature Learning"). Jordan's factor sqrt(max(1, rows / columns)) is of that order where
proportions are kept, so rate and decay stay. `match_adamw` makes it 0.2 sqrt(max(rows, columns)), which grows with
sqrt(m_N): the rate goes down by that, and decay up. Depth asks for nothing: an orthogonal update is the same for a
gradient of any size.
"""

from __future__ import annotations

import math
from typing import Any

from ..model.config import ModelConfig

Groups = dict[str, dict[str, Any]]
SHARED = (".query_norm.", ".key_norm.")


def scaled_groups(groups: Groups, config: ModelConfig, eps: float) -> Groups:
    """Settings by kind of parameter for the model's shape, from those for the base shape.

    The kind `vector` becomes three, as `vector_kind` tells them apart.
    """
    wide, deep = config.width_ratio, config.depth_ratio
    eps_by_kind = {
        "matrix": eps / (wide * deep),
        "embedding": eps / wide,
        "head": eps / wide,
        "vector": eps / (wide * deep),
        "shared_vector": eps / deep,
        "last_vector": eps / wide,
    }
    kinds = groups | {"shared_vector": groups["vector"], "last_vector": groups["vector"]}
    found = {kind: {**kinds[kind], "eps": own} for kind, own in eps_by_kind.items()}
    down = _matrix_rate(found["matrix"].get("muon"), wide)
    found["matrix"]["lr_ratio"] /= down
    found["matrix"]["weight_decay"] *= down
    return found


def vector_kind(name: str) -> str:
    """Which of the three kinds of vectors a parameter is, by its name in the Transformer."""
    if not name.startswith("blocks."):
        return "last_vector"
    return "shared_vector" if any(part in name for part in SHARED) else "vector"


def _matrix_rate(muon: dict[str, Any] | None, wide: float) -> float:
    """What the learning rate of the blocks' matrices is divided by."""
    if muon is None:
        return wide
    return math.sqrt(wide) if muon["match_adamw"] else 1.0
