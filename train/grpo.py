"""GRPO (Shao et al. 2024, "DeepSeekMath", section 4.1): answers are sampled, and learned from by what they are worth.

To each problem of a batch the policy draws a group of G answers. An answer's advantage is its reward minus the group's
mean, over the group's standard deviation: no model of values is needed. With the ratio ρ = π / π_old of a token's
probabilities, its gain is

    min(ρ A, clip(ρ, 1 - ε, 1 + ε) A) - w (π_ref / π - log(π_ref / π) - 1)

the last term an estimate of KL(π ‖ π_ref) that is never negative (Schulman 2020, "Approximating KL divergence"). The
loss is minus the mean over answers of the mean over an answer's tokens. Where answers are drawn at another temperature
than 1, all of these probabilities are at that temperature.

Each rank draws the answers to its own problems, from whole copies of policy and reference: a worker holds the model
three times. What is drawn depends on the seed, the step and the problem alone, so a run that resumes draws the same, on
any number of ranks. Several steps with the same answers (`updates`) begin where their number divides the step before:
checkpoints are written there alone (core/settings_alignment.py).

π_old is the model in training as it computes before the first step with its answers: in the run's precision, and
without dropout, which the recipe refuses. So the first ratios are 1.

R rows (answers), T tokens.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from ..core.settings_alignment import Grpo
from ..model.config import ModelConfig
from ..model.transformer import Transformer
from .arithmetic import Task
from .checkpoints import load_for_inference
from .examples import PAD_TO
from .grpo_loss import divergence_estimate, gains, token_log_probs
from .loader import IGNORED
from .objective import HeldOut
from .order import keyed_permutation
from .preference import divergence
from .prefetch import Batch
from .sampling import sample_group
from .variant import Variant
from .whole import whole_weights
from .world import World

Part = tuple[np.ndarray, ...]
FIGURES = ("reward", "answer_tokens", "answers_ended_share", "groups_of_one_mind", "kl")


class TaskPrompts:
    """Problems first … first + count - 1 of a task as rows: prompts padded behind, and their numbers and lengths."""

    def __init__(self, task: Task, first: int, count: int) -> None:
        self.task, self._first, self._count = task, first, count

    def __len__(self) -> int:
        return self._count

    def batch(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """int64 [n, T], and [n, 2]: number and length; a number below 0 stands for no problem."""
        numbers = (self._first + np.asarray(indices)).tolist()
        prompts = [self.task.prompt(number) for number in numbers]
        inputs = np.zeros((len(prompts), max(map(len, prompts))), dtype=np.int64)
        for row, prompt in enumerate(prompts):
            inputs[row, : len(prompt)] = prompt
        return inputs, np.array([(n, len(prompt)) for n, prompt in zip(numbers, prompts, strict=True)])

    def target_count(self, indices: np.ndarray) -> int:
        return 0  # known when the answers are drawn


class GrpoObjective:
    """Figures of a logged step, of its answers: reward, answer_tokens (mean), answers_ended_share, groups_of_one_mind
    (share of groups whose answers are worth the same: nothing is learned from them), kl (nats a token).

    Of held-out problems, answered greedily: held_out_reward, and divergence, KL(π ‖ π_ref) over the vocabulary.
    """

    shown: ClassVar[tuple[str, ...]] = ("held_out_reward", "divergence")

    def __init__(
        self, settings: Grpo, task: Task, config: ModelConfig, reference: Path, variant: Variant, seed: int
    ) -> None:
        """`reference`: the checkpoint that training begins at."""
        self.settings, self.task, self.seed = settings, task, seed
        self._config, self._checkpoint, self._variant = config, reference, variant
        self._copies: tuple[Transformer, Transformer] | None = None  # policy and reference, made in the worker
        self._round: Batch | None = None

    def prepare(self, model: nn.Module, batch: Batch, precision: str, world: World) -> Batch:
        """With the answers that were drawn for this step, or for the round of steps that it belongs to."""
        if self._round is None or (batch.step - 1) % self.settings.updates == 0:
            self._round = self._draw(model, batch, precision, world)
        return replace(self._round, step=batch.step, indices=batch.indices, waited=batch.waited)

    def losses(self, model: nn.Module, part: Part, precision: str, device: torch.device) -> tuple[Tensor, Tensor]:
        inputs_RT, targets_RT, advantage_R, old_RT, reference_RT = (torch.from_numpy(one).to(device) for one in part)
        now_RT = token_log_probs(model, inputs_RT, targets_RT, self.settings.temperature, precision)
        gain_RT = gains(now_RT, old_RT, reference_RT, advantage_R, self.settings.clip, self.settings.kl_weight)
        counted_RT = targets_RT != IGNORED
        mean_R = (gain_RT * counted_RT).sum(1) / counted_RT.sum(1).clamp(min=1)
        return -mean_R.sum(), -mean_R.sum()

    def validate(self, model: nn.Module, data: HeldOut, rows: int, precision: str, world: World) -> dict[str, float]:
        assert isinstance(data, TaskPrompts), "grpo has problems for data"
        policy, reference = self._follow(model, world)
        sums = torch.zeros(4, dtype=torch.float64)
        for index in range(world.rank, len(data), world.size):
            inputs, [[number, _]] = data.batch(np.array([index]))
            prompt = inputs[0].tolist()
            [answer] = sample_group(policy, prompt, 1, self.settings.max_tokens, 0, self.task.end, 0)
            tokens_BT = torch.tensor([[*prompt, *answer]], device=world.device)
            answer_BT = torch.arange(tokens_BT.shape[1], device=world.device)[None] >= len(prompt)
            apart = float(divergence(policy, reference, tokens_BT, answer_BT)) * len(answer)
            sums += torch.tensor([1, self._worth(int(number), answer), apart, len(answer)])
        problems, worth, apart, tokens = world.sum(sums.to(world.device)).tolist()
        return {"held_out_reward": worth / problems, "divergence": apart / tokens}

    def _draw(self, model: nn.Module, batch: Batch, precision: str, world: World) -> Batch:
        policy, reference = self._follow(model, world)
        parts: list[Part] = []
        sums = torch.zeros(6, dtype=torch.float64)
        for inputs, of_row in batch.parts:
            rows: list[tuple[list[int], int, float]] = []  # ids, length of the prompt, advantage
            for ids, (number, length) in zip(inputs.tolist(), of_row.tolist(), strict=True):
                if number < 0:  # a spare place: as many forwards everywhere, and nothing to learn
                    rows.append((ids[:1], 1, 0.0))
                    continue
                prompt = ids[:length]
                group = self._answers(policy, prompt, batch.step, number)
                worth = np.array([self._worth(number, answer) for answer in group])
                advantages = (worth - worth.mean()) / (worth.std() + 1e-4)
                rows += [(prompt + one, length, float(a)) for one, a in zip(group, advantages, strict=True)]
                ended, tokens = sum(one[-1] == self.task.end for one in group), sum(map(len, group))
                sums += torch.tensor([len(group), worth.sum(), tokens, ended, float(worth.std() == 0), 0.0])
            part, apart = self._part(rows, model, reference, precision, world.device)
            parts.append(part)
            sums[5] += apart
        answers, worth, tokens, ended, alike, apart = world.sum(sums.to(world.device)).tolist()
        groups = answers / self.settings.group
        values = (worth / answers, tokens / answers, ended / answers, alike / groups, apart / tokens)
        figures = dict(zip(FIGURES, values, strict=True))
        return replace(batch, counted=int(tokens), parts=parts, weight=int(answers), figures=figures)

    def _answers(self, policy: Transformer, prompt: list[int], step: int, number: int) -> list[list[int]]:
        """A group, by a seed of its own."""
        own = self.settings
        seed = int(keyed_permutation(np.array([number]), 1 << 62, self.seed ^ (step << 20))[0])
        return sample_group(policy, prompt, own.group, own.max_tokens, own.temperature, self.task.end, seed)

    def _worth(self, number: int, answer: list[int]) -> float:
        return self.task.reward(number, answer[:-1] if answer[-1] == self.task.end else answer)

    def _part(
        self,
        rows: list[tuple[list[int], int, float]],
        model: nn.Module,
        reference: Transformer,
        precision: str,
        device: torch.device,
    ) -> tuple[Part, float]:
        """inputs, targets, advantages, log-probabilities before the update and under the reference; sum of kl.

        Those before are the model's in training, not its copy's: rounded as `losses` rounds, sharded or not, so that
        the first update's ratios are 1.
        """
        longest = max(2, *(len(ids) for ids, _, _ in rows)) - 1
        width = min(self._config.context, -(-longest // PAD_TO) * PAD_TO)
        inputs = np.zeros((len(rows), width), dtype=np.int64)
        targets = np.full((len(rows), width), IGNORED, dtype=np.int64)
        for row, (ids, length, _) in enumerate(rows):
            inputs[row, : len(ids) - 1] = ids[:-1]
            targets[row, length - 1 : len(ids) - 1] = ids[length:]
        found = []
        with torch.no_grad():
            for one in (model, reference):
                inputs_RT, targets_RT = torch.from_numpy(inputs).to(device), torch.from_numpy(targets).to(device)
                found.append(token_log_probs(one, inputs_RT, targets_RT, self.settings.temperature, precision))
            apart = float(divergence_estimate(found[0], found[1]).sum())
        advantages = np.array([advantage for _, _, advantage in rows], dtype=np.float32)
        return (inputs, targets, advantages, found[0].cpu().numpy(), found[1].cpu().numpy()), apart

    def _follow(self, model: nn.Module, world: World) -> tuple[Transformer, Transformer]:
        """Policy, as it is now, and reference, each whole on this rank."""
        weights = whole_weights(model)
        if self._copies is None:
            policy = self._variant.make(self._config).to(world.device).eval().requires_grad_(False)
            reference = load_for_inference(self._checkpoint)[0].to(world.device).requires_grad_(False)
            self._copies = (policy, reference)
        self._copies[0].load_state_dict(weights)
        return self._copies
