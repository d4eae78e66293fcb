"""Every row of the scaling table is a model, and as large as its name says."""

from __future__ import annotations

import pytest
from crawl2chat.core.errors import RecipeError
from crawl2chat.core.recipe import load_recipe
from crawl2chat.core.settings_training import Tune
from crawl2chat.model.transformer import Transformer
from crawl2chat.tune.table import choose_rows, load_table
from crawl2chat.tune.tune_stage import TUNE, learning_rates
from pydantic import ValidationError

UNITS = {"k": 1_000, "m": 1_000_000}
ROWS = load_table()


def claimed(name: str) -> float:
    return float(name[:-1]) * UNITS[name[-1]]


@pytest.mark.parametrize("name", ROWS)
def test_the_name_is_the_size(name: str) -> None:
    """Parameters without the token embedding, which is tied; within 3 %."""
    row = ROWS[name]
    assert row.parameters_without_embedding() == pytest.approx(claimed(name), rel=0.03)
    config = row.config(vocab_size=2048)
    assert config.tied_embeddings
    assert config.parameters() == row.parameters_without_embedding() + 2048 * row.width


@pytest.mark.parametrize("name", ROWS)
def test_a_recipe_takes_the_row(name: str) -> None:
    """The checks of the recipe's section `model`: heads divide the width, kv_heads the heads, head size is even."""
    overrides = [
        f"model.{key}={value}" for key, value in ROWS[name].model().model_dump(mode="json", exclude_none=True).items()
    ]
    recipe = load_recipe("tiny", overrides)
    assert recipe.model == ROWS[name].model()


def test_the_table_goes_from_small_to_large() -> None:
    sizes = [claimed(name) for name in ROWS]
    assert sizes == sorted(sizes)
    assert sizes[0] == 50_000
    assert sizes[-1] >= 100_000_000
    rates = [row.learning_rate for row in ROWS.values()]
    assert rates == sorted(rates, reverse=True), "larger models take smaller rates"


def test_the_count_is_that_of_a_real_model() -> None:
    model = Transformer(ROWS["50k"].config(vocab_size=300))
    assert sum(p.numel() for p in model.parameters()) - model.embedding.weight.numel() == 50_992


def test_an_unknown_row_is_refused_before_anything_runs() -> None:
    recipe = load_recipe("tiny", ["tune.rows=[50k, 60k]"])
    with pytest.raises(RecipeError, match="no row '60k'") as caught:
        TUNE.config(recipe)
    assert "50k, 100k, 250k" in caught.value.fix


@pytest.mark.parametrize("override", ["tune.rows=[50k, 50k]", "tune.learning_rates=[0.1, 0.1]"])
def test_nothing_is_searched_twice(override: str) -> None:
    with pytest.raises(RecipeError, match="twice"):
        TUNE.config(load_recipe("tiny", [override]))


def test_an_unknown_key_in_a_row_is_an_error(tmp_path) -> None:
    path = tmp_path / "table.yaml"
    path.write_text("1k: {layers: 1, width: 8, heads: 1, kv_heads: 1, feed_forward: 8, context: 8, learning_rat: 1.0}")
    with pytest.raises(ValidationError, match="learning_rat"):
        load_table(path)


def test_rates_lie_around_the_rows_own() -> None:
    row = choose_rows(["250k"])["250k"].model_copy(update={"learning_rate": 8e-3})
    assert learning_rates(row, Tune()) == [8e-3, 2.7e-3, 2.4e-2]
    assert learning_rates(row, Tune(learning_rates=[0.5])) == [0.5]


def test_a_changed_row_reruns_the_search_and_more_workers_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    from crawl2chat.tune import table

    recipe = load_recipe("tiny")
    before = TUNE.config(recipe)
    assert TUNE.config(load_recipe("tiny", ["tune.concurrent=7"])) == before
    assert TUNE.config(load_recipe("tiny", ["tune.steps=7"])) != before
    assert TUNE.config(load_recipe("tiny", ["train.optimizer.weight_decay=0.3"])) != before
    changed = {name: row.model_copy(update={"layers": row.layers + 1}) for name, row in ROWS.items()}
    monkeypatch.setattr(table, "load_table", lambda: changed)
    assert TUNE.config(recipe) != before
