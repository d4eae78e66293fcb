"""Units on a real Ray: what is done stays done, a worker's error arrives with its words, a lost worker is replaced."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from crawl2chat.core.errors import InputError
from crawl2chat.core.files import write_text
from crawl2chat.core.manifest import file_entry
from crawl2chat.core.progress import Progress
from crawl2chat.core.unit_map import map_units
from crawl2chat.core.units import Unit, UnitReport, total

pytestmark = pytest.mark.ray
UNITS = [Unit(name=f"u-{i}", spec={"n": i}) for i in range(5)]


def work(unit: Unit, folder: Path, config: dict[str, Any]) -> UnitReport:
    with (folder / "calls").open("a") as calls:
        calls.write(unit.name + "\n")
    if unit.name == config["trouble"] and (folder / "fails").exists():
        raise InputError(f"{unit.name} is bad", "give a good one")
    if unit.name == config["trouble"] and not (folder / "died").exists():
        (folder / "died").touch()
        os._exit(1)
    path = folder / "out" / f"{unit.name}.txt"
    write_text(path, "x" * unit.spec["n"])
    return UnitReport(
        name=unit.name, files=[file_entry(folder, path, unit.spec["n"])], counters={"documents": unit.spec["n"]}
    )


def test_failure_names_the_cause_and_the_rest_continues(local_ray: None, tmp_path: Path) -> None:
    (tmp_path / "fails").touch()
    with Progress("test") as progress:
        with pytest.raises(InputError, match="u-3 is bad[\\s\\S]*give a good one"):
            map_units(work, UNITS, tmp_path, {"trouble": "u-3"}, progress)
        done = {path.stem for path in (tmp_path / "units").iterdir()}
        assert "u-3" not in done
        (tmp_path / "calls").unlink()
        (tmp_path / "fails").unlink()
        reports = map_units(work, UNITS, tmp_path, {"trouble": "u-3"}, progress)
    assert set((tmp_path / "calls").read_text().split()) == {u.name for u in UNITS} - done
    assert (tmp_path / "died").exists()
    assert [report.name for report in reports] == [unit.name for unit in UNITS]
    assert total(reports) == {"documents": 10}
