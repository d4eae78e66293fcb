"""WARC to filtered documents: ours against a datatrove pipeline of the same steps; ours on Ray, on one core and on two.

    python benchmarks/pipeline.py [--warcs FOLDER] [--pages N] [--json] [--quick]      against datatrove
    python benchmarks/pipeline.py [--warcs FOLDER] --scale [--json] [--quick]          Ray, two cores, memory; all pages

Both sides read the same WARC files, extract with the accuracy of trafilatura (theirs: trafilatura itself, fast=True),
keep English at 0.65 with the same lid.176 model, run Gopher repetition, Gopher quality, C4 and FineWeb with the same
thresholds, and write what they keep. What they keep differs as their texts do: of equal texts the filters say the same
(filters.py), but two extractors find other texts, and a page near a threshold falls on one side or the other. Every run
is a process of its own, pinned to its cores with all its children; starting Python, Ray and loading libraries is not
timed, nor are some hundred other pages that every side does first; the work is. Seconds are the wall's: other work on
the machine counts, most of all against two cores.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from _bench import SHARED, arguments, finish, print_table

WARCS = [SHARED / "data" / name / "pages.warc.gz" for name in ("trafilatura-eval", "debian-multilang-html")]
WARM_UP = [SHARED / "data" / "warc-samples" / f"{name}.warc.gz" for name in ("aut-example", "dolma-sample-0000")]
Figures = dict[str, Any]  # pages, kept, seconds; urls of what was kept, reasons of what was not by its url
Side = Callable[[list[str], Path], Figures]


# ── the sides: each runs in a process of its own ─────────────────────────────────────────────────────────────────────


def plain(files: list[str], folder: Path) -> Figures:
    """Our own functions in a loop, without Ray."""
    import pyarrow.dataset as ds
    from crawl2chat.pipelines.extract_stage import extract_unit

    todo, config = _units(files)
    extract_unit(todo[0].model_copy(update={"spec": {**todo[0].spec, "file": str(_warm_up(folder))}}), folder, config)
    began, count, kept = time.perf_counter(), 0, 0
    for unit in todo:
        counters = extract_unit(unit, folder / "plain", config).counters
        count, kept = count + counters["documents_in"], kept + counters["documents"]
    seconds = time.perf_counter() - began
    urls = ds.dataset(folder / "plain" / "documents").to_table(columns=["url"])["url"].to_pylist()
    lost = ds.dataset(folder / "plain" / "dropped").to_table(columns=["url", "reason"]).to_pylist()
    reasons = {row["url"]: row["reason"] for row in lost}
    return {"seconds": seconds, "pages": count, "kept": kept, "urls": urls, "reasons": reasons}


def with_ray(files: list[str], folder: Path) -> Figures:
    """The stage's map over units, on as many workers as this process has cores."""
    from crawl2chat.core.progress import Progress
    from crawl2chat.core.session import ray_session
    from crawl2chat.core.settings_training import Resources
    from crawl2chat.core.unit_map import map_units
    from crawl2chat.pipelines.extract_stage import extract_unit

    cores = len(os.sched_getaffinity(0))
    todo, config = _units(files)
    with ray_session(Resources(cpus=cores), folder / "logs"), Progress("extract") as progress:
        small = str(_warm_up(folder))
        first = [unit.model_copy(update={"spec": {**unit.spec, "file": small}}) for unit in todo[:cores]]
        map_units(extract_unit, first, folder / "warm", config, progress)
        began = time.perf_counter()
        reports = map_units(extract_unit, todo, folder / "ray", config, progress)
        seconds = time.perf_counter() - began
    pages = sum(report.counters["documents_in"] for report in reports)
    return {"seconds": seconds, "pages": pages, "kept": sum(report.counters["documents"] for report in reports)}


def datatrove(files: list[str], folder: Path) -> Figures:
    """datatrove's own reader, extractor, language filter and quality filters, in one local task."""
    import pyarrow.dataset as ds
    from crawl2chat.pipelines.language import _model
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.extractors import Trafilatura
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
        LanguageFilter,
    )
    from datatrove.pipeline.readers import WarcReader
    from datatrove.pipeline.writers import ParquetWriter
    from datatrove.utils.lid import FT176LID
    from datatrove.utils.logging import logger

    logger.remove()
    FT176LID.model = property(lambda self: _model())  # type: ignore[assignment]  # as ours; its own is a download

    def run(paths: list[str], name: str) -> dict[str, int]:
        names = folder / f"{name}.txt"
        names.write_text("\n".join(paths))
        LanguageFilter._requires_dependencies = []  # it wants fastText from a distribution of another name
        language = LanguageFilter(languages=["en"], language_threshold=0.65)
        reader = WarcReader("/", paths_file=str(names))
        extractor = Trafilatura(favour_precision=False, deduplicate=False, timeout=30, fast=True)
        quality = [
            GopherRepetitionFilter(),
            GopherQualityFilter(),
            C4QualityFilter(filter_no_terminal_punct=False),
            FineWebQualityFilter(),
        ]
        steps = [reader, extractor, language, *quality, ParquetWriter(str(folder / name))]
        stats = LocalPipelineExecutor(steps, tasks=1, logging_dir=str(folder / f"{name}_logs")).run()
        counts = [{key: int(value.total) for key, value in step.stats.items()} for step in stats.stats]
        return {"pages": counts[1]["total"], "kept": counts[-1].get("total", 0)}

    run([str(_warm_up(folder))], "warm")
    began = time.perf_counter()
    counts = run([str(Path(file).resolve()).lstrip("/") for file in files], "datatrove")
    seconds = time.perf_counter() - began
    rows = ds.dataset(folder / "datatrove").to_table(columns=["metadata"]).to_pylist()
    return {"seconds": seconds, **counts, "urls": [row["metadata"]["url"] for row in rows]}


