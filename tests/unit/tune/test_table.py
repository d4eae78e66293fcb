"""Every row of the scaling table is a model, and as large as its name says."""

from __future__ import annotations

import pytest
from crawl2chat.core.errors import RecipeError
from crawl2chat.core.recipe import load_recipe
from crawl2chat.model.transformer import Transformer
from crawl2chat.tune.checks import check_sweep
from crawl2chat.tune.derive import row_of
from crawl2chat.tune.laws import PUBLISHED
from crawl2chat.tune.shapes import shape_for
from crawl2chat.tune.table import Row, Shape, load_table
from crawl2chat.tune.tune_stage import TUNE
from pydantic import ValidationError

UNITS = {"k": 1e3, "m": 1e6, "b": 1e9}
TABLE = load_table()
ROWS = {name: row for name, row in TABLE.items() if row.published_parameters is None}  # the project's own
PUBLISHED_ROWS = {name: row for name, row in TABLE.items() if name not in ROWS}


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
    assert sizes[-1] == 175_000_000_000
    for marked in ("measured", "derived"):
        rates = [row.learning_rate for row in ROWS.values() if row.mark("learning_rate") == marked]
        assert len(rates) > 2
        assert rates == sorted(rates, reverse=True), "larger models take smaller rates"


@pytest.mark.parametrize("name", PUBLISHED_ROWS)
def test_published_rows_have_the_published_size(name: str) -> None:
    row = PUBLISHED_ROWS[name]
    counted = row.own_config().parameters()
    if name == "chinchilla-70b":  # its relative positions have a matrix a layer
        counted += row.layers * row.width**2
    assert counted == pytest.approx(row.published_parameters, rel=0.02)


def test_the_rows_of_gpt3() -> None:
    """Brown et al. 2020, table 2.1: layers, width, heads, head size, batch, learning rate; two rows corrected."""
    rows = {name.removeprefix("gpt3-"): row for name, row in TABLE.items() if name.startswith("gpt3-")}
    shapes = {name: (row.layers, row.width, row.heads, row.head_size) for name, row in rows.items()}
    assert shapes == {
        "125m": (12, 768, 12, 64),
        "350m": (24, 1024, 16, 64),
        "760m": (24, 1536, 16, 96),
        "1.3b": (24, 2048, 16, 128),
        "2.7b": (32, 2560, 32, 80),
        "6.7b": (32, 4096, 32, 128),
        "13b": (40, 5120, 40, 128),
        "175b": (96, 12288, 96, 128),
    }
    assert [row.batch_tokens for row in rows.values()] == [0.5e6, 0.5e6, 0.5e6, 1e6, 1e6, 2e6, 2e6, 3.2e6]
    assert [row.learning_rate for row in rows.values()] == [6e-4, 3e-4, 2.5e-4, 2e-4, 1.6e-4, 1.2e-4, 1e-4, 6e-5]
    assert {row.tokens for row in rows.values()} == {300e9}
    assert all(row.heads * row.head_size == row.width for row in rows.values())
    assert [name for name, row in rows.items() if row.corrected] == ["1.3b", "13b"]
    assert "24 heads" in (rows["1.3b"].corrected or "")
    assert "5140" in (rows["13b"].corrected or "")


@pytest.mark.parametrize("name", TABLE)
def test_heads_fill_the_width_and_trainings_are_of_many_steps(name: str) -> None:
    row = TABLE[name]
    config = row.own_config()
    assert config.attention_width == row.width
    assert (config.heads, config.kv_heads, config.head_size) == (row.heads, row.kv_heads, row.head_size)
    assert row.warmup_tokens < row.tokens / 5
    assert row.batch_tokens < row.tokens / 50


def test_derived_columns_are_what_the_laws_say() -> None:
    derived = {name: row for name, row in ROWS.items() if row.derived}
    assert len(derived) > 15
    for row in derived.values():
        fresh = row_of(row, row.vocab_size, PUBLISHED)
        assert {key: getattr(row, key) for key in row.derived} == {key: getattr(fresh, key) for key in row.derived}


def test_shapes_from_500m_on_are_those_of_the_rules() -> None:
    large = {name: row for name, row in ROWS.items() if claimed(name) >= 5e8}
    assert len(large) == 9
    for name, row in large.items():
        assert Shape.model_validate(row.model_dump(include=set(Shape.model_fields))) == shape_for(claimed(name), 0)


def test_the_count_is_that_of_a_real_model() -> None:
    model = Transformer(ROWS["50k"].config(vocab_size=300))
    assert sum(p.numel() for p in model.parameters()) - model.embedding.weight.numel() == 50_992


def test_an_unknown_row_is_refused_before_anything_runs() -> None:
    recipe = load_recipe("tiny", ["tune.rows=[50k, 60k]"])
    with pytest.raises(RecipeError, match="no row '60k'") as caught:
        TUNE.config(recipe)
    assert "50k, 100k, 250k" in caught.value.fix


@pytest.mark.parametrize("override", ["tune.rows=[50k, 50k]", "tune.space={learning_rate: [0.1, 0.1]}"])
def test_nothing_is_searched_twice(override: str) -> None:
    with pytest.raises(RecipeError, match="twice|each value once"):
        check_sweep(load_recipe("tiny", [override]))


def test_an_unknown_key_in_a_row_is_an_error(tmp_path) -> None:
    path = tmp_path / "table.yaml"
    path.write_text("1k: {layers: 1, width: 8, heads: 1, kv_heads: 1, feed_forward: 8, context: 8, learning_rat: 1.0}")
    with pytest.raises(ValidationError, match="learning_rat"):
        load_table(path)


def test_a_mark_of_what_is_no_key_is_an_error() -> None:
    with pytest.raises(ValidationError, match="learningrate"):
        Row.model_validate({**TABLE["50k"].model_dump(), "measured": ["learningrate"]})


def test_a_changed_row_reruns_the_search_and_more_workers_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    from crawl2chat.tune import rows

    recipe = load_recipe("tiny")
    before = TUNE.config(recipe)
    assert TUNE.config(load_recipe("tiny", ["tune.concurrent=7"])) == before
    assert TUNE.config(load_recipe("tiny", ["tune.steps=7"])) != before
    assert TUNE.config(load_recipe("tiny", ["train.optimizer.weight_decay=0.3"])) != before
    changed = {name: row.model_copy(update={"layers": row.layers + 1}) for name, row in ROWS.items()}
    monkeypatch.setattr(rows, "load_table", lambda: changed)
    assert TUNE.config(recipe) != before
    faster = {name: row.model_copy(update={"learning_rate": row.learning_rate * 2}) for name, row in ROWS.items()}
    monkeypatch.setattr(rows, "load_table", lambda: faster)
    assert TUNE.config(recipe) != before, "rates that the search begins with"
    unread = {name: row.model_copy(update={"source": "x", "tokens": 1.0}) for name, row in ROWS.items()}
    monkeypatch.setattr(rows, "load_table", lambda: unread)
    assert TUNE.config(recipe) == before
