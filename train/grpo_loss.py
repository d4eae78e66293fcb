"""The gains of GRPO (train/grpo.py), token by token, from log-probabilities.

R rows (answers), T tokens.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .loader import IGNORED
from .loss import mixed_precision


def token_log_probs(
    model: nn.Module, inputs_RT: Tensor, targets_RT: Tensor, temperature: float, precision: str = "fp32"
) -> Tensor:
    """Log-probability of each counted target, [R, T], float32; 0 where none counts."""
    with mixed_precision(model, precision, inputs_RT.device):
        logits_RTV = model(inputs_RT)
    nats_N = F.cross_entropy(
        logits_RTV.flatten(0, 1).float() / temperature, targets_RT.flatten(), ignore_index=IGNORED, reduction="none"
    )
    return -nats_N.view(targets_RT.shape)


def gains(
    now_RT: Tensor, old_RT: Tensor, reference_RT: Tensor, advantage_R: Tensor, clip: float, kl_weight: float
) -> Tensor:
    """What each token gains, [R, T], of log-probabilities under the policy now, that which drew, and the reference."""
    ratio_RT = (now_RT - old_RT).exp()
    advantage_R1 = advantage_R[:, None]
    gain_RT = torch.minimum(ratio_RT * advantage_R1, ratio_RT.clamp(1 - clip, 1 + clip) * advantage_R1)
    return gain_RT - kl_weight * divergence_estimate(now_RT, reference_RT)


def divergence_estimate(now: Tensor, reference: Tensor) -> Tensor:
    """π_ref / π - log(π_ref / π) - 1 of log-probabilities of tokens that π drew: never negative, right on average."""
    difference = reference - now
    return difference.exp() - difference - 1
