"""A reward model: the Transformer with one number a token in place of logits, from pairs (Bradley & Terry 1952).

The answer's reward is the number at its last token, which has seen all of it. P(chosen over rejected) = σ(r_c - r_r),
so the loss of a pair is -log σ(r_c - r_r) (Ouyang et al. 2022, "Training language models to follow instructions", 3.4).
Rewards are known up to a constant of the prompt: only differences between answers to one prompt mean anything.

P pairs, B = 2 · P rows (the chosen ones, then the rejected ones), T tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..model.config import ModelConfig
from ..model.products import Linear
from ..model.transformer import Transformer
from .loss import mixed_precision


class RewardModel(Transformer):
    """forward(tokens_BT) gives [B, T, 1]. The head is its own, also where the language model's is the embedding."""

    head: Linear

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.head = Linear(config.width, 1, bias=False)


def answer_rewards(
    model: nn.Module, tokens_BT: Tensor, last_B: Tensor, precision: str = "fp32"
) -> tuple[Tensor, Tensor]:
    """Rewards of the chosen and of the rejected answers, [P] each, float32. `last_B`: the place of a row's last token.

    Padding stands behind the answers: no token sees what follows it.
    """
    with mixed_precision(model, precision, tokens_BT.device):
        rewards_BT = model(tokens_BT)[..., 0]
    rewards_B = rewards_BT.float().gather(1, last_B[:, None])[:, 0]
    chosen_P, rejected_P = rewards_B.unflatten(0, (2, -1))
    return chosen_P, rejected_P


@torch.no_grad()
def answer_reward(model: RewardModel, tokens: list[int]) -> float:
    """The reward of one conversation that ends with an answer."""
    device = model.embedding.weight.device
    return float(model.eval()(torch.tensor([tokens], device=device), last_only=True)[0, -1, 0])
