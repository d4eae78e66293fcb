from __future__ import annotations

import torch
from crawl2chat.core.settings_training import Optimizer
from crawl2chat.model.config import ModelConfig
from crawl2chat.model.transformer import Transformer
from crawl2chat.train.optimizer import adamw


def test_matrices_decay_and_gains_do_not(small: ModelConfig) -> None:
    model = Transformer(small)
    model.init_weights(1)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = adamw(model, Optimizer(learning_rate=0.5, weight_decay=0.1))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()  # a zero gradient leaves nothing but the decay: p · (1 - lr · decay)
    for name, parameter in model.named_parameters():
        factor = 0.95 if parameter.dim() >= 2 else 1.0
        torch.testing.assert_close(parameter.detach(), before[name] * factor)


def test_every_parameter_is_in_one_group(small: ModelConfig) -> None:
    model = Transformer(small)
    groups = adamw(model, Optimizer()).param_groups
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
