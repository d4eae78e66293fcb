"""Connected components of more documents than fit into one worker's memory: alternating stars, in partitioned files.

Kiveris, Lattanzi, Mirrokni, Rastogi and Vassilvitskii: Connected Components in MapReduce and Beyond (2014). m is the
smallest of a node and its neighbours:

    large-star   every larger neighbour of a node is connected to m instead
    small-star   the node and every smaller neighbour are connected to m instead

Both keep what is connected. When neither changes anything, each component is a star around its smallest document. A
round is one task for each partition: it reads the rows of its nodes from all files of the round before, and writes its
own in the order of the partitions that group them next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..core.manifest import file_entry
from ..core.units import Unit, UnitReport
from .bands import partition_of
from .tables import COMPONENT, numbers, read_arrow, read_ranges, write_arrow, write_ranges

MapUnits = Callable[[Callable[..., UnitReport], Sequence[Unit], dict[str, Any], str], list[UnitReport]]


def find_stars(first: Sequence[str], partitions: int, map_units: MapUnits) -> int:
    """From the pairs in the files `first` to components/, one file for each partition of the documents.

    Gives how many documents the largest component has.
    """
    names = list(first)
    units = [Unit(name=f"star-{number:05d}") for number in range(len(names))]
    config = {"partitions": partitions, "read": names, "write": "stars/000"}
    map_units(spread, units, config, "stars/000/units")
    names = [f"stars/000/{unit.name}.arrow" for unit in units]
    units = [Unit(name=f"star-{number:05d}") for number in range(partitions)]
    rounds, quiet = 0, 0
    while quiet < 2 or rounds % 2:  # the last one is a small-star, which writes both directions of a pair
        rounds += 1
        config = {"partitions": partitions, "read": names, "write": f"stars/{rounds:03d}", "large": rounds % 2 == 1}
        reports = map_units(star, units, config, f"stars/{rounds:03d}/units")
        quiet = 0 if sum(report.counters["changed"] for report in reports) else quiet + 1
        names = [f"stars/{rounds:03d}/{unit.name}.arrow" for unit in units]
    reports = map_units(settle, units, {"partitions": partitions, "read": names}, "components/units")
    return max(report.counters["largest_component"] for report in reports)


def spread(unit: Unit, folder: Path, config: dict[str, Any]) -> UnitReport:
    """Worker of the first step: one file of pairs, in both directions, by partitions."""
    number = int(unit.name.rpartition("-")[2])
    table = read_arrow(folder / config["read"][number])
    left, right = numbers(table.column(0)), numbers(table.column(1))
    apart = left != right
    return _write(unit, folder, config, left[apart], right[apart], both=True, changed=0)


def star(unit: Unit, folder: Path, config: dict[str, Any]) -> UnitReport:
    """Worker of a round: large-star, whose rows are grouped by their larger node next, or small-star."""
    node, other = _grouped(unit, folder, config)
    step = large_star if config["large"] else small_star
    left, right, changed = step(node, other)
    return _write(unit, folder, config, left, right, both=not config["large"], changed=changed)


def settle(unit: Unit, folder: Path, config: dict[str, Any]) -> UnitReport:
    """Worker of the last step: every node of a partition, and the smallest of its star, as COMPONENT rows."""
    node, other = _grouped(unit, folder, config)
    doc, first, others = np.unique(node, return_index=True, return_counts=True)
    path = folder / "components" / f"part-{unit.name.rpartition('-')[2]}.arrow"
    table = {"doc": doc, "component": np.minimum(doc, other[first])}
    write_arrow(path, pa.Table.from_pydict(table, schema=COMPONENT))
    largest = int(others.max(initial=0)) + 1 if len(doc) else 0  # the smallest of a star has a row for each other
    counters = {"nodes": len(doc), "largest_component": largest}
    return UnitReport(name=unit.name, files=[file_entry(folder, path, len(doc))], counters=counters)


def large_star(node: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Pairs of the large-star step from rows that are sorted by node: (larger, smaller), and how many are new."""
    smallest = _smallest(node, other)
    larger = other > node
    return other[larger], smallest[larger], int((smallest[larger] != node[larger]).sum())


def small_star(node: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Pairs of the small-star step; all others are smaller than their nodes here."""
    smallest = _smallest(node, other)
    moved = other != smallest
    return np.concatenate([other[moved], node]), np.concatenate([smallest[moved], smallest]), int(moved.sum())


def _smallest(node: np.ndarray, other: np.ndarray) -> np.ndarray:
    """For each row the smallest of its node and all that node's others; rows are sorted by node, then other."""
    first = np.ones(len(node), dtype=bool)
    first[1:] = node[1:] != node[:-1]
    begin = np.maximum.accumulate(np.where(first, np.arange(len(node)), 0))
    return np.minimum(node, other[begin])


def _grouped(unit: Unit, folder: Path, config: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """The rows of this partition's nodes, sorted, each once."""
    number = int(unit.name.rpartition("-")[2])
    tables = read_ranges([folder / name for name in config["read"]], number)
    table = pa.concat_tables([COMPONENT.empty_table(), *tables])
    node, other = numbers(table["doc"]), numbers(table["component"])
    order = np.lexsort((other, node))
    node, other = node[order], other[order]
    new = np.ones(len(node), dtype=bool)
    new[1:] = (node[1:] != node[:-1]) | (other[1:] != other[:-1])
    return node[new], other[new]


def _write(
    unit: Unit, folder: Path, config: dict[str, Any], left: np.ndarray, right: np.ndarray, both: bool, changed: int
) -> UnitReport:
    """Rows (node, other), grouped by partitions of the node: of both nodes of a pair, or of the larger alone."""
    node, other = np.maximum(left, right), np.minimum(left, right)
    if both:
        node, other = np.concatenate([node, other]), np.concatenate([other, node])
    part = partition_of(node, config["partitions"])
    order = np.argsort(part, kind="stable")
    path = folder / config["write"] / f"{unit.name}.arrow"
    write_ranges(path, part[order], config["partitions"])
    write_arrow(path, pa.Table.from_pydict({"doc": node[order], "component": other[order]}, schema=COMPONENT))
    return UnitReport(name=unit.name, files=[file_entry(folder, path, len(node))], counters={"changed": changed})
