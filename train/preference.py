"""Learning from preferences without a reward model: DPO and its kin, from log-probabilities of whole answers.

A pair is one prompt with two answers, of which people (or a judge) chose one. With Δ = (log π - log π_ref)(chosen) -
(log π - log π_ref)(rejected), policy π, frozen reference π_ref, the loss of a pair is

    dpo     -log σ(βΔ)                           Rafailov et al. 2023, "Direct Preference Optimization", equation 7
            -(1 - ε) log σ(βΔ) - ε log σ(-βΔ)    with label smoothing ε, the share of labels that is thought wrong
                                                 (Mitchell 2023, "A note on DPO with noisy preferences": cDPO)
    ipo     (Δ - 1 / 2β)²                        Azar et al. 2023, "A General Theoretical Paradigm", equation 17

`length_normalised` divides each answer's log-ratio by its tokens first, so that a long answer does not weigh more for
its length alone. Δ is then a difference of means, smaller by the number of tokens: β has to be larger.

P pairs, B = 2 · P rows (the chosen ones, then the rejected ones in the same order), T tokens, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..core.errors import RecipeError
from .loader import IGNORED
from .loss import mixed_precision

TIE = 1e-3  # nats: two log-ratios that differ by less are equal, but for rounding; a tie is half right


@dataclass(frozen=True)
class Objective:
    """Which loss, and its options. Raises RecipeError when they do not fit together."""

    loss: Literal["dpo", "ipo"] = "dpo"
    beta: float = 0.1
    label_smoothing: float = 0.0
    length_normalised: bool = False

    def __post_init__(self) -> None:
        if self.loss not in ("dpo", "ipo"):
            raise RecipeError(f"the preference loss is {self.loss!r}", "use dpo or ipo")
        if not self.beta > 0:
            raise RecipeError(f"beta is {self.beta}", "set beta above 0: 0.1 is usual")
        if not 0 <= self.label_smoothing < 0.5:
            raise RecipeError(
                f"label_smoothing is {self.label_smoothing}",
                "set it from 0 to below 0.5, where labels would say nothing",
            )
        if self.loss == "ipo" and self.label_smoothing:
            raise RecipeError(
                f"label_smoothing is {self.label_smoothing} with the loss ipo, which has no such form",
                "set label_smoothing to 0, or use dpo",
            )


class PairLogProbs(NamedTuple):
    """Of each pair's answers under one model: log-probabilities in nats, and numbers of answer tokens. Each [P]."""

    chosen_P: Tensor
    rejected_P: Tensor
    chosen_tokens_P: Tensor
    rejected_tokens_P: Tensor


def pair_log_probs(model: nn.Module, tokens_BT: Tensor, answer_BT: Tensor, precision: str = "fp32") -> PairLogProbs:
    """Log-probabilities of the answers, all in one forward pass, summed in float32.

    `answer_BT` is True on the tokens that count, as in tokenize/chat_template.py; no row's first token does, which
    nothing predicts. Padding stands behind the answers: no token sees what follows it.
    """
    targets_BT = tokens_BT[:, 1:].masked_fill(~answer_BT[:, 1:], IGNORED)
    with mixed_precision(model, precision, tokens_BT.device):
        logits_BTV = model(tokens_BT[:, :-1])
    nats_N = F.cross_entropy(
        logits_BTV.flatten(0, 1).float(), targets_BT.flatten(), ignore_index=IGNORED, reduction="none"
    )
    chosen_P, rejected_P = -nats_N.view(targets_BT.shape).sum(1).unflatten(0, (2, -1))
    chosen_tokens_P, rejected_tokens_P = (targets_BT != IGNORED).sum(1).unflatten(0, (2, -1))
    return PairLogProbs(chosen_P, rejected_P, chosen_tokens_P, rejected_tokens_P)


