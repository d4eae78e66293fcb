"""`crawl2chat data export`: the documents that a run's data stages kept, as plain files for other programs.

    OUT/UNIT.parquet (or .jsonl.gz)    DOCUMENT and the score columns; texts without the spans that stages cut
    OUT/manifest.json                  written last; without it the export is unfinished, and the same command continues

Unit by unit on Ray, as the stages work: a killed export goes on where it was and ends with the same bytes.
"""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .. import __version__
from ..core.documents import extracted_units, kept_batches, ledger_stages
from ..core.errors import ContractError, InputError
from ..core.files import atomic_path, digest, write_json
from ..core.manifest import Manifest, file_entry, read_manifest, write_manifest
from ..core.progress import Progress, console
from ..core.remote_path import path_of
from ..core.run import Run
from ..core.session import ray_session
from ..core.stage import plan
from ..core.unit_map import map_units
from ..core.units import Unit, UnitReport, total

SUFFIXES = {"parquet": ".parquet", "jsonl": ".jsonl.gz"}
EXPORT = "export"
STARTED = "started.json"  # as in a stage's folder: what an unfinished export is of


def run_export(run: Run, out: Path, kind: str) -> int:
    """Write the run's documents to `out`. Returns the exit code.

    Raises ContractError when the run's data is not up to date, InputError when `out` holds something else.
    """
    extract, config = _checked(run), _config(run, kind)
    mark = digest({key: config[key] for key in ("format", "inputs")})  # not where the run lies
    written = _already(out, mark)
    if written is None:
        write_json(out / STARTED, mark)
        began = time.monotonic()
        with run.lock(), ray_session(run.recipe.resources, run.folder / "logs"), Progress(EXPORT) as progress:
            reports = map_units(export_unit, extracted_units(extract), out, config, progress)
        files = sorted((entry for report in reports for entry in report.files), key=lambda entry: entry.path)
        written = Manifest(
            stage=EXPORT,
            version=1,
            config=config,
            fingerprint=mark,
            inputs=config["inputs"],
            files=files,
            counters={**total(reports)},
            facts={},
            code_version=__version__,
            seconds=round(time.monotonic() - began, 2),
        )
        write_manifest(out, written)
    counts = written.counters
    console.print(
        f"{counts['documents']:,} documents, {counts['bytes_text']:,} bytes of text in {len(written.files)} files "
        f"in {out}",
        soft_wrap=True,
    )
    return 0


def export_unit(unit: Unit, folder: Path, config: dict[str, Any]) -> UnitReport:
    """Write one unit's documents."""
    extract, ledgers = path_of(config["extract"]), [path_of(ledger) for ledger in config["ledgers"]]
    schema = pq.read_schema(extract / "documents" / f"{unit.name}.parquet")
    target = folder / f"{unit.name}{SUFFIXES[config['format']]}"
    documents = size = 0
    with atomic_path(target) as partial, _writer(partial, schema, config["format"]) as write:
        for batch in kept_batches(unit.name, extract, ledgers, schema.names):
            write(batch)
            documents += batch.num_rows
            texts: Any = batch["text"]
            size += pc.sum(pc.binary_length(texts)).as_py()
    entry = file_entry(folder, target, documents)
    return UnitReport(name=unit.name, files=[entry], counters={"documents": documents, "bytes_text": size})


@contextmanager
def _writer(path: Path, schema: pa.Schema, kind: str) -> Iterator[Any]:
    """A function that appends a batch to the file."""
    if kind == "parquet":
        with pq.ParquetWriter(path, schema, compression="zstd") as parquet:
            yield parquet.write_batch
        return
    with path.open("wb") as raw, gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as lines:

        def write(batch: pa.RecordBatch) -> None:
            for row in batch.to_pylist():
                lines.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")

        yield write


def _checked(run: Run) -> Manifest:
    """The manifest of `extract`, once it and all stages behind it that drop or cut are up to date."""
    from .stages import all_stages

    names = ("crawl", "extract", *ledger_stages(run.recipe))
    for item in plan([stage for stage in all_stages(run.recipe) if stage.name in names], run):
        if item.todo:
            raise ContractError(
                f"stage {item.stage.name} in {run.folder} is not up to date: {item.why}",
                f"bring it up to date first: crawl2chat data --run {run.folder}",
            )
    return run.need("extract")


def _config(run: Run, kind: str) -> dict[str, Any]:
    stages = ("extract", *ledger_stages(run.recipe))
    return {
        "format": kind,
        "extract": str(run.stage("extract")),
        "ledgers": [str(run.stage(name)) for name in stages[1:]],
        "inputs": {name: run.need(name).digest for name in stages},
    }


def _already(out: Path, mark: str) -> Manifest | None:
    """The finished export that lies there, None for an empty folder or one to continue."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    if not (out / STARTED).is_file():
        raise InputError(f"{out} holds other files", "give a new folder with --out")
    found = read_manifest(out)
    if json.loads((out / STARTED).read_text(encoding="utf-8")) != mark:
        raise InputError(f"{out} holds an export of another state of the run", "give a new folder with --out")
    return found
