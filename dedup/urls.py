"""Pass 0 of deduplication, where the recipe asks for it: of documents with one URL the newest stays.

documents/UNIT.parquet, the index  ->  urls/part-00000.arrow (FATE), the documents that leave

A URL that stands in an index stays with the old document, also where the new one is newer: all new ones leave.

Compared are http and https URLs, without scheme, fragment, user and default port, the host in lower case. Newest is the
latest `date`, a document without one the oldest; of equals the smallest doc_id stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..core.documents import strings
from ..core.remote_path import path_of
from .bands import URL, among, of_kind, partition_of
from .gone import gone_docs
from .index import joined, read_part
from .priority import LAST, dates
from .tables import FATE, URL_DUPLICATE, numbers, split_ids, write_arrow


def normalise_url(url: str) -> str | None:
    """The URL as it is compared; None for what is none."""
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme.lower() not in ("http", "https") or not host:
        return None
    place = f"{host.rstrip('.')}:{port}" if port not in (None, 80, 443) else host.rstrip(".")
    return f"{place}{parts.path or '/'}{'?' + parts.query if parts.query else ''}"


def url_hashes(urls: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """uint64 [comparable URLs, 2]: 128 bits of each one's BLAKE2b, and bool [urls]: which ones can be compared."""
    normal = [normalise_url(url) for url in urls]
    digests = [blake2b(one.encode("utf-8", "surrogatepass"), digest_size=16).digest() for one in normal if one]
    hashes = np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64).reshape(-1, 2)
    return hashes, np.array([one is not None for one in normal], dtype=bool)


def url_rows(unit: str, extract: Path, gone: Sequence[str], partitions: int) -> pa.Table:
    """What of a unit is shuffled: 44 bytes a document. Those that left by then are not compared."""
    table = pq.read_table(extract / "documents" / f"{unit}.parquet", columns=["doc_id", "url", "date"])
    doc, low = split_ids(strings(table["doc_id"]))
    stays = ~among(doc, gone_docs(gone))
    table = table.filter(pa.array(stays))
    hashes, has = url_hashes(strings(table["url"]))
    date = dates(strings(table["date"].filter(pa.array(has))))
    age = np.where(date == LAST, LAST, LAST - np.uint64(1) - date)
    columns = {"first": hashes[:, 0], "second": hashes[:, 1], "doc": doc[stays][has], "low": low[stays][has]}
    part = partition_of(of_kind(hashes[:, 0], URL), partitions)
    return pa.Table.from_pydict(columns | {"age": age, "partition": part})


def meet_urls(number: int, rows: dict[str, np.ndarray], folder: Path, index: str | None) -> dict[str, Any]:
    """Equal URLs of one partition: all but the newest leave, and for one that the index has, all."""
    order = np.lexsort((rows["low"], rows["doc"], rows["age"], rows["second"], rows["first"]))
    one, two, doc, low = (rows[name][order] for name in ("first", "second", "doc", "low"))
    begins = np.ones(len(one), dtype=bool)
    begins[1:] = (one[1:] != one[:-1]) | (two[1:] != two[:-1])
    best = np.maximum.accumulate(np.where(begins, np.arange(len(one)), 0))
    survivor, survivor_low = doc[best], low[best]
    leaves = ~begins & (doc != survivor)
    if index is not None:
        table = read_part(path_of(index), "seen", number)
        heads = np.flatnonzero(begins)
        at, found = joined(table, of_kind(one[heads], URL))
        same = (numbers(table["first"])[found] == one[heads[at]]) & (numbers(table["second"])[found] == two[heads[at]])
        stands = np.full(len(one), -1)
        stands[heads[at[same]]] = found[same]
        stands = stands[best]
        leaves |= stands >= 0
        for column, name in ((survivor, "doc"), (survivor_low, "low")):
            column[stands >= 0] = numbers(table[name])[stands[stands >= 0]]
    leaving = np.flatnonzero(leaves)
    leaving = leaving[np.argsort(doc[leaving], kind="stable")]
    fates = {
        "doc": doc[leaving],
        "survivor": survivor[leaving],
        "survivor_low": survivor_low[leaving],
        "reason": np.full(len(leaving), URL_DUPLICATE, dtype=np.int8),
        "similarity": pa.nulls(len(leaving), pa.float64()),
    }
    write_arrow(folder / f"part-{number:05d}.arrow", pa.Table.from_pydict(fates, schema=FATE))
    return {"partition": number, "rows": len(one)}