def reference_log_probs(
    model: nn.Module, tokens_BT: Tensor, answer_BT: Tensor, precision: str = "fp32"
) -> PairLogProbs:
    """The same under the frozen reference: no gradient, and no dropout."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            return pair_log_probs(model, tokens_BT, answer_BT, precision)
    finally:
        model.train(training)


def preference_losses(policy: PairLogProbs, reference: PairLogProbs, objective: Objective) -> Tensor:
    """The loss of each pair, [P]: to be summed and divided by the pairs of the whole batch."""
    chosen_P, rejected_P = _log_ratios(policy, reference)
    if objective.length_normalised:
        chosen_P = chosen_P / policy.chosen_tokens_P.clamp(min=1)
        rejected_P = rejected_P / policy.rejected_tokens_P.clamp(min=1)
    delta_P = chosen_P - rejected_P
    if objective.loss == "ipo":
        return (delta_P - 1 / (2 * objective.beta)).square()
    losses_P = -F.logsigmoid(objective.beta * delta_P)
    if not objective.label_smoothing:
        return losses_P
    smoothing = objective.label_smoothing
    return (1 - smoothing) * losses_P - smoothing * F.logsigmoid(-objective.beta * delta_P)


def preference_sums(policy: PairLogProbs, reference: PairLogProbs, objective: Objective) -> Tensor:
    """What `preference_metrics` makes means of, float64 [8]: to be added up over batches and ranks.

    Pairs, tokens, losses, pairs told right by rewards and by mean log-probabilities, log-ratios of the chosen answers,
    of the rejected ones, and of both. Pairs without an answer, which fill a batch up, count for nothing.
    """
    counts_P = policy.chosen_tokens_P > 0
    chosen_P, rejected_P = _log_ratios(policy, reference)
    means_P = [
        one_P / tokens_P.clamp(min=1)
        for one_P, tokens_P in (
            (policy.chosen_P, policy.chosen_tokens_P),
            (policy.rejected_P, policy.rejected_tokens_P),
        )
    ]
    each = (
        torch.ones_like(chosen_P),
        policy.chosen_tokens_P + policy.rejected_tokens_P,
        preference_losses(policy, reference, objective),
        told_right(chosen_P - rejected_P, TIE),
        told_right(means_P[0] - means_P[1]),
        chosen_P,
        rejected_P,
        chosen_P + rejected_P,
    )
    return torch.stack([torch.where(counts_P, one_P.double(), 0.0).sum() for one_P in each])


def preference_metrics(sums: Tensor, beta: float) -> dict[str, float]:
    """What tells whether preferences are learned, of `preference_sums`. Reward: β (log π - log π_ref) of an answer.

    validation_loss        mean over the pairs
    preference_accuracy    share of pairs in which the chosen answer's reward is the greater; a half at the start, when
                           all rewards are 0
    ranking_accuracy       share of pairs in which the chosen answer is the likelier one, by its mean token
    margin                 mean reward of the chosen answers minus that of the rejected ones
    chosen_reward, rejected_reward
    kl_estimate            log π - log π_ref in nats a token, over all tokens of all answers: an estimate of
                           KL(π ‖ π_ref) as far as the answers are such as π writes; of others' answers it may be
                           negative. `divergence` has no such limit.
    """
    pairs, tokens, loss, preferred, ranked, chosen, rejected, ratios = sums.tolist()
    return {
        "validation_loss": loss / pairs,
        "preference_accuracy": preferred / pairs,
        "ranking_accuracy": ranked / pairs,
        "margin": beta * (chosen - rejected) / pairs,
        "chosen_reward": beta * chosen / pairs,
        "rejected_reward": beta * rejected / pairs,
        "kl_estimate": ratios / tokens,
    }


def told_right(difference_P: Tensor, tie: float = 0.0) -> Tensor:
    """1 where the chosen answer is ahead, 0 where it is behind, a half in between."""
    return torch.where(difference_P.abs() <= tie, 0.5, (difference_P > 0).to(torch.float64))


@torch.no_grad()
def divergence(policy: nn.Module, reference: nn.Module, tokens_BT: Tensor, answer_BT: Tensor) -> Tensor:
    """KL(π ‖ π_ref) of the next token in nats, over the whole vocabulary, as mean over the places of answer tokens.

    Exact at these places; two forward passes, with both models' logits in memory.
    """
    counted_BT = answer_BT[:, 1:]
    mine_NV, theirs_NV = (model(tokens_BT[:, :-1])[counted_BT].float().log_softmax(-1) for model in (policy, reference))
    return F.kl_div(theirs_NV, mine_NV, log_target=True, reduction="sum") / counted_BT.sum().clamp(min=1)


def _log_ratios(policy: PairLogProbs, reference: PairLogProbs) -> tuple[Tensor, Tensor]:
    return policy.chosen_P - reference.chosen_P, policy.rejected_P - reference.rejected_P
