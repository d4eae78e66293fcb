"""The index of a deduplicated corpus, to which later runs add: what of it decides about a new document.

    index/index.json                 parameters, partitions, documents that stay, how many runs added, a digest of
                                     all files
    index/files.json                 [{path, bytes, rows, sha256}] of all files below but these two, by path
    index/keys/part-00000.arrow      KEYED: band keys of the documents that stay; one file for each partition, sorted
    index/seen/part-00000.arrow      SEEN: what was seen, and who stays for it; likewise
    index/sketches/000/UNIT.arrow    SKETCH of the documents that stay, sorted by doc; 000, 001, …: one folder for each
                                     run that added to it
    index/sketches/000/units.npy     names of the run's units, sorted

SEEN has three kinds of rows (bands.py):

    EXACT      each text that was compared (documents that left for their URL, or as known ones, left before): doc and
               low are those of the document that stays for it; first and second the text's hash
    URL        each URL, with `dedup.url`: likewise, and the URL's hash
    IDENTITY   each document, also those that left: first is the number of the run that added it, second that of its
               unit, so that sketches are found without a search

A new document never changes what became of an old one: an old one is decided by those before it alone. So the index
needs no document that left, and adding to it gives what deduplicating everything at once would, with the documents of
the index first in priority.

A partition of 2 P partitions holds rows of one of P alone. So an index of P serves runs of any multiple of P.
"""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..core.errors import ContractError, InputError
from ..core.manifest import FileEntry
from ..core.settings_data import Dedup
from .bands import IDENTITY, of_kind, partition_of
from .exact import EXACT_VERSION
from .minhash import VERSION
from .tables import number, numbers, read_arrow, sketch_schema

KEYED = pa.schema([number("key"), number("doc")])
SEEN = pa.schema([number(name) for name in ("key", "doc", "low", "first", "second")])
TABLES = {"keys": KEYED, "seen": SEEN}
FORMAT = 4
INDEX_FILE = "index.json"
FILES_FILE = "files.json"


def parameters(settings: Dedup, terms: list[str]) -> dict[str, Any]:
    """What an index and a run that adds to it must have in common."""
    bands, rows = settings.banding
    return {
        "format": FORMAT,
        "signatures": VERSION,
        "exact": EXACT_VERSION,
        "unicode": unicodedata.unidata_version,
        **{name: getattr(settings, name) for name in ("unit", "ngram", "seed", "threshold", "verify", "url")},
        **{"bands": bands, "rows": rows, "priority": terms},
    }


def read_index(folder: Path) -> dict[str, Any]:
    """index.json. Raises InputError when there is none."""
    path = folder / INDEX_FILE
    if not path.is_file():
        raise InputError(
            f"{folder} is no index: it has no index.json", "give RUN/dedup/index of a run with write_index"
        )
    return json.loads(path.read_text(encoding="utf-8"))


def read_files(folder: Path) -> list[FileEntry]:
    """files.json, whose paths are relative to the index. Raises InputError when there is none."""
    path = folder / FILES_FILE
    if not path.is_file():
        raise InputError(f"the index {folder} has lost its {FILES_FILE}", "restore it from a copy, or make it anew")
    return [FileEntry.model_validate(one) for one in json.loads(path.read_text(encoding="utf-8"))]


def check_index(folder: Path, settings: Dedup, terms: list[str]) -> None:
    """Raise ContractError when the index was made with other parameters; both are named."""
    index = read_index(folder)
    made, now = index["parameters"], parameters(settings, terms)
    odd = [name for name in sorted(made.keys() | now.keys()) if made.get(name) != now.get(name)]
    if odd:
        sides = [", ".join(f"{name}={side.get(name)!r}" for name in odd) for side in (made, now)]
        raise ContractError(
            f"the index {folder} was made with {sides[0]}, the recipe has {sides[1]}",
            "give the recipe the index's values, or make the index anew",
        )
    if settings.partitions is not None and settings.partitions % index["partitions"]:
        raise ContractError(
            f"dedup.partitions is {settings.partitions}, the index {folder} has {index['partitions']} partitions",
            "leave dedup.partitions out, or give a multiple of the index's",
        )


def grown(partitions: int, needed: int) -> int:
    """An index's partitions, doubled until they are as many as a run needs."""
    while partitions < needed:
        partitions *= 2
    return partitions


def read_part(folder: Path, name: str, number: int) -> pa.Table:
    """Of `keys` or `seen` the file with the rows of a partition, mapped; also of a run of more partitions."""
    return read_arrow(part_file(folder, name, number % read_index(folder)["partitions"]))


def part_file(folder: Path, name: str, number: int) -> Path:
    return folder / name / f"part-{number:05d}.arrow"


def joined(table: pa.Table, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Join of keys with a table of the index, which is sorted by key: which key, and the number of a row with it."""
    old = numbers(table["key"])
    first, last = np.searchsorted(old, keys, "left"), np.searchsorted(old, keys, "right")
    at = np.repeat(np.arange(len(keys)), last - first)
    rows = np.arange(len(at)) - np.repeat(np.cumsum(last - first) - (last - first), last - first) + first[at]
    return at, rows


def look_up(folder: Path, keys: np.ndarray) -> pa.Table:
    """SEEN rows of some keys. Of the index's files only pages that the searches touch are read."""
    keys = np.unique(keys)
    found = [SEEN.empty_table()]
    partitions = read_index(folder)["partitions"]
    part = partition_of(keys, partitions)
    order = np.argsort(part, kind="stable")
    starts = np.flatnonzero(np.diff(part[order], prepend=-1))
    for some in np.split(order, starts[1:]) if len(keys) else ():
        table = read_arrow(part_file(folder, "seen", int(part[some[0]])))
        found.append(table.take(joined(table, keys[some])[1]))
    return pa.concat_tables(found).combine_chunks()


def read_sketches(folder: Path, docs: np.ndarray, terms: int) -> tuple[pa.Table, np.ndarray]:
    """SKETCH rows of documents that stay in the index (docs is sorted), and the number of the run that added each."""
    seen = look_up(folder, of_kind(docs, IDENTITY))
    doc, run, unit = (numbers(seen[name]) for name in ("doc", "first", "second"))
    order = np.lexsort((doc, unit, run))
    order = order[np.isin(doc[order], docs)]
    doc, run, unit = doc[order], run[order], unit[order]
    places = np.flatnonzero(np.append(True, (run[1:] != run[:-1]) | (unit[1:] != unit[:-1]))) if len(doc) else []
    tables = [sketch_schema(terms).empty_table()]
    for first, last in zip(places, [*places[1:], len(doc)], strict=True):
        table = read_arrow(sketch_file(folder, int(run[first]), int(unit[first])))
        tables.append(table.take(np.searchsorted(numbers(table["doc"]), doc[first:last])))
    both = pa.concat_tables(tables)
    assert np.array_equal(numbers(both["doc"]), doc), f"{folder} lacks sketches of documents that stay"
    return both, run.astype(np.int64)


def sketch_file(folder: Path, run: int, unit: int) -> Path:
    """The sketches of a unit, by its number."""
    names = np.load(folder / "sketches" / f"{run:03d}" / "units.npy", mmap_mode="r")
    return folder / "sketches" / f"{run:03d}" / f"{names[unit]}.arrow"
