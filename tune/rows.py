"""Rows of a sweep as models: those of the recipe's own `tune.shapes`, else those of the scaling table."""

from __future__ import annotations

from ..core.errors import RecipeError
from ..core.settings_model import Model
from ..core.settings_tune import Tune
from .table import Shape, load_table

LEAST = 3  # different sizes, and lengths, without which an exponent of the law is open


def row_model(name: str, settings: Tune) -> Model:
    """A row as the recipe's section `model`, with transfer from the base row's shape where the recipe has it.

    Raises RecipeError for a name that is in neither, and for a shape that does not divide.
    """
    model = _standard(name, settings)
    if settings.transfer is None:
        return model
    base = _standard(settings.transfer.base, settings).settled()
    shape = {"base_width": base.width, "base_layers": base.layers, "base_head_size": base.head_size}
    # TO BE MERGED: model.transfer is another branch's; until it is there, this line is an error of an unknown key
    return Model.model_validate({**model.model_dump(), "transfer": shape})


def _standard(name: str, settings: Tune) -> Model:
    model = settings.shapes.get(name)
    if model is None:
        table = load_table()
        if name not in table:
            known = ", ".join([*settings.shapes, *table])
            raise RecipeError(f"neither tune.shapes nor the scaling table has a row {name!r}", f"rows are: {known}")
        model = Shape.model_validate(table[name].model_dump(include=set(Shape.model_fields))).model()
    if wrong := model.fault():
        raise RecipeError(f"row {name}: {wrong[0]}", f"correct tune.shapes.{name}: {wrong[1]}")
    return model


def steps_of(tokens: int, settings: Tune, context: int) -> int:
    """Steps of a run of about so many tokens, at `tune.batch` rows a step."""
    return max(1, round(tokens / (settings.batch * context)))


def check_sweep(settings: Tune) -> None:
    """Raise what is wrong with tune.ladder and tune.target before hours of training: RecipeError."""
    if settings.ladder is None:
        return
    rows, lengths = set(settings.ladder.rows), settings.ladder.tokens
    if len(rows) < LEAST or len(lengths) < LEAST:
        raise RecipeError(
            f"tune.ladder has {len(rows)} rows and {len(lengths)} lengths; the law of the loss needs {LEAST} of each",
            "add rows to tune.ladder.rows, or lengths to tune.ladder.tokens",
        )
    for name in [*settings.ladder.rows, *([settings.target.row] if settings.target else [])]:
        row_model(name, settings)
