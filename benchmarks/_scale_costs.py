"""What the driver takes for each unit, pair of the shuffle and file, measured on the Ray of this machine.

Units that do nothing go through `map_units`, in three numbers; rows through `shuffle`, in few and many partitions; and
a manifest of many files is read, and its digest taken. The slopes are the costs.
"""

from __future__ import annotations

import resource
import tempfile
import time
import tracemalloc
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from _scale_shape import MB, Costs
from crawl2chat.core.manifest import FileEntry, Manifest, read_manifest, write_manifest
from crawl2chat.core.progress import Progress
from crawl2chat.core.session import ray_session
from crawl2chat.core.settings_training import Resources
from crawl2chat.core.unit_map import map_units
from crawl2chat.core.units import Unit, UnitReport
from crawl2chat.dedup.shuffle_stage import shuffle

UNITS, FEW_UNITS = (100, 400, 1600), (20, 60)
SHUFFLED, PARTITIONS = 64, (2, 32, 128)
FEW_SHUFFLED = 8
ENTRIES = 50_000
ROWS = 4096  # of a unit in the shuffle


def measure(quick: bool) -> Costs:
    """Start a Ray on two cores, and measure. Prints what it found."""
    with tempfile.TemporaryDirectory() as name, ray_session(Resources(cpus=2), Path(name)):
        unit_s, unit_mb = _units(Path(name), FEW_UNITS if quick else UNITS)
        object_s = _pairs(Path(name), *((FEW_SHUFFLED, PARTITIONS[:2]) if quick else (SHUFFLED, PARTITIONS)))
        entry_s, entry_mb = _entries(Path(name), ENTRIES // 10 if quick else ENTRIES)
    return Costs(unit_s=unit_s, unit_mb=unit_mb, object_s=object_s, entry_s=entry_s, entry_mb=entry_mb)


def _units(folder: Path, numbers: tuple[int, ...]) -> tuple[float, float]:
    """Seconds of a core that the driver's process takes for a unit, and MB. Workers' seconds are not in it."""
    took, held = [], []
    for number in (numbers[0], *numbers):  # the first time Ray starts its workers
        units = [Unit(name=f"u-{at:05d}") for at in range(number)]
        before, began, own = _resident_mb(), time.monotonic(), time.process_time()
        map_units(nothing, units, folder / f"{number}-{len(took)}", {}, Progress("costs"))
        took.append(time.process_time() - own)
        held.append(_resident_mb() - before)
        print(
            f"{number:,} units that do nothing: {time.monotonic() - began:.2f} s, of these {took[-1]:.2f} s of the "
            f"driver, whose peak grew by {held[-1]:.0f} MB"
        )
    return _slope(numbers, took[1:]), max(0.0, sum(held[1:])) / numbers[-1]


def _pairs(folder: Path, shuffled: int, numbers: tuple[int, ...]) -> float:
    """Seconds of a core for a pair of a unit and a partition, of two cores that both work on it."""
    units, took = [Unit(name=f"u-{at:05d}") for at in range(shuffled)], []
    for number in (numbers[0], *numbers):
        began = time.monotonic()
        into = folder / f"shuffle-{number}-{len(took)}"
        shuffle(units, number, partial(some_rows, partitions=number), count_rows, into, Progress("costs"))
        took.append(time.monotonic() - began)
    for number, seconds in zip(numbers, took[1:], strict=True):
        print(f"{shuffled} units of {ROWS:,} rows to {number} partitions: {seconds:.2f} s")
    return max(0.0, _slope([shuffled * number for number in numbers], took[1:])) * 2


def _entries(folder: Path, number: int) -> tuple[float, float]:
    """Seconds and MB to read a manifest and take its digest, for each file in it."""
    files = [
        FileEntry(path=f"documents/web-{at:05d}.parquet", rows=at, bytes=at, sha256=f"{at:064x}")
        for at in range(number)
    ]
    empty: dict[str, Any] = {"config": {}, "inputs": {}, "counters": {}, "facts": {}}
    write_manifest(
        folder, Manifest(stage="x", version=1, fingerprint="", files=files, code_version="", seconds=0, **empty)
    )
    began = time.process_time()
    read = read_manifest(folder)
    assert read is not None and read.digest
    seconds = time.process_time() - began
    tracemalloc.start()
    read = read_manifest(folder)
    held = tracemalloc.get_traced_memory()[0] / MB
    tracemalloc.stop()
    print(f"a manifest of {number:,} files: {seconds:.2f} s to read and digest, {held:.0f} MB while it is there")
    return seconds / number, held / number


def nothing(unit: Unit, folder: Path, config: dict[str, Any]) -> UnitReport:
    """A unit's work that is none; a report as extract gives it: three files, some counters."""
    files = [FileEntry(path=f"{kind}/{unit.name}", rows=1, bytes=0, sha256="0" * 64) for kind in "abc"]
    for entry in files:
        path = folder / entry.path
        path.parent.mkdir(exist_ok=True, parents=True)
        path.touch()
    return UnitReport(name=unit.name, files=files, counters={f"dropped.reason_{at}": at for at in range(30)})


def some_rows(unit: str, partitions: int) -> pa.Table:
    numbers = np.arange(ROWS, dtype=np.uint64)
    return pa.table({"key": numbers, "doc": numbers, "partition": (numbers % partitions).astype(np.int32)})


def count_rows(number: int, columns: dict[str, np.ndarray]) -> dict[str, Any]:
    return {"partition": number, "rows": len(columns["key"])}


def _slope(sizes: Any, values: list[float]) -> float:
    return float(np.polyfit(sizes, values, 1)[0])


def _resident_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
