"""The texts that a quality classifier is trained on: files, or the documents of a run's source.

NAME                    a source of the run: the documents that it kept
PATH                    .txt (one document a file), .jsonl, .json (a list), .parquet; .gz for all; globs
PATH#COLUMN[,COLUMN…]   of tables: the columns that make a document, one below the other; text if not named
PATH#lines              of .txt: one document a line
"""

from __future__ import annotations

import glob
import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..core.documents import extracted_units, kept_batches, ledger_stages, strings
from ..core.errors import InputError
from ..core.run import Run
from ..core.units import source_of
from .extract import normalise
from .stats import usable

LINES = "lines"


def documents(name: str, run: Run | None) -> Iterator[str]:
    """The texts behind one name on the command line. Raises InputError when there is nothing to read."""
    if run is not None and name in [source.name for source in run.recipe.sources]:
        yield from _of_source(run, name)
        return
    found, files = False, files_of(name, run)
    for file, columns in files:
        for text in _of_file(file, columns):
            if text := normalise(text).strip():
                found = True
                yield text
    if not found:
        path, columns = name.partition("#")[0], files[0][1]
        raise InputError(f"{path} holds no text under {', '.join(columns)}", f"name the columns: {path}#COLUMN")


def files_of(name: str, run: Run | None) -> list[tuple[Path, list[str]]]:
    """The files that a name stands for, each with the columns to read. Raises InputError for none."""
    path, _, columns = name.partition("#")
    files = sorted(Path(file) for file in glob.glob(path, recursive=True))  # noqa: PTH207  absolute patterns too
    if not files:
        known = f", or a source of the run: {', '.join(s.name for s in run.recipe.sources)}" if run else ""
        raise InputError(f"{name}: no such file", f"give a path{known}")
    for file in files:
        if _kind(file) not in READERS:
            raise InputError(f"{file} is of no known kind", f"give files of {', '.join(READERS)}, .gz or not")
    return [(file, [column for column in columns.split(",") if column] or ["text"]) for file in files]


def _of_source(run: Run, name: str) -> Iterator[str]:
    """The documents of a source that the run's stages kept, as far as they are finished."""
    extract = run.need("extract")
    found = usable(run, extract)
    later = [run.stage(stage) for stage in ledger_stages(run.recipe) if stage in found]
    units = [unit.name for unit in extracted_units(extract) if source_of(unit.name) == name]
    for unit in units:
        for batch in kept_batches(unit, run.stage("extract"), later, ["text"]):
            yield from strings(batch["text"])


def _of_file(file: Path, columns: Sequence[str]) -> Iterator[str]:
    try:
        yield from READERS[_kind(file)](file, columns)
    except (OSError, EOFError, ValueError, pa.ArrowException) as error:
        raise InputError(
            f"{file} cannot be read: {error}", "give a whole file of the kind that its name says"
        ) from error


def _kind(file: Path) -> str:
    return Path(file.stem).suffix if file.suffix == ".gz" else file.suffix


def _open(file: Path) -> Any:
    return gzip.open(file, "rt", encoding="utf-8") if file.suffix == ".gz" else file.open(encoding="utf-8")


def _text(file: Path, columns: Sequence[str]) -> Iterator[str]:
    with _open(file) as handle:
        if list(columns) == [LINES]:
            yield from handle
        else:
            yield handle.read()


def _jsonl(file: Path, columns: Sequence[str]) -> Iterator[str]:
    with _open(file) as handle:
        for line in handle:
            if line.strip():
                yield _joined(json.loads(line), columns)


def _json(file: Path, columns: Sequence[str]) -> Iterator[str]:
    with _open(file) as handle:
        for row in json.load(handle):
            yield _joined(row, columns)


def _parquet(file: Path, columns: Sequence[str]) -> Iterator[str]:
    with pq.ParquetFile(file) as table:
        if missing := [column for column in columns if column not in table.schema_arrow.names]:
            raise ValueError(f"no column {missing[0]}")
        for batch in table.iter_batches(columns=list(columns)):
            for row in batch.to_pylist():
                yield _joined(row, columns)


def _joined(row: Any, columns: Sequence[str]) -> str:
    """The row's columns that hold text, one below the other."""
    if not isinstance(row, dict):
        raise ValueError(f"a row is {type(row).__name__}, not an object")
    cells = [row.get(column) for column in columns]
    return "\n".join(cell for cell in cells if isinstance(cell, str) and cell.strip())


READERS = {".txt": _text, ".jsonl": _jsonl, ".json": _json, ".parquet": _parquet}