SIDES: dict[str, Side] = {"plain": plain, "ray": with_ray, "datatrove": datatrove}


def _units(files: list[str]) -> tuple[list[Any], dict[str, Any]]:
    """Units and settings of the stage, as a recipe gives them."""
    from crawl2chat.core.manifest import Manifest
    from crawl2chat.core.recipe import Recipe
    from crawl2chat.pipelines.extract_stage import EXTRACT
    from crawl2chat.pipelines.reading import units

    recipe = Recipe.model_validate({"name": "bench", "sources": [{"kind": "warc", "name": "web", "paths": files}]})
    empty: dict[str, Any] = {"config": {}, "inputs": {}, "files": [], "counters": {}, "facts": {}}
    nothing = Manifest(stage="crawl", version=1, fingerprint="", code_version="", seconds=0, **empty)
    return units(recipe, Path(), nothing), EXTRACT.config(recipe)


def _warm_up(folder: Path) -> Path:
    """A WARC of some hundred other pages, so that libraries and models are loaded before the clock starts."""
    path = folder / "warm_up.warc.gz"
    if not path.exists():
        write_sample(WARM_UP, path, every=1)
    return path


# ── measuring ────────────────────────────────────────────────────────────────────────────────────────────────────────


def write_sample(files: list[Path], target: Path, every: int) -> None:
    """Every n-th record of the files, as a WARC file."""
    with gzip.open(target, "wb", compresslevel=1) as out:
        for number, record in enumerate(_responses(files)):
            if number % every == 0:
                record.write(out)


def deal(files: list[Path], folder: Path, at_least: int, parts: int = 8) -> list[Path]:
    """All records, dealt out to WARC files of like size; again from the beginning, until there are enough of them."""
    paths = [folder / f"part-{part}.warc.gz" for part in range(parts)]
    number = 0
    with ExitStack() as stack:
        outs = [stack.enter_context(gzip.open(path, "wb", compresslevel=1)) for path in paths]
        while number < at_least:
            for record in _responses(files):
                record.write(outs[number % parts])
                number += 1
    return paths


def _responses(files: list[Path]) -> Iterator[Any]:
    """The pages. Each says what it is, as in Common Crawl: datatrove guesses else, and drops a tenth of them."""
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    for file in files:
        with file.open("rb") as handle:
            for record in ArchiveIterator(handle, record_types=WarcRecordType.response):
                if "WARC-Identified-Payload-Type" not in record.headers:
                    record.headers["WARC-Identified-Payload-Type"] = record.http_content_type or "text/html"
                yield record


