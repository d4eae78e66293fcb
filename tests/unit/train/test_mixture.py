"""A mixture's order: exact shares, permutations of each source, a pure function of seed and position."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from crawl2chat.core.errors import InputError, RecipeError
from crawl2chat.core.recipe import load_recipe
from crawl2chat.core.settings_training import Mixture
from crawl2chat.train.loader import TokenDataset
from crawl2chat.train.loop import Plan, batch_indices
from crawl2chat.train.mixture import MixedDataset, counts, interleave, open_rows, row_numbers
from crawl2chat.train.order import sample_index

from .conftest import write

CONTEXT = 16


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Two files of source web, one of wiki-en, one of books; a token tells the source."""
    files = {"web-00000": 1, "web-00001": 1, "wiki-en-00000": 2, "books-00000": 3}
    lengths = {"web-00000": 70, "web-00001": 30, "wiki-en-00000": 40, "books-00000": 25}
    return [
        write(tmp_path / "train" / f"{name}.arrow", [[token] * 20 + [0]] * lengths[name])
        for name, token in files.items()
    ]


def mixed(paths: list[Path], **parts: dict[str, float]) -> MixedDataset:
    data = open_rows(paths, CONTEXT, Mixture(**parts))
    assert isinstance(data, MixedDataset)
    return data


def test_without_a_mixture_the_order_is_that_of_the_shards(paths: list[Path]) -> None:
    data = open_rows(paths, CONTEXT, None)
    assert isinstance(data, TokenDataset)
    position = np.arange(500)
    assert row_numbers(data, 7, position).tolist() == sample_index(7, position, len(data)).tolist()


