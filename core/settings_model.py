"""The recipe's section for the model: a family gives every option a value, and any of them may be set otherwise.

A family is a row of the table below and nothing else: the transformer reads options, never a family's name.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal, Protocol

from pydantic import Field

from .section import Section, misfit

Norm = Literal["rms", "layer"]
Positions = Literal["rotary", "learned", "sinusoidal"]
Activation = Literal["swiglu", "gelu_tanh", "relu"]


@dataclass(frozen=True)
class Options:
    """How the parts of a transformer are built."""

    norm: Norm = "rms"
    positions: Positions = "rotary"
    activation: Activation = "swiglu"
    bias: bool = False
    post_norm: bool = False
    qk_norm: bool = False
    scale_embedding: bool = False
    tied_embeddings: bool = True
    norm_eps: float = 1e-6


@dataclass(frozen=True)
class Family:
    """Options, and the proportions that a shape has when the recipe leaves them open."""

    options: Options
    queries_per_kv: int = 1  # heads / kv_heads
    feed_forward_widths: int = 3  # feed_forward / width


FAMILIES: dict[str, Family] = {
    "qwen3": Family(Options(qk_norm=True), queries_per_kv=2),
    "llama": Family(Options(norm_eps=1e-5), queries_per_kv=2),
    "gpt2": Family(
        Options(norm="layer", positions="learned", activation="gelu_tanh", bias=True, norm_eps=1e-5),
        feed_forward_widths=4,
    ),
    "transformer2017": Family(
        Options("layer", "sinusoidal", "relu", bias=True, post_norm=True, scale_embedding=True),
        feed_forward_widths=4,
    ),
}


class Transfer(Section):
    """The shape at which learning rates and first weights were found, to carry them over to the model's own (muP, Yang
    et al. 2022, and CompleteP, Dey et al. 2025: docs/model.md)."""

    base_width: int = Field(ge=1)
    base_layers: int = Field(ge=1)
    base_head_size: int | None = Field(
        default=None, ge=1, description="scores of attention over head_size, not its root; null: as without transfer"
    )


class Model(Section):
    """A decoder-only transformer. A key that is null has its family's value; the vocabulary's size is the tokenizer's.

    kv_heads of null is heads / 2 (qwen3 and llama, where it divides) or heads; feed_forward of null is 3 or 4 widths.
    """

    family: Literal["qwen3", "llama", "gpt2", "transformer2017"] = "qwen3"
    layers: int = Field(default=4, ge=1)
    width: int = Field(default=128, ge=8, description="of the residual stream")
    heads: int = Field(default=4, ge=1, description="query heads")
    kv_heads: int | None = Field(
        default=None, ge=1, description="key and value heads; each serves heads / kv_heads query heads"
    )
    head_size: int | None = Field(default=None, ge=1, description="null: width / heads")
    feed_forward: int | None = Field(default=None, ge=8, description="inner width")
    context: int = Field(default=256, ge=8, description="tokens in a training row, and the longest prompt plus answer")
    rope_theta: float = Field(default=10_000.0, gt=0, description="base of rotary and sinusoidal angles")
    norm: Norm | None = None
    positions: Positions | None = None
    activation: Activation | None = None
    bias: bool | None = Field(default=None, description="of linear layers and of layer norms")
    post_norm: bool | None = Field(default=None, description="norm after each sum, as in 2017, not before each half")
    qk_norm: bool | None = None
    scale_embedding: bool | None = Field(default=None, description="embeddings times sqrt(width)")
    tied_embeddings: bool | None = None
    norm_eps: float | None = Field(default=None, gt=0)
    transfer: Transfer | None = Field(default=None, description="null: the standard parametrisation")

    def settled(self) -> Model:
        """The same with no option left null. The shape still has to be checked: see `shape_fault`."""
        family = FAMILIES[self.family]
        values = self.model_dump()
        open_options = {name: value for name, value in asdict(family.options).items() if values[name] is None}
        grouped = self.heads // family.queries_per_kv if self.heads % family.queries_per_kv == 0 else self.heads
        return self.model_copy(
            update=open_options
            | {
                "kv_heads": self.kv_heads or grouped,
                "head_size": self.head_size or self.width // self.heads,
                "feed_forward": self.feed_forward or family.feed_forward_widths * self.width,
            }
        )

    def fault(self) -> tuple[str, str] | None:
        """What is wrong with the section as a whole, and the fix; None when nothing is."""
        if self.head_size is None and (wrong := misfit("model.heads", self.heads, "model.width", self.width)):
            return wrong
        return shape_fault(self.settled())


class Shape(Protocol):
    """What `shape_fault` reads: the settled section here, the configuration in model/."""

    @property
    def width(self) -> int: ...
    @property
    def heads(self) -> int: ...
    @property
    def kv_heads(self) -> int | None: ...
    @property
    def head_size(self) -> int | None: ...
    @property
    def positions(self) -> str | None: ...
    @property
    def post_norm(self) -> bool | None: ...
    @property
    def transfer(self) -> object | None: ...


def shape_fault(shape: Shape) -> tuple[str, str] | None:
    """What does not fit together in a shape without open values, and the fix; None when all fits."""
    if wrong := misfit("model.kv_heads", shape.kv_heads or shape.heads, "model.heads", shape.heads):
        return wrong
    if shape.positions == "rotary" and (shape.head_size or 0) % 2:
        return (
            f"the head size is {shape.head_size} (model.head_size, or model.width / model.heads): "
            "rotary positions need an even one",
            "set model.head_size, or set model.heads so that model.width / model.heads is even",
        )
    if shape.positions == "sinusoidal" and shape.width % 2:
        return (
            f"model.width is {shape.width}: sinusoidal positions need an even width",
            "set model.width to an even one",
        )
    if shape.transfer is not None and shape.post_norm:
        return (
            "model.transfer is given, but model.post_norm is true: a norm after each sum undoes the share that a block "
            "adds to the residual stream",
            "set model.post_norm=false, or model.transfer=null",
        )
    return None
