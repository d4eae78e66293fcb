"""The scaling table: model shapes with the settings that they are trained with (tune/scaling_table.yaml).

NAME: {layers, width, heads, …, batch_tokens, tokens, learning_rate, …, source, measured: [KEY], derived: [KEY]}
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, model_validator

from ..core.settings_data import Section
from ..core.settings_model import Activation, Model
from ..model.config import ModelConfig

TABLE = Path(__file__).parent / "scaling_table.yaml"


class Shape(Section):
    """A model without its vocabulary, keys as in the recipe's section `model`; null is what the family says."""

    family: Literal["qwen3", "llama", "gpt2"] = "qwen3"
    layers: int = Field(ge=1)
    width: int = Field(ge=8)
    heads: int = Field(ge=1)
    kv_heads: int = Field(ge=1)
    head_size: int = Field(ge=1)
    feed_forward: int = Field(ge=8)
    context: int = Field(ge=8)
    activation: Activation | None = None
    tied_embeddings: bool | None = None

    def model(self) -> Model:
        """The shape as the recipe's section `model`; what the table does not say has that section's defaults."""
        return Model(**self.model_dump(include=set(Shape.model_fields)))

    def config(self, vocab_size: int) -> ModelConfig:
        """The shape as a model with this vocabulary. Raises RecipeError when heads and kv_heads do not fit."""
        return ModelConfig.from_settings(self.model(), vocab_size)

    def parameters_without_embedding(self) -> int:
        """Without the tables of tokens and of learned positions; an output layer of its own is such a table too."""
        config = self.config(vocab_size=1)
        tables = (1 if config.tied_embeddings else 2) * self.width
        tables += self.context * self.width if config.positions == "learned" else 0
        return config.parameters() - tables


class Row(Shape):
    """One line of the table. `source` says where its numbers are from, except those that `measured` and `derived` name:
    measured by searches of this project (docs/scaling.md), or derived from the laws of tune/laws.py."""

    vocab_size: int = Field(ge=1)
    batch_tokens: float = Field(gt=0, description="tokens a step")
    tokens: float = Field(gt=0, description="of the whole training")
    learning_rate: float = Field(gt=0, description="peak")
    weight_decay: float = Field(ge=0)
    warmup_tokens: float = Field(ge=0, description="over which the learning rate rises")
    source: str
    published_parameters: float | None = Field(default=None, gt=0, description="as the source counts them")
    corrected: str | None = Field(default=None, description="what differs from the source, and why")
    measured: list[str] = Field(default=[])
    derived: list[str] = Field(default=[])
    beyond: list[str] = Field(default=[], description="where a law was read outside the points it was fitted to")

    @model_validator(mode="after")
    def _marks_name_keys(self) -> Row:
        for key in [*self.measured, *self.derived]:
            if key not in Row.model_fields:
                raise ValueError(f"measured and derived name keys of the row, and {key!r} is none")
        return self

    def own_config(self) -> ModelConfig:
        """The row as a model with the row's own vocabulary."""
        return self.config(self.vocab_size)

    def mark(self, key: str) -> str:
        """Where the value of a key is from: published, measured or derived."""
        return "measured" if key in self.measured else "derived" if key in self.derived else "published"


def load_table(path: Path = TABLE) -> dict[str, Row]:
    """All rows by name, in the order of the file."""
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {str(name): Row.model_validate(row) for name, row in raw.items()}
