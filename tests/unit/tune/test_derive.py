"""New rows: of the size and compute that were asked for, in proportion, by the laws that were given."""

from __future__ import annotations

import numpy as np
import pytest
from crawl2chat.core.errors import InputError
from crawl2chat.tune.derive import row_for_flops, row_for_parameters, row_of
from crawl2chat.tune.laws import CHINCHILLA, PUBLISHED, PowerLaw
from crawl2chat.tune.shapes import aspect_for, shape_for
from crawl2chat.tune.table import load_table


@pytest.mark.parametrize("size", [6e4, 1e5, 3e5, 1e6, 2e7, 3.3e8, 1.3e9, 7e9, 6.5e10, 4e11, 1e12])
def test_the_row_has_the_size_and_the_proportions(size: float) -> None:
    row = row_for_parameters(size, PUBLISHED)
    config = row.own_config()
    assert config.parameters() == pytest.approx(size, rel=0.03)
    assert row.width == row.heads * row.head_size == config.attention_width
    assert 1.5 <= row.feed_forward / row.width <= 4
    if size > 3e5:  # of smaller ones the embedding is a large part
        assert 0.5 < row.width / row.layers / aspect_for(size) < 2


def test_every_size_has_a_shape() -> None:
    for size in np.geomspace(5e4, 1e12, 150):
        assert row_for_parameters(size, PUBLISHED).own_config().parameters() == pytest.approx(size, rel=0.05)
    for size in np.geomspace(5e4, 5e11, 150):
        assert shape_for(size, 0).parameters_without_embedding() == pytest.approx(size, rel=0.05)


def test_vocabulary_and_context_can_be_chosen() -> None:
    row = row_for_parameters(1.3e9, PUBLISHED, vocab_size=50257, context=2048)
    assert (row.vocab_size, row.context) == (50257, 2048)
    assert row.own_config().parameters() == pytest.approx(1.3e9, rel=0.02)
    assert row.batch_tokens % 2048 == 0


@pytest.mark.parametrize("flops", [1e13, 1e17, 1e21, 5.76e23])
def test_compute_is_used_up_by_the_best_size(flops: float) -> None:
    row = row_for_flops(flops, PUBLISHED)
    config = row.own_config()
    assert row.tokens * config.flops_per_token() == pytest.approx(flops, rel=0.005)
    assert row.tokens == pytest.approx(PUBLISHED.loss.tokens_for(config.parameters()), rel=0.1)


def test_chinchilla_is_found() -> None:
    """Its compute, by the law that was fitted again, gives its size: 70 billion parameters, 1.4 trillion tokens."""
    row = row_for_flops(5.76e23, PUBLISHED, context=2048)
    assert row.own_config().parameters() == pytest.approx(70e9, rel=0.1)
    assert row.tokens == pytest.approx(1.4e12, rel=0.1)


def test_settings_are_those_of_the_laws_and_marked() -> None:
    row = row_for_parameters(4e8, PUBLISHED)
    blocks = row.parameters_without_embedding()
    assert row.learning_rate == pytest.approx(1.79 * blocks**-0.713 * row.tokens**0.307, rel=0.05)
    assert row.batch_tokens == pytest.approx(0.58 * row.tokens**0.571, rel=0.02)
    assert row.warmup_tokens == pytest.approx(row.own_config().parameters(), rel=0.01)
    assert row.mark("learning_rate") == row.mark("tokens") == "derived"
    assert "Besiroglu" in row.source and "Step Law" in row.source
    assert row.beyond == []


def test_other_laws_give_another_row() -> None:
    rate = PowerLaw(factor=2.0, exponents={"flops": -0.1}, source="mine")
    laws = PUBLISHED.model_copy(update={"learning_rate": rate, "loss": CHINCHILLA})
    row = row_for_parameters(4e8, laws)
    flops = 6 * row.own_config().parameters() * CHINCHILLA.tokens_for(row.own_config().parameters())
    assert row.learning_rate == pytest.approx(2 * flops**-0.1, rel=0.05)
    assert row.tokens != row_for_parameters(4e8, PUBLISHED).tokens
    assert "mine" in row.source


def test_what_lies_beyond_the_points_of_a_law_is_said() -> None:
    [*words] = row_for_parameters(1e12, PUBLISHED).beyond
    assert {one.split(":")[0] for one in words} == {"loss", "learning rate", "batch tokens"}
    assert any("parameters 1e+12 outside 7e+07 … 1.6e+10" in one for one in words)


def test_the_law_of_the_rate_agrees_with_the_small_searches() -> None:
    """The Step Law, far below its points, against the rates that searches found: within a factor of 1.5."""
    measured = {name: row for name, row in load_table().items() if "learning_rate" in row.measured}
    assert len(measured) == 3
    for row in measured.values():
        fresh = row_of(row, row.vocab_size, PUBLISHED, row.tokens)
        assert 1 / 1.5 < fresh.learning_rate / row.learning_rate < 1.5


@pytest.mark.parametrize("size", [1e3, 1e13])
def test_sizes_without_rules_are_refused(size: float) -> None:
    with pytest.raises(InputError, match="no rules") as caught:
        row_for_parameters(size, PUBLISHED)
    assert "5e+04" in caught.value.fix


@pytest.mark.parametrize("flops", [1.0, 1e30])
def test_compute_without_rules_is_refused(flops: float) -> None:
    with pytest.raises(InputError, match="no rules"):
        row_for_flops(flops, PUBLISHED)


def test_an_embedding_that_is_larger_than_the_model_is_refused() -> None:
    with pytest.raises(InputError, match="vocabulary of 50000") as caught:
        row_for_parameters(1e5, PUBLISHED, vocab_size=50_000)
    assert "--vocab" in caught.value.fix
