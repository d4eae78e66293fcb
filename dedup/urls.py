"""Pass 0 of deduplication, where the recipe asks for it: of documents with one URL the newest stays.

documents/UNIT.parquet  ->  urls/part-00000.arrow (FATE), the documents that leave

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
from .bands import URL, of_kind, partition_of
from .priority import LAST, dates
from .tables import FATE, URL_DUPLICATE, numbers, read_arrow, split_ids, write_arrow


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


def url_keys(urls: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Keys of the URLs that can be compared, and which ones these are."""
    normal = [normalise_url(url) for url in urls]
    digests = [blake2b(one.encode("utf-8", "surrogatepass"), digest_size=8).digest() for one in normal if one]
    keys = np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)
    return of_kind(keys, URL), np.array([one is not None for one in normal], dtype=bool)


def url_rows(unit: str, extract: Path, partitions: int) -> pa.Table:
    """What of a unit is shuffled: 36 bytes a document."""
    table = pq.read_table(extract / "documents" / f"{unit}.parquet", columns=["doc_id", "url", "date"])
    keys, has = url_keys(strings(table["url"]))
    table = table.filter(pa.array(has))
    doc, low = split_ids(strings(table["doc_id"]))
    date = dates(strings(table["date"]))
    age = np.where(date == LAST, LAST, LAST - np.uint64(1) - date)
    columns = {"key": keys, "doc": doc, "low": low, "age": age, "partition": partition_of(keys, partitions)}
    return pa.Table.from_pydict(columns)


def meet_urls(number: int, rows: dict[str, np.ndarray], folder: Path) -> dict[str, Any]:
    """Equal URLs of one partition: all but the newest leave."""
    order = np.lexsort((rows["low"], rows["doc"], rows["age"], rows["key"]))
    key, doc, low = (rows[name][order] for name in ("key", "doc", "low"))
    first = np.ones(len(key), dtype=bool)
    first[1:] = key[1:] != key[:-1]
    best = np.maximum.accumulate(np.where(first, np.arange(len(key)), 0))
    leaves = np.flatnonzero(~first & (doc != doc[best]))
    leaves = leaves[np.argsort(doc[leaves], kind="stable")]
    table = {
        "doc": doc[leaves],
        "survivor": doc[best[leaves]],
        "survivor_low": low[best[leaves]],
        "reason": np.full(len(leaves), URL_DUPLICATE, dtype=np.int8),
        "similarity": pa.nulls(len(leaves), pa.float64()),
    }
    write_arrow(folder / f"part-{number:05d}.arrow", pa.Table.from_pydict(table, schema=FATE))
    return {"partition": number, "rows": len(key)}


def read_urls(folder: str | None) -> pa.Table:
    """FATE rows of all documents that leave for their URL, sorted by `doc`. Memory: 25 bytes for each of them."""
    paths = sorted(Path(folder).glob("part-*.arrow")) if folder else []
    table = pa.concat_tables([FATE.empty_table(), *(read_arrow(path) for path in paths)])
    return table.sort_by("doc") if len(paths) > 1 else table


def url_duplicates(folder: str | None) -> np.ndarray:
    """The documents that leave for their URL, sorted."""
    return numbers(read_urls(folder)["doc"])
