"""Long stages work unit by unit: a unit is one input file, its outputs have its name, and its record is written last.

    STAGE/units/NAME.json    {name, files, counters}: this unit is done

A stage that was killed finds the records and does only the rest; as unit outputs depend on the unit alone, the result
has the same bytes as one that was not killed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from .files import write_json
from .manifest import FileEntry


class Unit(BaseModel):
    """One piece of a stage's work: a name that is a file name without ending, and what the worker has to know."""

    model_config = ConfigDict(frozen=True)
    name: str
    spec: dict[str, Any] = {}


class UnitReport(BaseModel):
    """What a unit's worker wrote: files (relative to the stage's folder) and counts to add up."""

    model_config = ConfigDict(frozen=True)
    name: str
    files: list[FileEntry]
    counters: dict[str, int]


def commit(folder: Path, report: UnitReport) -> None:
    """Declare the unit done. Its files must be in place."""
    write_json(folder / "units" / f"{report.name}.json", report.model_dump(mode="json"))


def finished(folder: Path, units: Iterable[Unit]) -> dict[str, UnitReport]:
    """Reports of the units that are done, by name."""
    paths = {unit.name: folder / "units" / f"{unit.name}.json" for unit in units}
    return {
        name: UnitReport.model_validate_json(path.read_text(encoding="utf-8"))
        for name, path in paths.items()
        if path.exists()
    }


def total(reports: Iterable[UnitReport]) -> dict[str, int]:
    """Sum of the counters."""
    counters: Counter[str] = Counter()
    for report in reports:
        counters.update(report.counters)
    return dict(sorted(counters.items()))
