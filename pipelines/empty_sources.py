"""Sources of which extract kept nothing: an error if no record could be read, a warning if settings did it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

import pyarrow.parquet as pq

from ..core.errors import StageError
from ..core.log import log
from ..core.units import UnitReport, source_of

MOST = 3  # reasons that are named


def check_kept(folder: Path, reports: Iterable[UnitReport]) -> None:
    """Look at each source's units. Raises StageError for a source that has records, all lost while they were read."""
    by_source: dict[str, list[UnitReport]] = defaultdict(list)
    for report in reports:
        by_source[source_of(report.name)].append(report)
    for source, units in by_source.items():
        if any(unit.counters["documents"] for unit in units):
            continue
        lost = _lost(folder, [unit.name for unit in units])
        named = ", ".join(f"{stage}: {reason} {number:,}" for (stage, reason), number in lost.most_common(MOST))
        if lost and {stage for stage, _ in lost} == {"read"}:
            raise StageError(
                f"sources.{source}: none of its {lost.total():,} records could be read ({named})",
                f"check that its files are what its kind says; {folder / 'dropped'} tells more of each record",
            )
        log.warning("source %s: no document was kept (%s)", source, named or "it has no records")


def _lost(folder: Path, units: list[str]) -> Counter[tuple[str, str]]:
    """How many records left at which step for which reason."""
    found: Counter[tuple[str, str]] = Counter()
    for unit in units:
        table = pq.read_table(folder / "dropped" / f"{unit}.parquet", columns=["stage", "reason"])
        for row in table.group_by(["stage", "reason"]).aggregate([([], "count_all")]).to_pylist():
            found[row["stage"], row["reason"]] += row["count_all"]
    return found
