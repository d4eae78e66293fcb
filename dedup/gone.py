"""Documents that leave before any text is compared: those that an index has seen (known.py), and of one URL all but
the newest (urls.py). Each of these passes writes FATE rows into a folder of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from ..core.remote_path import path_of
from .tables import FATE, numbers, part_files, read_arrow


def read_gone(folders: Sequence[str]) -> pa.Table:
    """FATE rows of all documents that leave by then, sorted by `doc`. Memory: some 25 bytes for each of them."""
    paths = [path for folder in folders for path in part_files(path_of(folder))]
    table = pa.concat_tables([FATE.empty_table(), *(read_arrow(path) for path in paths)])
    return table.sort_by("doc") if len(paths) > 1 else table


def gone_docs(folders: Sequence[str]) -> np.ndarray:
    """The documents themselves, sorted."""
    return numbers(read_gone(folders)["doc"])
