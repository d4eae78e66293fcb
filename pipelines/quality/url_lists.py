"""The lists of domains and addresses that datatrove ships, as sorted hashes in files that processes share.

The package holds 4.6 million domains as 124 MB of text in an archive. The first process that needs them hashes them,
which takes some seconds, into ~/.cache/crawl2chat (or below XDG_CACHE_HOME): 37 MB, which all later ones map. Where
nothing can be written there, each process makes its own.
"""

from __future__ import annotations

import os
import tarfile
from functools import lru_cache
from pathlib import Path

import numpy as np
import xxhash
from datatrove.utils._import_utils import ASSETS_PATH

from ...core.errors import InputError
from ...core.files import atomic_path

ARCHIVE = "url_filterblacklistsv0_3_0.tar.gz"


@lru_cache(maxsize=2)
def shipped(name: str) -> np.ndarray:
    """The sorted xxHash3 of the entries of `domains` or `urls`."""
    archive = Path(ASSETS_PATH) / ARCHIVE
    if not archive.is_file():
        raise InputError(
            f"datatrove's list of blocked addresses is missing: {archive}", "set filters.url.integrated=false"
        )
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    file = root / "crawl2chat" / f"url-{name}-{archive.stat().st_size}.npy"
    if not file.is_file():
        hashes = _hashed(archive, name)
        try:
            with atomic_path(file) as partial, partial.open("wb") as handle:
                np.save(handle, hashes)
        except OSError:
            return hashes
    return np.load(file, mmap_mode="r")


def _hashed(archive: Path, name: str) -> np.ndarray:
    with tarfile.open(archive, "r:gz") as tar:
        member = tar.extractfile(name)
        assert member is not None, "the archive's own list"
        entries = (line.strip() for line in member)
        return np.unique(
            np.fromiter((xxhash.xxh3_64_intdigest(one) for one in entries if not one.startswith(b"#")), dtype=np.uint64)
        )
