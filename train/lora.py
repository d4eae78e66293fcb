"""LoRA (Hu et al. 2021, "Low-Rank Adaptation of Large Language Models"): a linear layer learns a small difference.

    y = W x + α / r · B A dropout(x)      A [rank r, inputs], B [outputs, r]; W and everything else is frozen

B begins as zero, so that training begins at the model that there was; A is uniform within ±1 / sqrt(inputs), as in the
authors' code. A layer keeps its place and the names of its weights, and has `lora_a` and `lora_b` beside them: a block
of the Transformer is still a unit of its own for FSDP2, weights of a checkpoint still find their places, and the
optimizer's kinds (train/optimizer.py) are those of the layers, matrix or head.

The order under sharding: `inject`, `shard`, memory, weights, then `init_lora`. Elsewhere `inject` alone will do.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from ..core.errors import RecipeError
from ..model.products import Linear, linear
from ..model.transformer import Transformer

TARGETS = ("query", "key", "value", "output", "gate", "up", "down", "head")


@dataclass(frozen=True)
class Lora:
    """Rank r, α, the dropout before A, and the layers by their last names. Raises RecipeError for what cannot be."""

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    targets: tuple[str, ...] = ("query", "value")

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise RecipeError(f"LoRA's rank is {self.rank}", "set it to at least 1")
        if not self.alpha > 0:
            raise RecipeError(f"LoRA's alpha is {self.alpha}", "set it above 0: twice the rank is usual")
        if not 0 <= self.dropout < 1:
            raise RecipeError(f"LoRA's dropout is {self.dropout}", "set it from 0 to below 1")
        unknown = sorted(set(self.targets) - set(TARGETS))
        if unknown or not self.targets:
            raise RecipeError(f"LoRA's targets are {list(self.targets)}", f"name some of: {', '.join(TARGETS)}")


class LoraLinear(Linear):
    """A linear layer with its difference. Takes over the parameters of the layer that it stands for."""

    def __init__(self, layer: Linear, lora: Lora) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.weight, self.bias = layer.weight, layer.bias
        self.scale, self.enabled = lora.alpha / lora.rank, True
        self.dropout = nn.Dropout(lora.dropout)
        self.lora_a = nn.Parameter(layer.weight.new_empty(lora.rank, layer.in_features))
        self.lora_b = nn.Parameter(layer.weight.new_empty(layer.out_features, lora.rank))

    def forward(self, input: Tensor) -> Tensor:
        y = super().forward(input)
        if not self.enabled:
            return y
        return y + self.scale * linear(linear(self.dropout(input), self.lora_a), self.lora_b)

    @torch.no_grad()
    def merged(self) -> Linear:
        """A plain layer with the difference in its weights, summed in float64 and rounded once."""
        assert not isinstance(self.weight, DTensor), "merge a whole model, not a sharded one"
        with torch.device("meta"):
            layer = Linear(self.in_features, self.out_features, bias=self.bias is not None)
        difference_OI = self.scale * (self.lora_b.double() @ self.lora_a.double())
        layer.weight = nn.Parameter((self.weight.double() + difference_OI).to(self.weight.dtype))
        if self.bias is not None:
            layer.bias = nn.Parameter(self.bias.detach())
        return layer


def inject(model: Transformer, lora: Lora, seed: int = 0) -> None:
    """Give the targets their differences, in place, and freeze all else. Before sharding, compiling and the optimizer.

    Raises RecipeError when the model has no such layer, has differences already, or has `model.transfer`: what its
    rates and first weights would be at another width is not derived for matrices of a fixed rank.
    """
    if model.config.transfer is not None:
        raise RecipeError("LoRA on a model with model.transfer", "fine-tune all of its weights")
    if any(isinstance(module, LoraLinear) for module in model.modules()):
        raise RecipeError("the model has LoRA layers already", "merge them first")
    found = [name for name, one in model.named_modules() if isinstance(one, Linear) and _last(name) in lora.targets]
    missing = [target for target in lora.targets if target not in map(_last, found)]
    if missing:
        raise RecipeError(f"the model has no layer {missing[0]} for LoRA", f"name some of: {', '.join(_layers(model))}")
    model.requires_grad_(False)
    for name in found:
        _replace(model, name, LoraLinear(_layer(model, name), lora))
    init_lora(model, seed)


@torch.no_grad()
def init_lora(model: Transformer, seed: int) -> None:
    """First A and B, by seed and name alone: the same for any number of ranks, sharded or not."""
    for name, parameter in lora_parameters(model):
        if parameter.is_meta:
            continue
        whole = torch.zeros(parameter.shape)
        if name.endswith("lora_a"):
            key = hashlib.sha256(f"{seed}/{name}".encode()).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(key[:8], "big", signed=True))
            bound = 1 / math.sqrt(parameter.shape[1])
            whole.uniform_(-bound, bound, generator=generator)
        whole = whole.to(parameter.dtype)
        if isinstance(parameter, DTensor):
            mesh = parameter.device_mesh
            whole = distribute_tensor(whole.to(mesh.device_type), mesh, parameter.placements, src_data_rank=None)
        parameter.copy_(whole)


def lora_parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Name and parameter of every A and B."""
    return ((name, one) for name, one in model.named_parameters() if _last(name) in ("lora_a", "lora_b"))


def merge(model: Transformer) -> None:
    """Put the differences into the weights, in place: a Transformer as any other, all of it trainable again."""
    for name in [name for name, module in model.named_modules() if isinstance(module, LoraLinear)]:
        layer = model.get_submodule(name)
        assert isinstance(layer, LoraLinear)
        _replace(model, name, layer.merged())
    model.requires_grad_(True)


@contextmanager
def without_lora(model: nn.Module) -> Iterator[None]:
    """The model as it was before, within the block: the reference of a preference loss without a second copy."""
    layers = [module for module in model.modules() if isinstance(module, LoraLinear)]
    before = [layer.enabled for layer in layers]
    for layer in layers:
        layer.enabled = False
    try:
        yield
    finally:
        for layer, enabled in zip(layers, before, strict=True):
            layer.enabled = enabled


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _layers(model: Transformer) -> list[str]:
    there = {_last(name) for name, module in model.named_modules() if isinstance(module, Linear)}
    return [target for target in TARGETS if target in there]


def _layer(model: Transformer, name: str) -> Linear:
    layer = model.get_submodule(name)
    assert isinstance(layer, Linear)
    return layer


def _replace(model: Transformer, name: str, layer: Linear) -> None:
    layer.train(model.get_submodule(name).training)
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, layer)
