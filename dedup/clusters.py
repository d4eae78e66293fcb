"""Pass 3 of deduplication: which documents are connected by candidate pairs, and so must be decided together.

signatures/stars/*, edges/*  ->  forests/LEVEL-00000.arrow (COMPONENT)  ->  components/part-00000.arrow

A tree of forests: a task reduces the edges of some files to stars, one row a document that has a candidate; the next
level does the same to some of these files, until one is left. Above `dedup.cluster_nodes` rows star_rounds.py goes on
from the first level, in files.

Union-find on arrays: every node points to a smaller one or to itself; all edges hook roots at once, then all paths are
halved until every node points to its root (hooking and shortcutting: Shiloach and Vishkin 1982).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..core.manifest import file_entry
from ..core.units import Unit, UnitReport
from .bands import partition_of
from .tables import COMPONENT, numbers, part_files, read_arrow, write_arrow

FAN_IN = 32  # files that a task joins


def components(left: np.ndarray, right: np.ndarray, count: int) -> np.ndarray:
    """Connected components of the nodes 0..count-1: int64 [count], each node's smallest fellow."""
    parent = np.arange(count, dtype=np.int64)
    while len(left):
        left, right = parent[left], parent[right]
        apart = left != right
        left, right = left[apart], right[apart]
        np.minimum.at(parent, np.maximum(left, right), np.minimum(left, right))
        while not np.array_equal(shorter := parent[parent], parent):
            parent = shorter
    return parent


def forest(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Stars that connect what the edges connect: each document, sorted, and its component's smallest."""
    nodes = np.unique(np.concatenate([left, right]))
    labels = components(np.searchsorted(nodes, left), np.searchsorted(nodes, right), len(nodes))
    return nodes, nodes[labels]


def groups(level: int, paths: Sequence[str]) -> list[Unit]:
    """Units of FAN_IN files each."""
    cut = [list(paths[at : at + FAN_IN]) for at in range(0, len(paths), FAN_IN)]
    return [Unit(name=f"{level}-{number:05d}", spec={"paths": some}) for number, some in enumerate(cut)]


def join_forests(unit: Unit, folder: Path, config: dict[str, Any]) -> UnitReport:
    """Worker: the files of pairs below `folder` that the unit names, to one file of stars: forests/UNIT.arrow."""
    lefts, rights = [np.zeros(0, dtype=np.uint64)], [np.zeros(0, dtype=np.uint64)]
    for name in unit.spec["paths"]:
        table = read_arrow(folder / name)
        lefts.append(numbers(table.column(0)))
        rights.append(numbers(table.column(1)))
    doc, component = forest(np.concatenate(lefts), np.concatenate(rights))
    path = folder / "forests" / f"{unit.name}.arrow"
    write_arrow(path, pa.Table.from_pydict({"doc": doc, "component": component}, schema=COMPONENT))
    largest = int(np.unique(component, return_counts=True)[1].max(initial=0))
    counters = {"nodes": len(doc), "largest_component": largest}  # of these files; of the last level's: of all
    return UnitReport(name=unit.name, files=[file_entry(folder, path, len(doc))], counters=counters)


def largest_key(unit: Unit, folder: Path, config: dict[str, Any]) -> UnitReport:
    """Worker: how many documents share one key in one of the files of EDGE that the unit names. Writes nothing."""
    sizes = [0]
    for name in unit.spec["paths"]:
        _, counts = np.unique(numbers(read_arrow(folder / name)["key"]), return_counts=True)
        sizes.append(int(counts.max(initial=0)) + 1 if len(counts) else 0)  # a star has an edge less than documents
    return UnitReport(name=unit.name, files=[], counters={"largest_key": max(sizes)})


def components_of(folder: Path, docs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The component of each document, and whether it has one: who has no candidate is in none."""
    paths = part_files(folder / "components")
    part = partition_of(docs, len(paths))
    found, has = np.zeros(len(docs), dtype=np.uint64), np.zeros(len(docs), dtype=bool)
    for number in np.unique(part).tolist():
        table = read_arrow(paths[number])
        here = np.flatnonzero(part == number)
        nodes = numbers(table["doc"])
        place = np.searchsorted(nodes, docs[here])
        inside = place < len(nodes)
        inside[inside] = nodes[place[inside]] == docs[here][inside]
        has[here] = inside
        found[here[inside]] = numbers(table["component"])[place[inside]]
    return found, has
