"""The rows that a sweep names: the recipe's own shapes first, then those of the scaling table."""

from __future__ import annotations

from ..core.errors import RecipeError
from ..core.recipe import Recipe
from ..core.settings_model import Model, Transfer
from ..core.settings_tune import Tune
from ..model.config import ModelConfig
from .table import load_table


def row_model(name: str, settings: Tune, transfer: bool = True) -> Model:
    """A row as the recipe's section `model`, with transfer from the base row where the sweep has it.

    Raises RecipeError for a name that neither the recipe nor the table has, and for a shape that does not fit together.
    """
    model = _named(name, settings)
    if settings.transfer is None or not transfer:
        return model
    base = _named(settings.transfer.base, settings)
    carried = Transfer(base_width=base.width, base_layers=base.layers, base_head_size=base.head_size)
    return model.model_copy(update={"transfer": carried})


def named_rows(settings: Tune) -> dict[str, Model]:
    """Every row that the sweep names, the search's first, without transfer."""
    asha, ladder = settings.asha_check, settings.ladder
    base = [settings.transfer.base] if settings.transfer else []
    names = [*settings.rows, *([asha.row] if asha else []), *(ladder.rows if ladder else []), *base]
    return {name: _named(name, settings) for name in dict.fromkeys(names)}


def own_rates(settings: Tune) -> dict[str, float]:
    """The learning rate that the scaling table has for each row of the search; with transfer the base's, for all.

    Raises RecipeError for a shape of the recipe's own, of which the table knows nothing.
    """
    table, rates = load_table(), {}
    for row in settings.rows:
        base = settings.transfer.base if settings.transfer else row
        if base in settings.shapes or base not in table:
            raise RecipeError(
                f"tune.space has no learning_rate, and {base} is no row of the scaling table, which would have one",
                "add tune.space.learning_rate, for example [1.0e-3, 2.0e-3, 4.0e-3]",
            )
        rates[row] = table[base].learning_rate
    return rates


def parameters_of(row: str, recipe: Recipe) -> int:
    """Of a row as a model, with the vocabulary that the recipe asks for."""
    return ModelConfig.from_settings(row_model(row, recipe.tune), recipe.tokenizer.vocab_size).parameters()


def steps_of(tokens: int, settings: Tune, context: int) -> int:
    """Steps of a run of about so many tokens, at `tune.batch` rows a step."""
    return max(1, round(tokens / (settings.batch * context)))


def _named(name: str, settings: Tune) -> Model:
    if name in settings.shapes:
        model = settings.shapes[name]
    else:
        table = load_table()
        if name not in table:
            own = f"tune.shapes has {', '.join(settings.shapes)}; " if settings.shapes else ""
            raise RecipeError(f"tune: there is no row {name!r}", f"{own}the scaling table has {', '.join(table)}")
        model = table[name].model()
    if wrong := model.fault():
        raise RecipeError(f"tune: row {name}: {wrong[0]}", wrong[1])
    return model.settled()
