"""What a finished run says of its passes: quantities, bytes and files, and with timing.py how long they took."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..core.errors import InputError
from ..core.files import at_once
from ..core.manifest import Manifest
from ..core.run import Run
from ..core.units import Unit, source_of
from ..pipelines.reading import units
from ..pipelines.sources.paths import size_of
from .passes import GROWS, PASSES
from .timing import Amounts, Timed, timed_passes, without_ray

ROW_BYTES = 24  # of EDGE


@dataclass(frozen=True)
class Profile:
    """A run. `disk`: bytes by folder; `files`: how many; `rest`: seconds of a stage outside of its passes; `sources`:
    quantities by source, of the `kinds` that these are; `worker_mb`: the most that a worker had resident in a stage."""

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
    sources: dict[str, dict[str, float]] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    worker_mb: dict[str, float] = field(default_factory=dict)

    def of_kind(self, kind: str) -> list[str]:
        """Names of the sources that are of this kind."""
        return [name for name in self.sources if self.kinds.get(name) == kind]


def read_profile(folder: Path) -> Profile:
    """Read a run whose data stages are finished. Raises InputError where its files do not tell the times."""
    run = Run.open(folder)
    manifests = {name: one for name in dict.fromkeys(p.stage for p in PASSES) if (one := run.manifest(name))}
    if not {"extract", "dedup"} <= set(manifests):
        raise InputError(f"{folder} has no finished extract and dedup", f"run it first: {run.command}")
    cores = int(manifests["extract"].made_with.get("processors", {}).get("CPU", 0))
    if not cores:
        raise InputError(
            f"{folder}: its manifests, of an earlier version, do not say on how many cores it ran",
            "run its stage extract again with this version",
        )
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
        found = _files(run.folder / name) if name != "input" else []
        disk[name], files[name] = float(sum(path.stat().st_size for path in found)), len(found)
    disk["input"] = totals["input bytes"]
    seconds = {name: one.seconds for name, one in manifests.items()}
    largest = float(manifests["dedup"].counters.get("largest_component", 0))
    bands = int(manifests["dedup"].facts["bands"])
    facts, kinds = {"largest component": largest}, {source.name: source.kind for source in run.recipe.sources}
    return Profile(cores, bands, totals, amounts, passes, disk, files, rest, seconds, facts, by_source(amounts), kinds)


def by_source(amounts: Amounts) -> dict[str, dict[str, float]]:
    """The quantities of each source, from those of its units."""
    found: dict[str, dict[str, float]] = {}
    for name, mine in amounts.items():
        for unit, value in mine.items():
            totals = found.setdefault(source_of(unit), {})
            totals[name] = totals.get(name, 0.0) + value
    return found


def _amounts(run: Run, manifests: dict[str, Manifest]) -> Amounts:
    """Each quantity by unit, from the units' records; of the WARC files their sizes."""
    found: Amounts = {"input bytes": input_sizes(run)}
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
            found[name] = {unit: float(mine.get(unit, 0)) for unit in found["input bytes"]}
    return found


def input_sizes(run: Run) -> dict[str, float]:
    """Bytes of each unit's input files. Raises InputError where a file's size cannot be known."""
    return unit_sizes(units(run.recipe, run.folder, run.need("crawl")))


def unit_sizes(todo: list[Unit]) -> dict[str, float]:
    """Bytes of each unit's input files; units that share a file share its bytes."""
    files = {unit.name: unit.spec.get("files") or [unit.spec.get("file", "")] for unit in todo}
    readers = Counter(file for mine in files.values() for file in mine)
    names = list(readers)
    try:
        size = dict(zip(names, at_once(size_of, names), strict=True))
    except (OSError, ValueError) as error:
        raise InputError(
            f"the input files cannot be counted: {error}",
            "give the files that the run was made of; or say how many bytes: --bytes SOURCE=100g",
        ) from error
    return {unit: sum(size[file] / readers[file] for file in mine) for unit, mine in files.items()}


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
