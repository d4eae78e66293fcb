"""The scaling table: named model shapes, each with a learning rate to start a search from (tune/scaling_table.yaml)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml
from pydantic import Field

from ..core.errors import RecipeError
from ..core.settings_data import Section
from ..core.settings_model import Model
from ..model.config import ModelConfig

TABLE = Path(__file__).parent / "scaling_table.yaml"


class Row(Section):
    """One line of the table: the shape's keys as in the recipe's section `model`, and a learning rate."""

    layers: int = Field(ge=1)
    width: int = Field(ge=8)
    heads: int = Field(ge=1)
    kv_heads: int = Field(ge=1)
    feed_forward: int = Field(ge=8)
    context: int = Field(ge=8)
    learning_rate: float = Field(gt=0)

    def model(self) -> Model:
        """The row as the recipe's section `model`; what the table does not say has that section's defaults."""
        return Model(**self.model_dump(exclude={"learning_rate"}))

    def config(self, vocab_size: int) -> ModelConfig:
        """The row as a model with this vocabulary. Raises RecipeError when heads, width and kv_heads do not fit."""
        return ModelConfig.from_settings(self.model(), vocab_size)

    def parameters_without_embedding(self) -> int:
        """What the row's name counts."""
        return self.config(vocab_size=1).parameters() - self.width


def load_table(path: Path = TABLE) -> dict[str, Row]:
    """All rows by name, in the order of the file."""
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {str(name): Row.model_validate(row) for name, row in raw.items()}


def choose_rows(names: Sequence[str]) -> dict[str, Row]:
    """The rows that the recipe's tune.rows names. Raises RecipeError for a name that the table does not have."""
    table = load_table()
    for name in names:
        if name not in table:
            raise RecipeError(f"tune.rows: the scaling table has no row {name!r}", f"its rows are: {', '.join(table)}")
    return {name: table[name] for name in names}
