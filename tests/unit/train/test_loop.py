from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from crawl2chat.core.errors import StageError
from crawl2chat.core.settings_optimizer import Optimizer
from crawl2chat.model.config import ModelConfig
from crawl2chat.model.transformer import Transformer
from crawl2chat.train.loader import IGNORED, TokenDataset
from crawl2chat.train.loop import Hooks, Plan, batch_indices, clip_gradients, train
from crawl2chat.train.optimizer import make_optimizer
from crawl2chat.train.schedule import learning_rates
from crawl2chat.train.watch import FIGURES
from crawl2chat.train.world import World

OPTIMIZER = Optimizer(learning_rate=1e-2, warmup_steps=3)


def trained(config: ModelConfig, data: Any, plan: Plan, hooks: Hooks | None = None) -> Transformer:
    model = Transformer(config)
    model.init_weights(7)
    train(model, make_optimizer(model, OPTIMIZER), learning_rates(OPTIMIZER, plan.steps), data, plan, World(), hooks)
    return model


def test_it_learns_and_calls_its_hooks_when_due(small: ModelConfig, shards: list[Path]) -> None:
    rows: list[dict[str, Any]] = []
    validated: list[int] = []
    saved: list[tuple[int, int]] = []
    plan = Plan(steps=25, batch=8, seed=1, log_every=10, validate_every=8, checkpoint_every=20)
    trained(
        small, TokenDataset(shards, 16), plan, Hooks(rows.append, validated.append, lambda *pair: saved.append(pair))
    )
    assert [row["step"] for row in rows] == [10, 20, 25] and rows[-1]["loss"] < rows[0]["loss"] < np.log(97)
    assert validated == [8, 16, 24, 25] and saved == [(20, 20 * 8 * 16), (25, 25 * 8 * 16)]
    assert set(rows[0]) == {"step", "loss", "lr", "grad_norm", "tokens_seen"} | (set(FIGURES) - {"mfu"})


def test_micro_batches_add_up_to_the_batch(small: ModelConfig, shards: list[Path]) -> None:
    data = TokenDataset(shards, 16)
    whole = trained(small, data, Plan(steps=5, batch=8, seed=1))
    for size in (1, 2, 4):
        parts = trained(small, data, Plan(steps=5, batch=8, seed=1, micro_batch=size))
        for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


class Uneven:
    """Rows of which the first has many counted targets and the others one."""

    def __len__(self) -> int:
        return 4

    def batch(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        inputs = np.stack([(np.arange(16) * (index + 1)) % 97 for index in indices.tolist()])
        targets = (inputs + 1) % 97
        for row, index in enumerate(indices.tolist()):
            targets[row, 16 if index == 0 else 1 :] = IGNORED
        return inputs, targets

    def target_count(self, indices: np.ndarray) -> int:
        return int((self.batch(indices)[1] != IGNORED).sum())


def test_the_loss_is_the_mean_over_targets_not_over_rows(small: ModelConfig) -> None:
    rows: list[dict[str, Any]] = []
    plan = Plan(steps=1, batch=4, seed=1, micro_batch=1)
    trained(small, Uneven(), plan, Hooks(on_log=rows.append))
    model = Transformer(small)
    model.init_weights(7)
    inputs, targets = Uneven().batch(batch_indices(plan, 1, Uneven()))
    logits = model(torch.from_numpy(inputs)).flatten(0, 1)
    expected = torch.nn.functional.cross_entropy(logits, torch.from_numpy(targets).flatten(), ignore_index=IGNORED)
    assert rows[0]["loss"] == pytest.approx(expected.item(), rel=1e-6) and rows[0]["tokens_seen"] == 19


def test_clipping_agrees_with_torch(small: ModelConfig) -> None:
    def with_gradients() -> Transformer:
        model = Transformer(small)
        generator = torch.Generator().manual_seed(1)
        for parameter in model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        return model

    ours, theirs = with_gradients(), with_gradients()
    norm = clip_gradients(ours, 0.5, World())
    torch.testing.assert_close(norm, torch.nn.utils.clip_grad_norm_(theirs.parameters(), 0.5))
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_a_loss_that_is_not_finite_ends_the_run(small: ModelConfig, shards: list[Path]) -> None:
    model = Transformer(small)
    model.init_weights(7)
    with torch.no_grad():
        model.embedding.weight[5, 3] = float("nan")
    plan = Plan(steps=3, batch=8, seed=1, log_every=1)
    with pytest.raises(StageError, match="step 1: the loss is nan"):
        train(model, make_optimizer(model, OPTIMIZER), learning_rates(OPTIMIZER, 3), TokenDataset(shards, 16), plan)
