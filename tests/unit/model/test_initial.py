"""First weights: as spread as stated, decided by the seed alone, sharded or not."""

from __future__ import annotations

import math

import pytest
import torch
import torch.distributed as dist
from crawl2chat.model.transformer import Transformer
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.testing._internal.distributed.fake_pg import FakeStore


@pytest.mark.parametrize("family", ["qwen3", "gpt2"])
def test_initialisation_has_the_stated_spread(family: str, config_of) -> None:
    model = Transformer(config_of(family, width=128, feed_forward=256, layers=8, context=200, tied_embeddings=False))
    model.init_weights(1)
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:
            assert torch.equal(parameter, torch.full_like(parameter, float(name.endswith("weight")))), name
            continue
        into_residual = name.endswith(("output.weight", "down.weight"))
        assert parameter.std().item() == pytest.approx(0.02 / 4 if into_residual else 0.02, rel=0.03), name
        assert abs(parameter.mean().item()) < 5e-4, name


def test_under_transfer_matrices_of_blocks_are_narrower_and_the_layers_are_the_bases(config_of) -> None:
    transfer = {"base_width": 32, "base_layers": 2}
    settings = {"width": 128, "feed_forward": 384, "layers": 8, "tied_embeddings": False, "transfer": transfer}
    model = Transformer(config_of("qwen3", **settings))
    model.init_weights(1)
    for name, parameter in model.named_parameters():
        if parameter.dim() == 2:
            into_residual = name.endswith(("output.weight", "down.weight"))
            std = 0.02 / 2 / (2 if into_residual else 1) if name.startswith("blocks.") else 0.02
            assert parameter.std().item() == pytest.approx(std, rel=0.03), name


def test_initialisation_depends_on_the_seed_alone(config_of) -> None:
    first, second, other = (Transformer(config_of("gpt2")) for _ in range(3))
    first.init_weights(7)
    torch.manual_seed(99)
    second.init_weights(7)
    other.init_weights(8)
    ours, same, different = (dict(model.named_parameters()) for model in (first, second, other))
    assert all(torch.equal(ours[name], same[name]) for name in ours)
    assert not any(torch.equal(ours[name], different[name]) for name in ours if ours[name].dim() == 2)
    drawn = [parameter.flatten()[:8].tolist() for parameter in ours.values() if parameter.dim() == 2]
    assert len({tuple(values) for values in drawn}) == len(drawn)  # no two parameters share their numbers


def test_initialisation_of_a_sharded_model(family_config) -> None:
    """Parameters that FSDP2 has split among processes become the parts of what one process would have drawn.

    Shown for the second of two processes, without the first: nothing is sent.
    """
    whole = Transformer(family_config)
    whole.init_weights(7)
    dist.init_process_group("fake", store=FakeStore(), rank=1, world_size=2)
    try:
        with torch.device("meta"):
            sharded = Transformer(family_config)
        mesh = init_device_mesh("cpu", (2,))
        for module in (*sharded.blocks, sharded):
            fully_shard(module, mesh=mesh)
        sharded.to_empty(device="cpu")
        sharded.init_weights(7)
        for name, parameter in sharded.named_parameters():
            assert isinstance(parameter, DTensor)
            part = dict(whole.named_parameters())[name].chunk(2)[1]
            assert torch.equal(parameter.to_local(), part), name
    finally:
        dist.destroy_process_group()


def test_a_new_model_knows_nothing(family_config, tokens_of) -> None:
    """Its loss is that of a uniform guess."""
    model = Transformer(family_config)
    model.init_weights(7)
    tokens, targets = tokens_of(family_config, batch=16), tokens_of(family_config, batch=16, seed=6)
    loss = torch.nn.functional.cross_entropy(model(tokens).flatten(0, 1), targets.flatten())
    assert loss.item() == pytest.approx(math.log(family_config.vocab_size), rel=0.02)
