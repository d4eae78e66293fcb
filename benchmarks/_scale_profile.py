"""What a finished run says of its passes: quantities, bytes and files, and with _scale_timing.py how long they took."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from _scale_passes import GROWS, PASSES
from _scale_timing import Amounts, Timed, timed_passes, without_ray
from crawl2chat.core.manifest import Manifest
from crawl2chat.core.run import Run
from crawl2chat.pipelines.reading import units

ROW_BYTES = 24  # of EDGE


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
    cores = int(manifests["extract"].made_with.get("processors", {}).get("CPU", 0))
    if not cores:
        sys.exit(f"{folder}: its manifests, of an earlier version, do not say on how many cores it ran")
    amounts = _amounts(run, manifests)
    totals = {name: sum(mine.values()) for name, mine in amounts.items()}
    totals |= {"units": float(len(amounts["pages"])), "rows": _rows(run), "edges": _edges(run)}
    if "tokenizer" in manifests:
        totals["sample bytes"] = float(manifests["tokenizer"].counters["bytes"])
        totals["sample limit"] = float(run.recipe.tokenizer.train_bytes)
    passes, rest = {}, {}
    for stage, manifest in manifests.items():
        timed, rest[stage] = timed_passes(run.stage(stage), manifest, amounts, totals, cores)
        passes |= timed
    passes = without_ray(passes)
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


def _record(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))["report"]


def _files(folder: Path) -> list[Path]:
    """The files of a folder, and of folders below it that are not counted by themselves; no records of units."""
    if folder.name == "units" or not folder.is_dir():
        return sorted(folder.glob("*.json")) if folder.is_dir() else []
    own: Iterable[Path] = (path for path in folder.rglob("*") if path.is_file() and "units" not in path.parts[-2:])
    inside = [folder.parent.parent / name for name in GROWS if name.startswith(f"{folder.parent.name}/{folder.name}/")]
    return sorted(path for path in own if not any(one in path.parents for one in inside))
