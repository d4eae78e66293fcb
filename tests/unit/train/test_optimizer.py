from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from crawl2chat.core.settings_optimizer import Muon, Optimizer
from crawl2chat.model.config import ModelConfig
from crawl2chat.model.transformer import Transformer
from crawl2chat.train.optimizer import make_optimizer


@pytest.mark.parametrize("decay_embeddings", [True, False])
def test_matrices_decay_gains_do_not_and_embeddings_by_choice(small: ModelConfig, decay_embeddings: bool) -> None:
    model = Transformer(small)
    model.init_weights(1)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    settings = Optimizer(learning_rate=0.5, weight_decay=0.1, decay_embeddings=decay_embeddings)
    optimizer = make_optimizer(model, settings)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()  # a zero gradient leaves nothing but the decay: p · (1 - lr · decay)
    for name, parameter in model.named_parameters():
        decays = parameter.dim() >= 2 and (decay_embeddings or not name.startswith("embedding"))
        torch.testing.assert_close(parameter.detach(), before[name] * (0.95 if decays else 1.0))


def test_every_parameter_is_in_one_group_with_its_kinds_rate(small: ModelConfig) -> None:
    model = Transformer(replace(small, tied_embeddings=False))
    settings = Optimizer(
        learning_rate=0.01, embedding_learning_rate=0.04, head_learning_rate=0.002, muon=Muon(learning_rate=0.03)
    )
    groups = make_optimizer(model, settings).param_groups
    rates = {p: group["lr_ratio"] * 0.01 for group in groups for p in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(rates) == len(list(model.parameters()))
    assert rates[model.embedding.weight] == pytest.approx(0.04)
    assert model.head is not None and rates[model.head.weight] == pytest.approx(0.002)
    assert rates[model.norm.weight] == rates[next(model.blocks[1].parameters())] == pytest.approx(0.01)
    assert all(rates[p] == pytest.approx(0.03) for p in model.blocks.parameters() if p.dim() == 2)
