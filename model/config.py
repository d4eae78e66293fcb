"""The shape of a model: what comes in are the recipe's settings and the tokenizer's vocabulary size, what goes out is a
checked, frozen `ModelConfig` that counts its own parameters and FLOPs, and that checkpoints carry as a dict."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from ..core.errors import ContractError, RecipeError
from ..core.recipe import misfit
from ..core.settings_training import Model


@dataclass(frozen=True)
class ModelConfig:
    """A decoder-only transformer. Fields as in the recipe's section `model`, and the vocabulary's size."""

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

    def __post_init__(self) -> None:
        for name in ("vocab_size", "layers", "width", "heads", "kv_heads", "feed_forward", "context"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise RecipeError(f"model.{name} is {value!r}", f"set model.{name} to a whole number of at least 1")
        _divides("heads", self.heads, "width", self.width)
        _divides("kv_heads", self.kv_heads, "heads", self.heads)
        if self.head_size % 2:
            raise RecipeError(
                f"model.width / model.heads is {self.head_size}: rotary positions need an even head size",
                "set model.heads so that model.width / model.heads is even",
            )
        for name in ("rope_theta", "norm_eps"):
            if getattr(self, name) <= 0:
                raise RecipeError(f"model.{name} is {getattr(self, name)}", f"set model.{name} above 0")

    @classmethod
    def from_settings(cls, settings: Model, vocab_size: int) -> ModelConfig:
        """The recipe's section `model` with the vocabulary size of the tokenizer."""
        shape = {item.name: getattr(settings, item.name) for item in fields(cls) if item.name != "vocab_size"}
        return cls(vocab_size=vocab_size, **shape)

    @property
    def head_size(self) -> int:
        return self.width // self.heads

    def parameters(self) -> int:
        """Number of parameters, exactly as `sum(p.numel() for p in Transformer(config).parameters())`."""
        embedding = self.vocab_size * self.width
        attention = 2 * self.width * self.head_size * (self.heads + self.kv_heads)  # query and output, key and value
        norms = 2 * self.width + (2 * self.head_size if self.qk_norm else 0)
        block = attention + 3 * self.width * self.feed_forward + norms
        return embedding * (1 if self.tied_embeddings else 2) + self.layers * block + self.width

    def flops_per_token(self) -> int:
        """FLOPs of forward and backward for one token of a full context: 6 N + 12 · layers · width · context.

        PaLM (Chowdhery et al. 2022), appendix B: 2 FLOPs a parameter forward and 4 backward, plus the two products of
        attention (scores, and weights times values), not halved for causality. N leaves out an untied input embedding:
        a look-up multiplies nothing.
        """
        lookup = 0 if self.tied_embeddings else self.vocab_size * self.width
        return 6 * (self.parameters() - lookup) + 12 * self.layers * self.width * self.context

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> ModelConfig:
        """The inverse of to_dict. Raises ContractError when another version of the program wrote other fields."""
        known = {item.name for item in fields(cls)}
        needed = {"vocab_size", "layers", "width", "heads", "kv_heads", "feed_forward", "context"}
        wrong = sorted(set(raw) - known) + sorted(needed - set(raw))
        if wrong:
            raise ContractError(
                f"a model configuration with the fields {sorted(raw)}, but this program reads {sorted(known)}: "
                f"{wrong[0]} is missing or unknown",
                "use the version of crawl2chat that wrote it",
            )
        return cls(**raw)


def _divides(part_name: str, part: int, whole_name: str, whole: int) -> None:
    if wrong := misfit(f"model.{part_name}", part, f"model.{whole_name}", whole):
        raise RecipeError(*wrong)
