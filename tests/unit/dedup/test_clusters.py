"""Union-find, forests and stars in files against scipy."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from crawl2chat.core.errors import StageError
from crawl2chat.core.settings_data import Dedup
from crawl2chat.core.units import Unit, UnitReport
from crawl2chat.dedup.clusters import components, components_of, join_forests
from crawl2chat.dedup.connected import check_largest, connect
from crawl2chat.dedup.star_rounds import find_stars
from crawl2chat.dedup.tables import EDGE, read_arrow, write_arrow


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


@pytest.mark.parametrize("nodes, edges", [(10, 4), (1000, 600), (3000, 5000), (2000, 1999)])
def test_forests_and_stars_in_files_against_scipy(tmp_path: Path, nodes: int, edges: int) -> None:
    """A tree of forests, and alternating stars on partitioned files, without Ray: the same components as scipy."""
    sparse = pytest.importorskip("scipy.sparse")
    generator = np.random.default_rng(nodes)
    names = np.unique(generator.integers(0, 1 << 63, nodes, dtype=np.uint64))
    left, right = generator.integers(0, len(names), (2, edges))
    if edges == nodes - 1:  # one long path
        left = generator.permutation(len(names))
        left, right = left[:-1], left[1:]
    graph = sparse.coo_matrix((np.ones(len(left)), (left, right)), shape=(len(names), len(names)))
    _, theirs = sparse.csgraph.connected_components(graph, directed=False)
    touched = np.unique(np.concatenate([left, right]))
    smallest: dict[int, int] = {}
    for node in touched.tolist():
        smallest.setdefault(int(theirs[node]), int(names[node]))
    expected = {int(names[node]): smallest[int(theirs[node])] for node in touched.tolist()}

    cut = np.array_split(np.arange(len(left)), 5)
    files = []
    for at, rows in enumerate(cut):
        pairs = pa.Table.from_pydict({"left": names[left[rows]], "right": names[right[rows]], "key": rows}, schema=EDGE)
        files.append(f"edges/{at}.arrow")
        write_arrow(tmp_path / files[-1], pairs)

    def run(work: Any, units: Any, config: Any, records: str) -> list[UnitReport]:
        return [work(unit, tmp_path, config) for unit in units]

    largest = max(Counter(expected.values()).values())
    assert find_stars(files, 3, run) == largest
    docs = np.array(sorted(expected), dtype=np.uint64)
    component, has = components_of(tmp_path, np.append(docs, np.uint64(7)))
    assert has.tolist() == [True] * len(docs) + [False]
    assert dict(zip(docs.tolist(), component[:-1].tolist(), strict=True)) == expected

    leaves = [Unit(name=f"0-{at}", spec={"paths": [name]}) for at, name in enumerate(files)]
    run(join_forests, leaves, {}, "")
    root = Unit(name="1-0", spec={"paths": [f"forests/{one.name}.arrow" for one in leaves]})
    assert run(join_forests, [root], {}, "")[0].counters["largest_component"] == largest
    joined = read_arrow(tmp_path / "forests" / "1-0.arrow")
    assert dict(zip(joined["doc"].to_pylist(), joined["component"].to_pylist(), strict=True)) == expected


@pytest.mark.parametrize("cluster_nodes", [1000, 10])
def test_a_component_above_the_limit_is_refused_before_it_is_decided(tmp_path: Path, cluster_nodes: int) -> None:
    """A chain of stars, 4 documents a key, in many files: all 121 are connected, a file's largest key has 4."""
    files = []
    for at in range(40):
        centre = 3 * at
        star = {"left": [centre] * 3, "right": [centre + 1, centre + 2, centre + 3], "key": [4 * at] * 3}
        files.append(f"edges/{at:02}.arrow")
        write_arrow(tmp_path / files[-1], pa.Table.from_pydict(star, schema=EDGE))

    def run(work: Any, units: Any, config: Any, records: str) -> list[UnitReport]:
        return [work(unit, tmp_path, config) for unit in units]

    largest = connect(files, tmp_path, cluster_nodes, run)
    assert largest == 121
    check_largest(largest, files, Dedup.model_validate({"gates": {"max_component": 121}}), run)
    with pytest.raises(StageError) as caught:
        check_largest(largest, files, Dedup.model_validate({"gates": {"max_component": 120}}), run)
    assert caught.value.message.startswith("121 documents are connected")
    assert "dedup.gates.max_component=120; 4 or more of the documents share one key" in caught.value.message
    assert "dedup.gates.max_component=121" in caught.value.fix and "dedup.threshold" in caught.value.fix
    assert connect([], tmp_path, cluster_nodes, run) == 0
