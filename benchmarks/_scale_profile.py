"""What a finished run says of its passes: quantities, bytes, and from the times of its files how long each task took.

A pass begins when the one before it has ended; its tasks start in their order, on as many cores as the manifest says.
So the times of the records give each task's seconds. The tasks behind the first of each core give the rate; what those
first took longer is what starting costs (imports, compiled loops, Ray's workers).
"""

from __future__ import annotations

import heapq
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from _scale_passes import DRIVER, GROWS, PASSES, SHUFFLE, Pass
from crawl2chat.core.manifest import Manifest
from crawl2chat.core.run import Run
from crawl2chat.pipelines.reading import units

ROW_BYTES = 24  # of EDGE
AGREE_S, AGREE_SHARE = 2.0, 0.1  # within which a manifest's seconds and the times of the files must agree
Amounts = dict[str, dict[str, float]]  # of a quantity, by unit


@dataclass(frozen=True)
class Timed:
    """A pass as it was measured: `rate` in what it counts a second and core, `start` the seconds that the first task of
    each core takes longer, `spread` how far tasks lie from the rate: the standard deviation of the logarithm."""

    wall: float
    tasks: int
    rate: float
    start: float
    spread: float = 0.0


@dataclass(frozen=True)
class Profile:
    """A run. `disk`: bytes by folder; `files`: how many; `rest`: seconds of a stage outside of its passes."""

    cores: int
    bands: int
    totals: dict[str, float]
    amounts: Amounts
    passes: dict[str, Timed]
    disk: dict[str, float]
    files: dict[str, int]
    rest: dict[str, float]
    seconds: dict[str, float]
    facts: dict[str, float] = field(default_factory=dict)  # largest component


def read_profile(folder: Path) -> Profile:
    """Read a run whose data stages are finished. Exits with a message when its files do not tell the times."""
    run = Run.open(folder)
    manifests = {name: one for name in dict.fromkeys(p.stage for p in PASSES) if (one := run.manifest(name))}
    if not {"extract", "dedup"} <= set(manifests):
        sys.exit(f"{folder} has no finished extract and dedup: run crawl2chat data first")
    cores = int(manifests["extract"].made_with.get("processors", {}).get("CPU", 1))
    amounts = _amounts(run, manifests)
    totals = {name: sum(mine.values()) for name, mine in amounts.items()}
    totals |= {"units": float(len(amounts["pages"])), "rows": _rows(run), "edges": _edges(run)}
    if "tokenizer" in manifests:
        totals["sample bytes"] = float(manifests["tokenizer"].counters["bytes"])
        totals["sample limit"] = float(run.recipe.tokenizer.train_bytes)
    passes, rest = {}, {}
    for stage, manifest in manifests.items():
        timed, rest[stage] = _timed(run.stage(stage), manifest, amounts, totals, cores)
        passes |= timed
    disk, files = {}, {}
    for name in GROWS:
        found = _files(run.folder / name) if name != "warc" else []
        disk[name], files[name] = float(sum(path.stat().st_size for path in found)), len(found)
    disk["warc"] = totals["warc bytes"]
    seconds = {name: one.seconds for name, one in manifests.items()}
    largest = float(manifests["dedup"].counters.get("largest_component", 0))
    bands = int(manifests["dedup"].facts["bands"])
    return Profile(cores, bands, totals, amounts, passes, disk, files, rest, seconds, {"largest component": largest})


def _amounts(run: Run, manifests: dict[str, Manifest]) -> Amounts:
    """Each quantity by unit, from the units' records; of the WARC files their sizes."""
    found: Amounts = {"warc bytes": input_sizes(run)}
    counted = {
        ("extract/units", "documents_in"): "pages", ("extract/units", "documents"): "documents",
        ("extract/units", "bytes_text"): "text bytes", ("dedup/sketches/units", "documents"): "candidates",
        ("dedup/units", "documents"): "kept", ("spans/anchors/units", "words"): "words",
        ("spans/anchors/units", "anchors"): "anchors", ("spans/windows/units", "windows"): "windows",
        ("paragraphs/counts/units", "lines"): "lines", ("tokenizer/units", "documents"): "left",
        ("tokenizer/units", "bytes"): "left bytes", ("shards/units", "tokens_train"): "tokens",
    }  # fmt: skip
    for (folder, counter), name in counted.items():
        if folder.partition("/")[0] in manifests:
            mine = {path.stem: _record(path)["counters"].get(counter, 0) for path in _files(run.folder / folder)}
            found[name] = {unit: float(mine.get(unit, 0)) for unit in found["warc bytes"]}
    return found


