"""Union-find against scipy, survivors against a plain choice."""

from __future__ import annotations

import numpy as np
import pytest
from crawl2chat.dedup.clusters import components, survivors


@pytest.mark.parametrize("nodes, edges", [(1, 0), (10, 4), (1000, 300), (1000, 600), (1000, 5000), (20_000, 15_000)])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_random_graphs_against_scipy(nodes: int, edges: int, seed: int) -> None:
    sparse = pytest.importorskip("scipy.sparse")
    left, right = np.random.default_rng(seed).integers(0, nodes, (2, edges))
    ours = components(left, right, nodes)
    graph = sparse.coo_matrix((np.ones(edges), (left, right)), shape=(nodes, nodes))
    count, theirs = sparse.csgraph.connected_components(graph, directed=False)
    assert len(np.unique(ours)) == count
    assert len(np.unique(np.stack([ours, theirs]), axis=1).T) == count
    smallest = np.full(count, nodes)
    np.minimum.at(smallest, theirs, np.arange(nodes))
    assert (ours == smallest[theirs]).all()


def test_long_paths_in_any_order() -> None:
    count = 50_000
    for order in (np.arange(count - 1), np.random.default_rng(5).permutation(count - 1)):
        names = np.random.default_rng(6).permutation(count)
        assert (components(names[order], names[order + 1], count) == 0).all()


def test_the_longest_stays_and_of_equals_the_first() -> None:
    labels = np.array([0, 1, 0, 1, 0, 5, 1])
    chars = np.array([3, 9, 8, 9, 8, 0, 2])
    assert survivors(labels, chars).tolist() == [2, 1, 2, 1, 2, 5, 1]
    assert len(survivors(labels[:0], chars[:0])) == 0