def measure(side: str, files: list[Path], cores: list[int]) -> Figures:
    """Run one side in a process of its own on these cores; its figures, and the peak of memory of one worker."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--side", side, "--folder", folder, *map(str, files)]
        one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"), "1")
        process = subprocess.Popen(
            command,
            env=os.environ | one_thread,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
        peak = [0.0]
        threading.Thread(target=_watch, args=(process, side == "ray", peak), daemon=True).start()
        output, said = process.communicate()
    if process.returncode != 0:
        sys.exit(f"{said}\nthe side {side} failed with exit code {process.returncode}")
    return {**json.loads(output.splitlines()[-1]), "peak_mb": peak[0]}


def _watch(process: subprocess.Popen, on_ray: bool, peak: list[float]) -> None:
    """Keep in `peak` the largest memory of a worker with its children, in MB, five times a second."""
    while process.poll() is None:
        processes = _processes()
        family = list(_family(process.pid, processes))
        workers = [pid for pid in family if processes[pid][1].startswith("ray::")] if on_ray else [process.pid]
        for worker in workers:
            peak[0] = max(peak[0], sum(processes[pid][2] for pid in _family(worker, processes)))
        time.sleep(0.2)


def _processes() -> dict[int, tuple[int, str, float]]:
    """All processes: parent, name, resident MB."""
    found: dict[int, tuple[int, str, float]] = {}
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            lines = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
            resident = int(lines.get("VmRSS", "0 kB").split()[0]) / 1024
            found[int(status.parent.name)] = int(lines["PPid"]), lines["Name"], resident
        except (OSError, KeyError):  # it has ended
            continue
    return found


def _family(root: int, processes: dict[int, tuple[int, str, float]]) -> Iterator[int]:
    """A process and all below it."""
    if root in processes:
        yield root
    for pid, (parent, _, _) in processes.items():
        if parent == root:
            yield from _family(pid, processes)


# ── the two comparisons ──────────────────────────────────────────────────────────────────────────────────────────────


def against_datatrove(files: list[Path], every: int) -> dict[str, float]:
    """One core each, in one run, on the same pages."""
    with tempfile.TemporaryDirectory() as folder:
        sample = Path(folder) / "sample.warc.gz"
        write_sample(files, sample, every)
        theirs, ours = measure("datatrove", [sample], [0]), measure("plain", [sample], [0])
    _print([("datatrove, one core", theirs), ("crawl2chat, one core", ours)])
    _print_differences(theirs, ours)
    return {
        "pipeline_speedup": _rate(ours) / _rate(theirs),
        "pipeline_documents_per_s": _rate(ours),
        "datatrove_documents_per_s": _rate(theirs),
    }


def at_scale(files: list[Path], at_least: int) -> dict[str, float]:
    """All pages: Ray against the plain loop on one core, two cores against one, and memory for a twelfth beside all."""
    with tempfile.TemporaryDirectory() as folder:
        parts = deal(files, Path(folder), at_least)
        twelfth = Path(folder) / "twelfth.warc.gz"
        write_sample(parts, twelfth, every=12)
        few, loop = measure("plain", [twelfth], [0]), measure("plain", parts, [0])
        one, two = measure("ray", parts, [0]), measure("ray", parts, [0, 1])
    named = ("plain loop, one core", "on Ray, one core", "on Ray, two cores", "plain loop, a twelfth")
    _print([*zip(named, (loop, one, two, few), strict=True)])
    return {
        "two_core_gain": _rate(two) / _rate(one),
        "ray_overhead": one["seconds"] / loop["seconds"],
        "peak_worker_mb": max(side["peak_mb"] for side in (few, loop, one, two)),
        "peak_worker_mb_twelfth": few["peak_mb"],
        "documents_per_s": _rate(loop),
    }


def _print_differences(theirs: Figures, ours: Figures) -> None:
    """Which pages are kept by both; of those that only datatrove keeps, why ours does not."""
    both = set(theirs["urls"]) & set(ours["urls"])
    print(
        f"\nkept by both: {len(both)}, by datatrove only: {len(theirs['urls']) - len(both)}, by crawl2chat only: ",
        end="",
    )
    print(len(ours["urls"]) - len(both))
    reasons = Counter(ours["reasons"].get(url, "not read") for url in set(theirs["urls"]) - both)
    print(
        "what crawl2chat says of the former:", ", ".join(f"{n} {reason}" for reason, n in reasons.most_common()) or "-"
    )


def _rate(figures: Figures) -> float:
    return figures["pages"] / figures["seconds"]


def _print(rows: list[tuple[str, Figures]]) -> None:
    first = _rate(rows[0][1])
    print_table(
        ["", "pages", "kept", "seconds", "documents/s", "ratio", "worker MB"],
        [
            [name, int(f["pages"]), int(f["kept"]), f["seconds"], _rate(f), _rate(f) / first, f["peak_mb"]]
            for name, f in rows
        ],
    )


def main() -> None:
    if sys.argv[1:2] == ["--side"]:  # what `measure` starts
        print(json.dumps(SIDES[sys.argv[2]](sys.argv[5:], Path(sys.argv[4]))))
        return
    parser = arguments(__doc__)
    parser.add_argument("--warcs", type=Path, help="folder of .warc.gz files (default: pages of ../shared/data)")
    parser.add_argument("--pages", type=int, default=4000, help="compare on about so many (default: %(default)s)")
    parser.add_argument("--scale", action="store_true", help="on all pages: Ray, two cores, memory")
    options = parser.parse_args()
    files = sorted(options.warcs.glob("*.warc.gz")) if options.warcs else WARCS
    if not files:
        sys.exit(f"no .warc.gz files in {options.warcs}")
    if options.scale:
        finish(at_scale(files, 1000 if options.quick else 10_000), options.json)
        return
    pages = sum(1 for _ in _responses(files))
    wanted = 200 if options.quick else options.pages
    finish(against_datatrove(files, max(1, round(pages / wanted))), options.json)


if __name__ == "__main__":
    main()
