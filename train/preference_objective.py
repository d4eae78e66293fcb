"""Preference losses as objectives of the training loop (train/objective.py): DPO and IPO, and Bradley-Terry.

Rows are pairs (train/preference_file.py). A pair whose targets do not count, in a spare place, is none.

P pairs, B = 2 · P rows (the chosen ones, then the rejected ones), T tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from .loader import IGNORED
from .objective import HeldOut
from .preference import (
    Objective,
    PairLogProbs,
    pair_log_probs,
    preference_losses,
    preference_metrics,
    preference_sums,
    told_right,
)
from .prefetch import Batch
from .reward import answer_rewards
from .validation import rank_rows
from .world import World

Part = tuple[np.ndarray, ...]


def flat_pairs(inputs: np.ndarray, targets: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor]:
    """Tokens, int64, and True where an answer's token stands, [B, T] each, of rows [P, 2, T]."""
    tokens_BT = torch.from_numpy(inputs).transpose(0, 1).flatten(0, 1).to(device)
    counted_BT = torch.from_numpy(targets != IGNORED).transpose(0, 1).flatten(0, 1).to(device)
    return tokens_BT, counted_BT.roll(1, dims=1)  # the last target of a row never counts


class PreferenceObjective:
    """DPO or IPO, against the log-probabilities that the rows bring. Figures: train/preference.py."""

    shown: ClassVar[tuple[str, ...]] = (
        "validation_loss", "preference_accuracy", "ranking_accuracy", "margin", "chosen_reward", "rejected_reward",
        "kl_estimate",
    )  # fmt: skip

    def __init__(self, objective: Objective) -> None:
        self.objective = objective

    def prepare(self, model: nn.Module, batch: Batch, precision: str, world: World) -> Batch:
        return batch

    def losses(self, model: nn.Module, part: Part, precision: str, device: torch.device) -> tuple[Tensor, Tensor]:
        policy, reference = _both(model, part, precision, device)
        total = torch.where(policy.chosen_tokens_P > 0, preference_losses(policy, reference, self.objective), 0.0).sum()
        return total, total

    @torch.no_grad()
    def validate(self, model: nn.Module, data: HeldOut, rows: int, precision: str, world: World) -> dict[str, float]:
        assert not isinstance(data, Mapping), "pairs are of one kind"
        model.eval()
        sums = torch.zeros(8, dtype=torch.float64, device=world.device)
        for part in rank_rows(data, rows, world):
            policy, reference = _both(model, part, precision, world.device)
            sums += preference_sums(policy, reference, self.objective)
        model.train()
        return preference_metrics(world.sum(sums), self.objective.beta)


class RewardObjective:
    """Bradley-Terry: -log σ(r_c - r_r) of a reward model (train/reward.py).

    validation_loss, preference_accuracy (the chosen answer has the greater reward), margin (the mean difference).
    """

    shown: ClassVar[tuple[str, ...]] = ("validation_loss", "preference_accuracy", "margin")

    def prepare(self, model: nn.Module, batch: Batch, precision: str, world: World) -> Batch:
        return batch

    def losses(self, model: nn.Module, part: Part, precision: str, device: torch.device) -> tuple[Tensor, Tensor]:
        difference_P, counts_P = _differences(model, part, precision, device)
        total = torch.where(counts_P, -nn.functional.logsigmoid(difference_P), 0.0).sum()
        return total, total

    @torch.no_grad()
    def validate(self, model: nn.Module, data: HeldOut, rows: int, precision: str, world: World) -> dict[str, float]:
        assert not isinstance(data, Mapping), "pairs are of one kind"
        model.eval()
        sums = torch.zeros(4, dtype=torch.float64, device=world.device)
        for part in rank_rows(data, rows, world):
            difference_P, counts_P = _differences(model, part, precision, world.device)
            each = (
                torch.ones_like(difference_P),
                -nn.functional.logsigmoid(difference_P),
                told_right(difference_P),
                difference_P,
            )
            sums += torch.stack([torch.where(counts_P, one_P.double(), 0.0).sum() for one_P in each])
        model.train()
        pairs, loss, right, margin = world.sum(sums).tolist()
        return {"validation_loss": loss / pairs, "preference_accuracy": right / pairs, "margin": margin / pairs}


def _both(model: nn.Module, part: Part, precision: str, device: torch.device) -> tuple[PairLogProbs, PairLogProbs]:
    """What the policy gives now, and what the reference gave."""
    inputs, targets, reference_P2 = part
    policy = pair_log_probs(model, *flat_pairs(inputs, targets, device), precision)
    chosen_P, rejected_P = torch.from_numpy(reference_P2).to(device, policy.chosen_P.dtype).unbind(1)
    return policy, PairLogProbs(chosen_P, rejected_P, policy.chosen_tokens_P, policy.rejected_tokens_P)


def _differences(model: nn.Module, part: Part, precision: str, device: torch.device) -> tuple[Tensor, Tensor]:
    """Reward of the chosen answer minus that of the rejected one, and whether the pair counts; [P] each."""
    tokens_BT, answer_BT = flat_pairs(part[0], part[1], device)
    place_T = torch.arange(answer_BT.shape[1], device=device)
    last_B = torch.where(answer_BT, place_T, 0).amax(1)
    chosen_P, rejected_P = answer_rewards(model, tokens_BT, last_B, precision)
    return chosen_P - rejected_P, last_B.unflatten(0, (2, -1))[0] > 0