def input_sizes(run: Run) -> dict[str, float]:
    """Bytes of each unit's input file; units that share a file share its bytes. Exits where one is not a local file."""
    todo = units(run.recipe, run.folder, run.need("crawl"))
    files = [unit.spec.get("file", "") for unit in todo]
    for file in files:
        if not Path(file).is_file():
            sys.exit(f"{run.folder} was made of {file or 'no single files'}: its bytes are not here to be counted")
    return {unit.name: Path(file).stat().st_size / files.count(file) for unit, file in zip(todo, files, strict=True)}


def _rows(run: Run) -> float:
    done = run.stage("dedup").glob("edges/*/done.json")
    return float(sum(one["rows"] for path in done for one in json.loads(path.read_text())["reports"]))


def _edges(run: Run) -> float:
    """Rows of EDGE, from the records of the pass that puts them in order."""
    records = [_record(path) for path in _files(run.stage("dedup") / "routed" / "units")]
    return float(sum(entry["rows"] for record in records for entry in record["files"]))


def _timed(
    folder: Path, manifest: Manifest, amounts: Amounts, totals: dict[str, float], cores: int
) -> tuple[dict[str, Timed], float]:
    """The passes of a stage, and its seconds outside of them."""
    begin = first = (folder / "started.json").stat().st_mtime
    took = (folder / "manifest.json").stat().st_mtime - first
    if abs(took - manifest.seconds) > max(AGREE_S, AGREE_SHARE * manifest.seconds):
        sys.exit(
            f"{folder}: its files are {took:.0f} s apart, its manifest says {manifest.seconds:.0f} s: it was continued "
            "after a kill, or copied without the times of its files (cp -p keeps them)"
        )
    found = {}
    for one in (one for one in PASSES if one.stage == manifest.stage):
        ends = {path.stem: path.stat().st_mtime for pattern in one.ends for path in folder.glob(pattern)}
        if ends:
            found[one.key] = _rated(one, ends, begin, amounts, totals, cores)
            begin = max(ends.values())
    return found, max(0.0, manifest.seconds - sum(timed.wall for timed in found.values()))


def _rated(
    one: Pass, ends: dict[str, float], begin: float, amounts: Amounts, totals: dict[str, float], cores: int
) -> Timed:
    names = sorted(ends)
    wall, total = max(ends.values()) - begin, totals.get(one.counts, 1.0)
    if one.tasks in (DRIVER, SHUFFLE) or len(names) == 1:
        at_once = cores if one.tasks == SHUFFLE else 1
        return Timed(wall, len(names), total / max(wall, 1e-3) / at_once, 0.0)
    took = seconds_of_tasks([ends[name] - begin for name in names], cores)
    mine = amounts.get(one.counts, {})
    each = np.array([mine.get(name, total / len(names)) for name in names])
    later = np.arange(len(names)) >= cores if len(names) > cores else np.ones(len(names), dtype=bool)
    rate = max(each[later].sum(), 1.0) / max(took[later].sum(), 1e-3)
    start = max(0.0, float((took - each / rate)[~later].mean())) if (~later).any() else 0.0
    off = np.log(np.maximum(took[later], 1e-3) / np.maximum(each[later] / rate, 1e-3))
    return Timed(wall, len(names), float(rate), start, float(off.std()) if later.sum() > 2 else 0.0)


def seconds_of_tasks(ends: Sequence[float], cores: int) -> np.ndarray:
    """Seconds of each task, from the times since the pass began at which they ended; they start in their order, each as
    soon as a core is free."""
    free = [0.0] * min(cores, len(ends))
    took = []
    for end in ends:
        begin = heapq.heappop(free)
        took.append(max(0.0, end - begin))
        heapq.heappush(free, max(begin, end))
    return np.array(took)


def _record(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))["report"]


def _files(folder: Path) -> list[Path]:
    """The files of a folder, and of folders below it that are not counted by themselves; no records of units."""
    if folder.name == "units" or not folder.is_dir():
        return sorted(folder.glob("*.json")) if folder.is_dir() else []
    own: Iterable[Path] = (path for path in folder.rglob("*") if path.is_file() and "units" not in path.parts[-2:])
    inside = [folder.parent.parent / name for name in GROWS if name.startswith(f"{folder.parent.name}/{folder.name}/")]
    return sorted(path for path in own if not any(one in path.parents for one in inside))
