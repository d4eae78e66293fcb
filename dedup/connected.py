"""The wiring of pass 3 of deduplication: by a tree of forests or, above `dedup.cluster_nodes`, by stars in files.

signatures/stars/*, edges/*  ->  components/part-00000.arrow (COMPONENT)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..core.files import link_or_copy, remove_folder
from ..core.log import log
from ..core.settings_data import Dedup
from .clusters import groups, join_forests, largest_key
from .gates import check_component
from .star_rounds import MapUnits, find_stars


def connect(files: Sequence[str], folder: Path, cluster_nodes: int, map_units: MapUnits) -> int:
    """Write components/. Gives how many documents the largest one has, those of an index included."""
    remove_folder(folder / "components")  # of an attempt with other partitions
    level, units = 0, groups(0, files)
    reports = map_units(join_forests, units, {}, "forests/units")
    nodes = sum(report.counters["nodes"] for report in reports)
    if nodes > cluster_nodes and len(units) > 1:
        names = [f"forests/{unit.name}.arrow" for unit in units]
        return find_stars(names, -(-2 * nodes // cluster_nodes), map_units)
    while len(units) > 1:
        level += 1
        units = groups(level, [f"forests/{unit.name}.arrow" for unit in units])
        reports = map_units(join_forests, units, {}, "forests/units")
    (folder / "components").mkdir()
    for unit in units:
        link_or_copy(folder / f"forests/{unit.name}.arrow", folder / "components" / "part-00000.arrow")
    return max((report.counters["largest_component"] for report in reports), default=0)


def check_largest(largest: int, files: Sequence[str], settings: Dedup, map_units: MapUnits) -> None:
    """Raise StageError when one worker could not decide the largest component: before a worker reads it."""

    def shared() -> int:
        found = map_units(largest_key, groups(0, files), {}, "largest-key/units")
        return max(report.counters["largest_key"] for report in found)

    log.info("dedup: largest component: %s documents are decided together", f"{largest:,}")
    check_component(largest, shared, settings)
