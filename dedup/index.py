"""The index of a deduplicated corpus, to which later runs add: what of it decides about a new document.

    index/index.json                 parameters, partitions, documents, a digest of all files
    index/keys/part-00000.arrow      one for each partition: KEYED, keys of the documents that stay, sorted; for the
                                     exact key of one that left, the one that stays for it
    index/sketches/000/UNIT.arrow    SKETCH of the documents that stay, sorted by doc; 000, 001, …: one folder for each
                                     run that added to it

A new document never changes what became of an old one: an old one is decided by those before it alone. So the index
needs no document that left, and adding to it gives what deduplicating everything at once would, with the documents of
the index first in priority.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..core.errors import ContractError, InputError
from ..core.files import atomic_path
from ..core.settings_data import Dedup
from .minhash import VERSION
from .tables import number, numbers, read_arrow, write_arrow

KEYED = pa.schema([number("key"), number("doc")])
FORMAT = 2
INDEX_FILE = "index.json"


def parameters(settings: Dedup, terms: list[str]) -> dict[str, Any]:
    """What an index and a run that adds to it must have in common."""
    bands, rows = settings.banding
    return {
        "format": FORMAT,
        "signatures": VERSION,
        **{name: getattr(settings, name) for name in ("unit", "ngram", "seed", "threshold", "verify")},
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


def check_index(folder: Path, settings: Dedup, terms: list[str]) -> None:
    """Raise ContractError when the index was made with other parameters; both are named."""
    made, now = read_index(folder)["parameters"], parameters(settings, terms)
    odd = [name for name in sorted(made.keys() | now.keys()) if made.get(name) != now.get(name)]
    if odd:
        sides = [", ".join(f"{name}={side.get(name)!r}" for name in odd) for side in (made, now)]
        raise ContractError(
            f"the index {folder} was made with {sides[0]}, the recipe has {sides[1]}",
            "give the recipe the index's values, or make the index anew",
        )


def joined(folder: Path, number: int, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Merge-join of sorted distinct keys with a partition of the index: which key, and the old document that has it."""
    table = read_arrow(keys_file(folder, number))
    old = numbers(table["key"])
    first, last = np.searchsorted(old, keys, "left"), np.searchsorted(old, keys, "right")
    at = np.repeat(np.arange(len(keys)), last - first)
    rows = np.arange(len(at)) - np.repeat(np.cumsum(last - first) - (last - first), last - first) + first[at]
    return at, numbers(table["doc"])[rows]


def sketch_files(folder: Path) -> list[Path]:
    """All files of sketches, the oldest first."""
    return sorted(folder.glob("sketches/*/*.arrow"))


def keys_file(folder: Path, part: int) -> Path:
    """A partition of the index's keys."""
    return folder / "keys" / f"part-{part:05d}.arrow"


def take_over(old: Path, new: Path) -> str:
    """Put the sketches of an index into another one, as links where the disk allows; the name of the folder to add."""
    generations = sorted(path.name for path in (old / "sketches").iterdir() if path.is_dir())
    for name in generations:
        for path in sorted((old / "sketches" / name).glob("*.arrow")):
            _put(path, new / "sketches" / name / path.name)
    return f"{len(generations):03d}"


def fill(folder: Path, partitions: int, old: Path | None) -> None:
    """Partitions of keys to which the run added nothing: those of the old index, or empty ones."""
    for part in range(partitions):
        target = keys_file(folder, part)
        if old is not None:
            _put(keys_file(old, part), target)
        elif not target.exists():
            write_arrow(target, KEYED.empty_table())


def _put(path: Path, target: Path) -> None:
    """A file of the old index, unless there is one already."""
    if not target.exists():
        with atomic_path(target) as partial:
            try:
                os.link(path, partial)
            except OSError:
                shutil.copyfile(path, partial)
