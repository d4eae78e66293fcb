"""What a training step holds in the memory of one rank, computed from the configuration.

Exact: weights, gradients, and the optimizer's state. Counted tensor by tensor, for PyTorch's kernels run one by one:
what the forward pass keeps for the backward pass. Not counted: buffers that live within one operation, the allocator's
rounding, the process itself.

n tokens in a micro-batch of a rank, D width, A = heads · head_size, G = kv_heads · head_size, F inner width.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import prod
from typing import Literal

from .config import ModelConfig

Strategy = Literal["single", "ddp", "fsdp"]
Checkpointing = Literal["none", "selective", "full"]
FLOAT, INT = 4, 8


@dataclass(frozen=True)
class Memory:
    """Bytes on the rank that holds most."""

    weights: int
    gradients: int
    optimizer: int
    copies: int  # of weights: gathered from other ranks, or cast to the precision that is computed in
    activations: int  # kept from the forward pass for the backward pass
    recomputed: int  # of one block, again, with activation checkpointing

    @property
    def total(self) -> int:
        return sum(getattr(self, item.name) for item in fields(self))


def memory(
    config: ModelConfig,
    rows: int,
    strategy: Strategy = "single",
    ranks: int = 1,
    precision: Literal["fp32", "bf16"] = "fp32",
    checkpointing: Checkpointing = "none",
    muon: bool = False,
    z_loss: bool = False,
    unit_parameters: int = 1 << 20,
) -> Memory:
    """The memory of a rank that computes `rows` rows of a whole context at a time.

    `ranks` are those that one copy of the model is sharded over. Blocks of fewer than `unit_parameters` are gathered
    with the root (train/sharding.py).
    """
    parts = ranks if strategy == "fsdp" else 1
    shapes = config.shapes()
    held = {name: _shard(shape, parts) for name, shape in shapes.items()}
    weights = FLOAT * sum(held.values())
    optimizer = sum(_states(name, shapes[name], muon) * FLOAT * count + FLOAT for name, count in held.items())
    low = 2 if precision == "bf16" else FLOAT
    kept = activations(config, rows, precision, strategy, checkpointing, z_loss)
    tokens = rows * config.context
    again = _Bytes(config, precision, strategy).block() * tokens if checkpointing != "none" else 0
    copies = _gathered(config, low, unit_parameters) if strategy == "fsdp" else _cast(config, precision)
    buckets = 2 if strategy == "ddp" else 1  # DistributedDataParallel sends gradients in buckets of its own
    return Memory(weights, weights * buckets, optimizer, copies, kept, again)


def activations(
    config: ModelConfig,
    rows: int,
    precision: Literal["fp32", "bf16"] = "fp32",
    strategy: Strategy = "single",
    checkpointing: Checkpointing = "none",
    z_loss: bool = False,
) -> int:
    """Bytes that the forward pass, with the loss, keeps for the backward pass; z-loss keeps the logits too."""
    count = _Bytes(config, precision, strategy)
    block = {"none": count.block, "selective": count.products, "full": count.block_input}[checkpointing]()
    logits = FLOAT * config.vocab_size if z_loss else 0
    return rows * config.context * (config.layers * block + count.rest() + logits)


@dataclass(frozen=True)
class _Bytes:
    """Bytes a token. In bf16 a whole model runs under autocast, which keeps the residual stream and norms in float32
    and casts the input of each linear layer apart; a sharded one is in bf16 but for RMSNorm's inner values."""

    config: ModelConfig
    precision: str
    strategy: str

    @property
    def low(self) -> int:
        return 2 if self.precision == "bf16" else FLOAT

    @property
    def autocast(self) -> bool:
        return self.precision == "bf16" and self.strategy != "fsdp"

    @property
    def stream(self) -> int:
        return FLOAT if self.autocast else self.low

    def norm(self, size: int, dtype: int, groups: int = 1) -> int:
        """What a norm keeps of its own, for an input of so many bytes a number: the input and its statistics.

        RMSNorm in other precisions than float32 keeps the input and the normed input in float32 (model/norms.py).
        """
        if self.config.norm == "layer":
            return groups * (dtype * size + 2 * FLOAT)
        return groups * ((FLOAT if dtype == FLOAT else 2 * FLOAT) * size + FLOAT)

    def into_linear(self, size: int, layers: int) -> int:
        """The input of so many linear layers."""
        return self.low * size * (layers if self.autocast else 1)

    def attention(self) -> int:
        """Queries, keys and values as attention sees them, what comes out, and the sums of its softmax."""
        c = self.config
        grouped = c.kv_heads * c.head_size
        normed = self.norm(c.head_size, self.low, c.heads + c.kv_heads) if c.qk_norm else 0
        return normed + self.low * (2 * c.attention_width + 2 * grouped) + FLOAT * c.heads

    def inner(self) -> int:
        """SwiGLU: gate, its activation, up, their product; GELU: before and after; ReLU: after."""
        copies = {"swiglu": 4, "gelu_tanh": 2, "relu": 1}[self.config.activation]
        return copies * self.low * self.config.feed_forward

    def block(self) -> int:
        width = self.config.width
        linears = self.into_linear(width, 3) + self.into_linear(width, 2 if self.config.gated else 1)
        return 2 * self.norm(width, self.stream) + linears + self.attention() + self.inner()

    def block_input(self) -> int:
        return self.stream * self.config.width

    def products(self) -> int:
        """With selective checkpointing: the block's input, and what products of matrices and attention give."""
        c = self.config
        given = 2 * c.attention_width + 2 * c.kv_heads * c.head_size + 2 * c.width
        given += (2 if c.gated else 1) * c.feed_forward
        return self.block_input() + self.low * given + FLOAT * c.heads

    def rest(self) -> int:
        """The last norm, the input of the head, the loss's log-probabilities in float32, tokens and targets."""
        c = self.config
        last = 0 if c.post_norm else self.norm(c.width, self.stream)
        return last + self.into_linear(c.width, 1) + FLOAT * c.vocab_size + 2 * INT


def _shard(shape: tuple[int, ...], parts: int) -> int:
    """Numbers of a parameter that the first rank holds: FSDP2 cuts the first dimension into equal parts, rounded up."""
    return -(-shape[0] // parts) * prod(shape[1:])


def _states(name: str, shape: tuple[int, ...], muon: bool) -> int:
    """Numbers that the optimizer keeps for each of a parameter's: AdamW two averages, Muon a momentum."""
    matrix = name.startswith("blocks.") and len(shape) == 2
    return 1 if muon and matrix else 2


def _cast(config: ModelConfig, precision: str) -> int:
    """Autocast keeps a bf16 copy of each linear layer's weights from the forward to the backward pass."""
    if precision == "fp32":
        return 0
    looked_up = {"position_embedding.weight"} | (set() if config.tied_embeddings else {"embedding.weight"})
    linear = (prod(shape) for name, shape in config.shapes().items() if len(shape) == 2 and name not in looked_up)
    return 2 * sum(linear)


def _gathered(config: ModelConfig, low: int, unit_parameters: int) -> int:
    """The root's unit is whole from its forward to its backward pass; of larger blocks two are, one fetched ahead."""
    sizes = {name: prod(shape) for name, shape in config.shapes().items()}
    block = sum(size for name, size in sizes.items() if name.startswith("blocks.0."))
    if block < unit_parameters:
        return low * sum(sizes.values())
    root = sum(size for name, size in sizes.items() if not name.startswith("blocks."))
    return low * (root + min(2, config.layers) * block)
