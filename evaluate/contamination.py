"""Which of a task's items the decontamination of the run's documents found in them.

Its ledger (decontaminate/items.parquet: set, item, documents) counts rows over the files of a set. A task's file is
one of these files, or its items bear no flag: what nobody looked for is not clean.
"""

from __future__ import annotations

import glob
import gzip
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq

from ..core.documents import ledger_stages
from ..core.run import Run
from ..core.settings_cleaning import EvalSet

STAGE, ITEMS = "decontaminate", "items.parquet"
Flags = Callable[[Path], set[int] | None]  # the contaminated rows of a task's file, None where nobody looked


def no_flags(file: Path) -> None:
    """Nobody looked for any file's items."""


def flags_of(run: Run | None) -> Flags:
    """What the run's ledger says, if its recipe looks for evaluation items and that stage is finished."""
    if run is None or STAGE not in ledger_stages(run.recipe) or run.manifest(STAGE) is None:
        return no_flags
    return partial(contaminated_rows, run.stage(STAGE), run.recipe.decontaminate.sets)


def contaminated_rows(ledger: Path, sets: Sequence[EvalSet], file: Path) -> set[int] | None:
    """Rows of `file`, from 0, that the ledger in this folder names; None where no set has the file."""
    begins = {one.name: first for one in sets if (first := _first_row(one, file)) is not None}
    if not begins:
        return None
    rows, found = _count(file), pq.read_table(ledger / ITEMS, columns=["set", "item"]).to_pylist()
    places = {one["item"] - begins[one["set"]] for one in found if one["set"] in begins}
    return {place for place in places if 0 <= place < rows}


def _first_row(one: EvalSet, file: Path) -> int | None:
    """The number in its set of the file's first row; None where the set has not the file, or files before it that are
    not on this machine and cannot be counted."""
    wanted, before = file.resolve(), 0
    for path in one.paths:
        names = glob.glob(path, recursive=True) if glob.has_magic(path) else [path]  # noqa: PTH207  absolute ones too
        for found in map(Path, sorted(names)):
            if found.resolve() == wanted:
                return before
            if not found.is_file():
                return None
            before += _count(found)
    return None


def _count(file: Path) -> int:
    """Rows of a file of items, as the stage `decontaminate` counts them: blank lines are none."""
    if file.suffix == ".parquet":
        return pq.ParquetFile(file).metadata.num_rows
    with gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb") as lines:
        return sum(1 for line in lines if line.strip())