def test_a_pass_has_exactly_the_epochs_of_each_source_and_each_is_a_permutation(paths: list[Path]) -> None:
    data = mixed(paths, epochs={"web": 1, "wiki-en": 2, "books": 0.5})
    rows = {name: len(source) for name, source in zip(data.names, data.sources, strict=True)}
    assert rows == {
        "books": (25 * 21 - 1) // CONTEXT,
        "web": (100 * 21 - 1) // CONTEXT,
        "wiki-en": (40 * 21 - 1) // CONTEXT,
    }
    assert data.period == round(rows["books"] / 2) + rows["web"] + 2 * rows["wiki-en"]
    order = data.order(3, np.arange(4 * data.period))
    sources = np.array([data.source(row) for row in order.tolist()])
    for number in range(4):
        found = Counter(sources[number * data.period : (number + 1) * data.period].tolist())
        assert found == {"books": round(rows["books"] / 2), "web": rows["web"], "wiki-en": 2 * rows["wiki-en"]}
    for name, size in rows.items():
        mine = order[sources == name]
        for epoch in range(len(mine) // size):
            assert len(set(mine[epoch * size : (epoch + 1) * size].tolist())) == size
        assert mine[:size].tolist() != mine[size : 2 * size].tolist()  # each epoch has an order of its own
        assert mine[:size].tolist() != sorted(mine[:size].tolist())


def test_weights_are_shares_of_any_stretch(paths: list[Path]) -> None:
    data = mixed(paths, weights={"web": 0.5, "wiki-en": 0.3, "books": 0.2})
    assert data.period == 10
    sources = [data.source(row) for row in data.order(1, np.arange(3000)).tolist()]
    for start, length in ((0, 10), (7, 100), (1234, 333)):
        found = Counter(sources[start : start + length])
        for name, share in (("web", 0.5), ("wiki-en", 0.3), ("books", 0.2)):
            assert abs(found[name] - share * length) <= 2
    assert Counter(sources) == {"web": 1500, "wiki-en": 900, "books": 600}


def test_a_position_does_not_depend_on_what_it_is_asked_with(paths: list[Path]) -> None:
    data = mixed(paths, epochs={"web": 1.37, "wiki-en": 2, "books": 0.1})
    whole = data.order(11, np.arange(1000))
    assert data.order(11, np.array([999, 3, 512])).tolist() == whole[[999, 3, 512]].tolist()
    assert data.order(12, np.arange(1000)).tolist() != whole.tolist()


def test_any_number_of_ranks_and_any_step_sees_the_same_batches(paths: list[Path]) -> None:
    parts = {"web": 1, "wiki-en": 3, "books": 1}
    data, again = mixed(paths, epochs=parts), mixed(list(reversed(paths)), epochs=parts)
    plan = Plan(steps=60, batch=8, seed=3)
    assert plan.steps * plan.batch > data.period
    whole = data.order(3, np.arange(plan.steps * plan.batch)).reshape(plan.steps, plan.batch)
    for step in (60, 1, 37):  # as a resumed run begins: anywhere
        indices = batch_indices(plan, step, again)
        assert indices.tolist() == whole[step - 1].tolist()
        inputs, targets = data.batch(indices)
        halves = [again.batch(indices[at : at + 4]) for at in (0, 4)]
        assert np.array_equal(inputs, np.concatenate([half[0] for half in halves]))
        assert np.array_equal(targets, np.concatenate([half[1] for half in halves]))


def test_rows_are_of_their_source_and_trace_names_its_file(paths: list[Path]) -> None:
    data = mixed(paths, epochs={"web": 1, "wiki-en": 1, "books": 1})
    token = {"web": 1, "wiki-en": 2, "books": 3}
    for row in (0, 20, 40, 100, len(data) - 1):
        inputs, targets = data.batch(np.array([row]))
        assert set(np.unique(inputs)) <= {0, token[data.source(row)]}
        spans = data.trace(row)
        assert sum(span.stop - span.start for span in spans) == CONTEXT + 1
        assert {span.file.rpartition("-")[0] for span in spans} == {data.source(row)}
        assert targets[0, :-1].tolist() == inputs[0, 1:].tolist()
    assert data.target_count(np.arange(5)) == 5 * CONTEXT


def test_a_source_with_0_is_left_out(paths: list[Path]) -> None:
    data = mixed(paths, weights={"web": 0, "wiki-en": 1, "books": 0})
    assert data.names == ["wiki-en"] and len(data) == (40 * 21 - 1) // CONTEXT


def test_trillions_of_rows_stay_exact() -> None:
    sizes = [3 * 10**11 + 7, 10**12 + 1, 5]
    total = sum(sizes)
    position = np.array([0, 1, total - 1, total, 5 * total - 1, 5 * total])
    source, place = interleave(position, sizes)
    again, next_place = interleave(position + total, sizes)
    assert source.tolist() == again.tolist()
    assert (next_place - place).tolist() == [sizes[number] for number in source]
    assert interleave(np.array([total]), sizes)[1][0] == sizes[source[3]]


def test_interleave_is_a_bijection() -> None:
    for sizes in ([1], [5, 3], [1, 1, 98], [7, 7, 7, 7], [2, 1000, 3]):
        source, place = interleave(np.arange(3 * sum(sizes)), sizes)
        for number, size in enumerate(sizes):
            assert place[source == number].tolist() == list(range(3 * size))


def test_counts_are_whole_numbers() -> None:
    assert counts(Mixture(weights={"a": 0.7, "b": 0.3}), {"a": 5, "b": 5}) == [7, 3]
    assert counts(Mixture(epochs={"a": 0.001, "b": 1.5}), {"a": 5, "b": 5}) == [1, 8]


def test_a_source_without_tokens_is_named(paths: list[Path]) -> None:
    with pytest.raises(InputError, match=r"source books has 0 training tokens[\s\S]*books: 0"):
        mixed(paths[:3], epochs={"web": 1, "wiki-en": 1, "books": 1})


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (
            "{epochs: {web: 1, wikki: 2}}",
            r"mixture names 'wikki', but the sources are \['web', 'wiki'\]\n  fix: correct 'wikki'",
        ),
        ("{weights: {web: 1}}", r"no number for the source 'wiki'\n  fix: give it one, 0 leaves it out"),
        ("{weights: {web: 1, wiki: -1}}", "wiki is -1"),
        ("{weights: {web: 0, wiki: 0}}", "leaves every source out"),
        ("{}", "give one: {epochs"),
        ("{epochs: {web: 1, wiki: 1}, weights: {web: 1, wiki: 1}}", "give one: {epochs"),
        ("{weights: {web: .nan, wiki: 1}}", "web is nan"),
    ],
)
def test_a_wrong_mixture_is_refused(section: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe("tiny", [f"mixture={section}"])
