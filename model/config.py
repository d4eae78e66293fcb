"""The shape of a model: what comes in are the recipe's settings and the tokenizer's vocabulary size, what goes out is a
checked, frozen `ModelConfig` that lists its own parameters, counts its FLOPs, and that checkpoints carry as a dict."""

from __future__ import annotations

import math
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, get_args

from ..core.errors import ContractError, RecipeError
from ..core.settings_model import Activation, Model, Norm, Positions, shape_fault
from .transfer import Transfer


@dataclass(frozen=True)
class RopeScaling:
    """Llama 3.1's stretching of rotary angles to contexts longer than the model was pretrained on.

    Wavelengths above original_context / low_frequency are multiplied by `factor`, those below
    original_context / high_frequency left alone, those between them interpolated (Llama 3.1's reference code, 2024).
    """

    factor: float
    low_frequency: float
    high_frequency: float
    original_context: int


@dataclass(frozen=True)
class ModelConfig:
    """A decoder-only transformer. Fields as in the recipe's section `model`, settled, and the vocabulary's size.

    The defaults of the options are what configurations of older checkpoints, which do not name them, mean.
    """

    vocab_size: int
    layers: int
    width: int
    heads: int
    kv_heads: int
    feed_forward: int
    context: int
    rope_theta: float = 10_000.0
    norm_eps: float = 1e-6
    qk_norm: bool = True
    tied_embeddings: bool = True
    head_size: int = 0  # becomes width / heads
    norm: Norm = "rms"
    positions: Positions = "rotary"
    activation: Activation = "swiglu"
    bias: bool = False
    post_norm: bool = False
    scale_embedding: bool = False
    rope_scaling: RopeScaling | None = None
    transfer: Transfer | None = None

    def __post_init__(self) -> None:
        if self.head_size == 0 and isinstance(self.heads, int) and self.heads > 0:
            if self.width % self.heads:
                _refuse(Model(width=self.width, heads=self.heads).fault())
            object.__setattr__(self, "head_size", self.width // self.heads)
        for name in ("vocab_size", "layers", "width", "heads", "kv_heads", "head_size", "feed_forward", "context"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise RecipeError(f"model.{name} is {value!r}", f"set model.{name} to a whole number of at least 1")
        for name, kind in (("norm", Norm), ("positions", Positions), ("activation", Activation)):
            if getattr(self, name) not in get_args(kind):
                raise RecipeError(f"model.{name} is {getattr(self, name)!r}", f"set it to one of {get_args(kind)}")
        for name in ("rope_theta", "norm_eps"):
            if getattr(self, name) <= 0:
                raise RecipeError(f"model.{name} is {getattr(self, name)}", f"set model.{name} above 0")
        _refuse(shape_fault(self))

    @classmethod
    def from_settings(cls, settings: Model, vocab_size: int) -> ModelConfig:
        """The recipe's section `model` with the vocabulary size of the tokenizer.

        Raises RecipeError when heads, kv_heads and width do not fit together.
        """
        _refuse(settings.fault())
        settled = settings.settled()
        named = [item.name for item in fields(cls) if item.name not in ("vocab_size", "rope_scaling", "transfer")]
        transfer = Transfer(**settled.transfer.model_dump()) if settled.transfer else None
        return cls(vocab_size=vocab_size, transfer=transfer, **{name: getattr(settled, name) for name in named})

    @property
    def gated(self) -> bool:
        """Whether the feed-forward part has a gate beside its inner projection."""
        return self.activation == "swiglu"

    @property
    def attention_width(self) -> int:
        """Of all query heads together: the width, unless head_size was given freely."""
        return self.heads * self.head_size

    @property
    def width_ratio(self) -> float:
        """m_N of model/transfer.py; 1 in the standard parametrisation."""
        return self.width / self.transfer.base_width if self.transfer else 1.0

    @property
    def depth_ratio(self) -> float:
        """m_L of model/transfer.py; 1 in the standard parametrisation."""
        return self.layers / self.transfer.base_layers if self.transfer else 1.0

    @property
    def score_scale(self) -> float | None:
        """Factor of attention's scores; None is 1 / sqrt(head_size), which muP's 1 / head_size equals at the base."""
        base = self.transfer.base_head_size if self.transfer else None
        return None if base in (None, self.head_size) else math.sqrt(base) / self.head_size

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every parameter, as `Transformer(config).named_parameters()` gives them, in its order."""
        found: dict[str, tuple[int, ...]] = {"embedding.weight": (self.vocab_size, self.width)}
        if self.positions == "learned":
            found["position_embedding.weight"] = (self.context, self.width)
        for layer in range(self.layers):
            found |= {f"blocks.{layer}.{name}": shape for name, shape in self._block().items()}
        if not self.post_norm:
            found |= self._norm("norm", self.width)
        if not self.tied_embeddings:
            found["head.weight"] = (self.vocab_size, self.width)
        return found

    def parameters(self) -> int:
        """Number of parameters, exactly as `sum(p.numel() for p in Transformer(config).parameters())`."""
        return sum(math.prod(shape) for shape in self.shapes().values())

    def parameters_in_blocks(self) -> int:
        """Of `parameters()`, those that are neither embeddings, nor the head, nor the last norm."""
        return self.layers * sum(math.prod(shape) for shape in self._block().values())

    def flops_per_token(self, context: int | None = None) -> int:
        """FLOPs of forward and backward for one token of a full row: 6 N + 12 · layers · heads · head_size · context.

        PaLM (Chowdhery et al. 2022), appendix B: 2 FLOPs a parameter forward and 4 backward, plus the two products of
        attention (scores, and weights times values), not halved for causality. N leaves out what is only looked up:
        learned positions, and an input embedding that is not the head too.
        """
        looked_up = 0 if self.tied_embeddings else self.vocab_size * self.width
        looked_up += self.context * self.width if self.positions == "learned" else 0
        return 6 * (self.parameters() - looked_up) + 12 * self.layers * self.attention_width * (context or self.context)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> ModelConfig:
        """The inverse of to_dict. Raises ContractError when another version of the program wrote other fields.

        Fields that older versions did not have yet may be missing: their defaults say what was meant.
        """
        known = {item.name for item in fields(cls)}
        needed = {item.name for item in fields(cls) if item.default is MISSING}
        wrong = sorted(set(raw) - known) + sorted(needed - set(raw))
        if wrong:
            raise ContractError(
                f"a model configuration with the fields {sorted(raw)}, but this program reads {sorted(known)}: "
                f"{wrong[0]} is missing or unknown",
                "use the version of crawl2chat that wrote it",
            )
        kinds = {"rope_scaling": RopeScaling, "transfer": Transfer}
        return cls(**{**raw, **{name: kind(**raw[name]) for name, kind in kinds.items() if raw.get(name)}})

    def _block(self) -> dict[str, tuple[int, ...]]:
        inner = self.attention_width
        grouped = self.kv_heads * self.head_size
        found = self._norm("attention_norm", self.width)
        for name, out in (("query", inner), ("key", grouped), ("value", grouped)):
            found |= self._linear(f"attention.{name}", out, self.width)
        found |= self._linear("attention.output", self.width, inner)
        if self.qk_norm:
            found |= self._norm("attention.query_norm", self.head_size) | self._norm(
                "attention.key_norm", self.head_size
            )
        found |= self._norm("feed_forward_norm", self.width)
        for name in ("gate", "up") if self.gated else ("up",):
            found |= self._linear(f"feed_forward.{name}", self.feed_forward, self.width)
        return found | self._linear("feed_forward.down", self.width, self.feed_forward)

    def _linear(self, name: str, out: int, into: int) -> dict[str, tuple[int, ...]]:
        return {f"{name}.weight": (out, into)} | ({f"{name}.bias": (out,)} if self.bias else {})

    def _norm(self, name: str, size: int) -> dict[str, tuple[int, ...]]:
        return {f"{name}.weight": (size,)} | ({f"{name}.bias": (size,)} if self.bias and self.norm == "layer" else {})


def _refuse(fault: tuple[str, str] | None) -> None:
    if fault is not None:
        raise RecipeError(*fault)
