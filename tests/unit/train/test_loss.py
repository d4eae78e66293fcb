from __future__ import annotations

import numpy as np
import pytest
import torch
from crawl2chat.train.loader import IGNORED
from crawl2chat.train.loss import losses
from torch import Tensor, nn


class Logits(nn.Module):
    """Gives the same logits for any input."""

    def __init__(self, logits_BTV: Tensor) -> None:
        super().__init__()
        self.logits_BTV = nn.Parameter(logits_BTV)

    def forward(self, tokens_BT: Tensor) -> Tensor:
        return self.logits_BTV


def test_z_loss_is_the_square_of_log_z_over_counted_targets_and_stays_out_of_the_reported_loss() -> None:
    logits = torch.tensor([[[1.0, 2.0], [0.0, 3.0], [5.0, 5.0]]])
    targets = np.array([[1, 0, IGNORED]])
    model, cpu = Logits(logits), torch.device("cpu")
    nats, objective = losses(model, np.zeros((1, 3), dtype=np.int64), targets, "fp32", cpu, z_loss=0.1)
    log_z = [np.log(np.exp([1.0, 2.0]).sum()), np.log(np.exp([0.0, 3.0]).sum())]
    assert nats.item() == pytest.approx(log_z[0] - 2.0 + log_z[1] - 0.0, rel=1e-6)
    assert objective.item() - nats.item() == pytest.approx(0.1 * (log_z[0] ** 2 + log_z[1] ** 2), rel=1e-5)
    objective.backward()
    # d objective / d logit = softmax · (1 + 2 · z_loss · log Z) - [target]; nothing of the place that does not count
    softmax = logits[0, :2].softmax(-1).numpy()
    expected = softmax * (1 + 0.2 * np.array(log_z)[:, None]) - np.eye(2)[[1, 0]]
    assert model.logits_BTV.grad is not None
    np.testing.assert_allclose(model.logits_BTV.grad[0, :2].numpy(), expected, rtol=1e-5)
    assert model.logits_BTV.grad[0, 2].abs().sum() == 0


def test_without_it_the_two_are_one() -> None:
    model = Logits(torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(1)))
    targets = np.array([[0, 1, 2], [3, 4, IGNORED]])
    nats, objective = losses(model, np.zeros((2, 3), dtype=np.int64), targets, "fp32", torch.device("cpu"))
    assert nats is objective
