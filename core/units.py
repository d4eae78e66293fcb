"""Long stages work unit by unit: a unit is one input file, its outputs have its name, and its record is written last.

    STAGE/units/NAME.json    {made_from, report: {name, files, counters}}: this unit is done

A stage of several passes keeps the records of each in a folder of its own (`records`).

A stage that was killed finds the records and does only the rest; as unit outputs depend on the unit and the settings
alone, the result has the same bytes as one that was not killed. A record counts only for the unit and the settings that
it was made from: a worker that outlives its driver for a moment may still write one into a folder that begins anew.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from .credentials import values_without_credentials
from .files import at_once, canonical, write_json
from .manifest import FileEntry, missing
from .remote_path import RemotePath


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


def source_of(unit: str) -> str:
    """The source that a unit's name begins with: web-00003 is one of web."""
    return unit.rpartition("-")[0]


def commit(folder: Path, unit: Unit, config: dict[str, Any], report: UnitReport, records: str = "units") -> None:
    """Declare the unit done under these settings. Its files must be in place."""
    record = {"made_from": _maker(config)(unit), "report": report.model_dump(mode="json")}
    write_json(folder / records / f"{unit.name}.json", record)


def finished(
    folder: Path, units: Iterable[Unit], config: dict[str, Any], records: str = "units"
) -> dict[str, UnitReport]:
    """Reports of the units that are done under these settings and whose files are there, by name."""
    made_from = _maker(config)

    def report_of(unit: Unit) -> UnitReport | None:
        record = json.loads((folder / records / f"{unit.name}.json").read_text(encoding="utf-8"))
        report = UnitReport.model_validate(record["report"])
        return report if record["made_from"] == made_from(unit) and not missing(folder, report.files) else None

    reports = at_once(report_of, _recorded(folder / records, units))
    return {report.name: report for report in reports if report is not None}


def forget(folder: Path, units: Iterable[Unit], records: str = "units") -> None:
    """Remove records under other settings: once such a unit's files are written anew they are not what was recorded."""
    for unit in _recorded(folder / records, units):
        (folder / records / f"{unit.name}.json").unlink(missing_ok=True)


def _recorded(folder: Path, units: Iterable[Unit]) -> list[Unit]:
    """The units that have a record. The folder is listed once, whatever the number of units that are to be done."""
    if isinstance(folder, RemotePath):
        names = set(folder.store.names(folder.key))
    else:
        names = {entry.name for entry in os.scandir(folder)} if folder.is_dir() else set()
    return [unit for unit in units if f"{unit.name}.json" in names]


def _maker(config: dict[str, Any]) -> Callable[[Unit], str]:
    """What units are made from under one config, `core.files.digest` of both. The config, which may hold the names of
    all units, is written as JSON once.
    """
    begun = hashlib.sha256(f'{{"config": {canonical(values_without_credentials(config))}, "unit": '.encode())

    def made_from(unit: Unit) -> str:
        whole = begun.copy()
        whole.update(f"{canonical(values_without_credentials(unit.model_dump(mode='json')))}}}".encode())
        return whole.hexdigest()

    return made_from


def total(reports: Iterable[UnitReport]) -> dict[str, int]:
    """Sum of the counters."""
    counters: Counter[str] = Counter()
    for report in reports:
        counters.update(report.counters)
    return dict(sorted(counters.items()))
