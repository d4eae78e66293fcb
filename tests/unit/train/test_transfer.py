"""What `model.transfer` makes of the optimizer's settings, and that at the base shape it makes nothing of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from crawl2chat.core.settings_optimizer import Muon, Optimizer
from crawl2chat.core.settings_parallel import Parallel
from crawl2chat.model.config import ModelConfig
from crawl2chat.model.transfer import Transfer
from crawl2chat.model.transformer import Transformer
from crawl2chat.train import checkpoints
from crawl2chat.train.job import Job
from crawl2chat.train.metrics import read_metrics
from crawl2chat.train.muon import MuonAdamW
from crawl2chat.train.optimizer import make_optimizer
from crawl2chat.train.worker import run_training
from crawl2chat.train.world import World

from .ranks import on_ranks

SETTINGS = Optimizer(learning_rate=0.01, weight_decay=0.1, eps=1e-6, head_learning_rate=0.02)
ADAMW = {  # at m_N = 4, m_L = 3: learning rate, weight decay, eps
    "blocks.1.attention.query.weight": (0.01 / 4, 0.4, 1e-6 / 12),
    "blocks.2.attention.output.weight": (0.01 / 4, 0.4, 1e-6 / 12),
    "blocks.0.feed_forward.down.weight": (0.01 / 4, 0.4, 1e-6 / 12),
    "blocks.0.feed_forward.down.bias": (0.01, 0.0, 1e-6 / 12),
    "blocks.0.attention_norm.weight": (0.01, 0.0, 1e-6 / 12),
    "blocks.0.attention.query_norm.weight": (0.01, 0.0, 1e-6 / 3),
    "blocks.0.attention.key_norm.weight": (0.01, 0.0, 1e-6 / 3),
    "norm.weight": (0.01, 0.0, 1e-6 / 4),
    "norm.bias": (0.01, 0.0, 1e-6 / 4),
    "embedding.weight": (0.01, 0.1, 1e-6 / 4),
    "position_embedding.weight": (0.01, 0.1, 1e-6 / 4),
    "head.weight": (0.02, 0.1, 1e-6 / 4),
}


@pytest.fixture
def large(small: ModelConfig) -> ModelConfig:
    """m_N = 4, m_L = 3, with every kind of parameter."""
    return replace(
        small, layers=6, width=64, heads=8, kv_heads=4, head_size=8, feed_forward=128, norm="layer", bias=True,
        positions="learned", tied_embeddings=False, transfer=Transfer(16, 2),
    )  # fmt: skip


def groups_of(model: Transformer, settings: Optimizer) -> dict[str, dict[str, Any]]:
    """The group of each parameter; every one is in one."""
    groups = make_optimizer(model, settings).param_groups
    by_parameter = {parameter: group for group in groups for parameter in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(by_parameter) == len(list(model.parameters()))
    return {name: by_parameter[parameter] for name, parameter in model.named_parameters()}


def test_rates_decay_and_eps_by_kind(large: ModelConfig) -> None:
    found = groups_of(Transformer(large), SETTINGS)
    for name, (rate, decay, eps) in ADAMW.items():
        assert found[name]["lr_ratio"] * 0.01 == pytest.approx(rate), name
        assert found[name]["weight_decay"] == pytest.approx(decay), name
        assert found[name]["eps"] == pytest.approx(eps), name


@pytest.mark.parametrize(("match_adamw", "down"), [(False, 1.0), (True, 2.0)])
def test_muons_rate_falls_by_the_root_where_its_updates_have_adamws_size(
    large: ModelConfig, match_adamw: bool, down: float
) -> None:
    muon = Muon(learning_rate=0.03, match_adamw=match_adamw)
    found = groups_of(Transformer(large), SETTINGS.model_copy(update={"muon": muon}))
    matrix, gain = found["blocks.1.attention.query.weight"], found["blocks.0.attention_norm.weight"]
    assert matrix["lr_ratio"] * 0.01 == pytest.approx(0.03 / down)
    assert matrix["weight_decay"] == pytest.approx(0.1 * down)
    assert gain["lr_ratio"] == 1.0 and gain["eps"] == pytest.approx(1e-6 / 12)


@pytest.mark.parametrize("match_adamw", [False, True])
@pytest.mark.parametrize("rows_per_column", [3, 1, 1 / 3])
def test_muon_changes_what_a_layer_gives_alike_at_every_width(match_adamw: bool, rows_per_column: float) -> None:
    """Of a gradient as one token gives it, an outer product, for the input that gave it."""
    changes = []
    for width in (48, 192, 768):
        rows, columns = int(width * max(1, rows_per_column)), int(width * max(1, 1 / rows_per_column))
        shape = ModelConfig(97, 2, width, 4, 4, 3 * width, 16, transfer=Transfer(48, 2))
        settings = Optimizer(muon=Muon(match_adamw=match_adamw))
        group = make_optimizer(Transformer(shape), settings).param_groups[0]
        weight = torch.nn.Parameter(torch.zeros(rows, columns))
        generator = torch.Generator().manual_seed(width)
        x, y = (torch.randn(n, generator=generator) for n in (columns, rows))
        x = x / x.square().mean().sqrt()
        weight.grad = torch.outer(y, x)
        MuonAdamW([{**group, "params": [weight], "lr": group["lr_ratio"]}]).step()
        changes.append((weight.detach() @ x).square().mean().sqrt().item())
    assert max(changes) / min(changes) < 1.01, changes


def test_at_the_base_training_is_that_without_transfer_bit_by_bit(job: Job) -> None:
    base = Transfer(job.model.width, job.model.layers, job.model.head_size)
    folders = job.folder, job.folder.parent / "base", job.folder.parent / "wide"
    shapes = job.model, replace(job.model, transfer=base), replace(job.model, transfer=Transfer(4, 1))
    for folder, shape in zip(folders, shapes, strict=True):
        run_training(replace(job, folder=folder, model=shape), World())
    standard, same, other = (weights(folder) for folder in folders)
    assert all(torch.equal(same[name], tensor) for name, tensor in standard.items())
    assert not any(torch.equal(other[name], tensor) for name, tensor in standard.items())


def weights(folder: Any) -> dict[str, torch.Tensor]:
    return checkpoints.load_for_inference(folder / "checkpoints" / "step_000020")[0].state_dict()


def train_rank(world: World, job: Job) -> None:
    run_training(job, world)


@pytest.mark.parametrize("muon", [None, Muon(learning_rate=0.02, match_adamw=True)], ids=["adamw", "muon"])
def test_two_ranks_train_as_one_does(job: Job, muon: Muon | None) -> None:
    settings = job.optimizer.model_copy(update={"muon": muon})
    alone = replace(job, model=replace(job.model, transfer=Transfer(4, 1, 4)), optimizer=settings, unit_parameters=1)
    ddp = replace(alone, folder=job.folder.parent / "ddp", parallel=Parallel(strategy="ddp"))
    fsdp = replace(alone, folder=job.folder.parent / "fsdp")
    run_training(alone, World())
    on_ranks((2, train_rank, (ddp,)), (2, train_rank, (fsdp,)))
    mine = {row["step"]: row["loss"] for row in read_metrics(alone.folder) if "loss" in row}
    assert mine[20] < mine[4]
    for other in (ddp, fsdp):
        theirs = {row["step"]: row["loss"] for row in read_metrics(other.folder) if "loss" in row}
        assert theirs == pytest.approx(mine, rel=1e-5), other.folder.name
