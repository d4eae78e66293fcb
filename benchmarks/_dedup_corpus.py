"""Documents for the benchmark of deduplication, and runs whose stage `extract` is finished with them.

Real ones: pages of WARC files, extracted by our engine once and kept in the folder for temporary files. Synthetic ones:
passages of real documents, put together anew by the document's number, so that any document can be made alone.
"""

from __future__ import annotations

import gzip
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from _bench import SHARED, read_documents
from crawl2chat.core.manifest import FileEntry, Manifest, file_entry, write_manifest
from crawl2chat.core.recipe import Recipe
from crawl2chat.core.run import Run
from crawl2chat.core.schema import DOCUMENT, doc_id
from crawl2chat.dedup.hashing import mix

DEBIAN = SHARED / "data" / "debian-multilang-html" / "pages.warc.gz"  # pages in 25 languages, many of them copies
UNIT_DOCUMENTS = 50_000
PASSAGE = range(80, 200)  # characters
NEAR = 3  # of ten synthetic documents, so many are copies of one of the others
_EDITS = (0, 1, 1, 2)  # words that a copy has replaced
_MAX_PASSAGES = 12


# ── real documents ───────────────────────────────────────────────────────────────────────────────────────────────────


def real_documents(files: Sequence[Path], wanted: int) -> list[str]:
    """Texts of some `wanted` pages of the WARC files, spread evenly, and of fewer where there are not so many."""
    total = sum(1 for file in files for _ in _pages(file))
    every = max(1, total // wanted)
    mark = blake2b(repr([every, *((str(f), f.stat().st_size) for f in files)]).encode(), digest_size=8).hexdigest()
    cache = Path(tempfile.gettempdir()) / "crawl2chat-bench" / f"pages-{mark}.parquet"
    if not cache.exists():
        print(f"extracting every {every}. of {total} pages into {cache}", flush=True)
        with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            parts = list(pool.map(_extracted, files, [every] * len(files)))
        cache.parent.mkdir(parents=True, exist_ok=True)
        partial = cache.with_suffix(".partial")
        pq.write_table(pa.table({"text": [text for part in parts for text in part]}), partial)
        partial.replace(cache)
    texts: list[str] = pq.read_table(cache)["text"].to_pylist()
    return texts[:wanted]


def _pages(file: Path) -> Iterator[Any]:
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    with file.open("rb") as handle:
        yield from ArchiveIterator(handle, record_types=WarcRecordType.response)


def _extracted(file: Path, every: int) -> list[str]:
    """What every n-th page of a file says, if it says anything."""
    from crawl2chat.pipelines.extraction.fence import GROUP_PAGES, Fence, Refused

    fence, texts, group = Fence("cascade", 60.0, 4096), [], []
    for number, record in enumerate(_pages(file)):
        if number % every == 0:
            group.append((record.reader.read(), record.http_charset))
        if len(group) == GROUP_PAGES:
            texts += fence.extract(group)
            group = []
    texts += fence.extract(group)
    fence.close()
    return [one.text for one in texts if not isinstance(one, Refused) and one.text]


# ── synthetic documents ──────────────────────────────────────────────────────────────────────────────────────────────


def passages(texts: Sequence[str]) -> list[str]:
    """Pieces of paragraphs of some PASSAGE characters, each once, cut where a sentence or else a word ends."""
    found: dict[str, None] = {}
    for text in texts:
        for paragraph in text.split("\n"):
            rest = paragraph.strip()
            while len(rest) >= PASSAGE.start:
                end = len(rest)
                if end > PASSAGE.stop:
                    end = rest.rfind(". ", PASSAGE.start, PASSAGE.stop) + 1 or rest.rfind(" ", 1, PASSAGE.stop)
                    end = end if end > 0 else PASSAGE.stop
                found[rest[:end]] = None
                rest = rest[end:].lstrip()
    return list(found)


def synthetic(pool: Sequence[str], first: int, count: int) -> list[str]:
    """Documents first, first+1, …: 600 to 1,000 characters each.

    Of ten numbers NEAR are copies of an earlier original, a quarter of them exact, others with words replaced.
    """
    numbers = np.arange(first, first + count, dtype=np.uint64)
    place, decade = numbers % np.uint64(10), numbers // np.uint64(10)
    dice = mix(numbers ^ np.uint64(0xC2B2AE3D27D4EB4F))
    of = dice % (decade + np.uint64(1)) * np.uint64(10) + (dice >> np.uint64(40)) % np.uint64(10 - NEAR)
    copy = place >= 10 - NEAR
    base = np.where(copy, of, numbers)
    slots = base[:, None] * np.uint64(_MAX_PASSAGES + 1) + np.arange(_MAX_PASSAGES + 1, dtype=np.uint64)
    drawn = mix(slots ^ np.uint64(0x165667B19E3779F9))
    picks = (drawn[:, 1:] % np.uint64(len(pool))).tolist()
    sizes = (600 + drawn[:, 0] % np.uint64(400)).tolist()
    texts = []
    for pick, size in zip(picks, sizes, strict=True):
        taken: list[str] = []
        for one in pick:
            taken.append(pool[one])
            size -= len(pool[one]) + 1
            if size <= 0:
                break
        texts.append("\n".join(taken))
    for at in np.flatnonzero(copy).tolist():
        words = texts[at].split(" ")
        for edit in range(_EDITS[int(dice[at] >> np.uint64(8)) % len(_EDITS)]):
            words[(int(dice[at]) >> (16 + 12 * edit)) % len(words)] = f"w{first + at}"
        texts[at] = " ".join(words)
    return texts


# ── runs ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def make_run(storage: Path, name: str, dedup: dict[str, Any]) -> Run:
    """A run that deduplicates with these settings; its gates never trip."""
    source = {"kind": "jsonl", "name": "web", "paths": ["pages.jsonl"]}
    settings = {"gates": {"max_removed": 1.0, "min_precision": 0.0}, **dedup}
    return Run(Recipe.model_validate({"name": name, "storage": str(storage), "sources": [source], "dedup": settings}))


def give_texts(run: Run, texts: Sequence[str], units: int = 8) -> None:
    """Finish the run's stage `extract` with these documents."""
    cut = [len(texts) * at // units for at in range(units + 1)]
    pairs = list(pairwise(cut))
    _finish(run, [_write(run.stage("extract"), at, texts[a:b]) for at, (a, b) in enumerate(pairs) if b > a])


def give_synthetic(run: Run, pool: Sequence[str], count: int) -> None:
    """The same with `count` synthetic documents, UNIT_DOCUMENTS to a unit and at least 8 units."""
    units = max(8, -(-count // UNIT_DOCUMENTS))
    cut = [count * at // units for at in range(units + 1)]
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), initializer=_take, initargs=(pool,)) as workers:
        folders = [run.stage("extract")] * units
        _finish(run, list(workers.map(_write_synthetic, folders, range(units), cut, cut[1:])))


def give_copies(run: Run, text: str, copies: int, others: Sequence[str]) -> None:
    """The same with one text so many times, and the others spread evenly among these."""
    count = copies + len(others)
    units = max(8, -(-count // UNIT_DOCUMENTS))
    cut = [count * at // units for at in range(units + 1)]
    where = {count * at // max(1, len(others)): one for at, one in enumerate(others)}
    files = [
        _write(run.stage("extract"), at, [where.get(number, text) for number in range(first, last)])
        for at, (first, last) in enumerate(pairwise(cut))
    ]
    _finish(run, files)


_pool: list[str] = []


def _take(pool: list[str]) -> None:
    _pool[:] = pool


def _write_synthetic(folder: Path, number: int, first: int, last: int) -> FileEntry:
    return _write(folder, number, synthetic(_pool, first, last - first))


def _write(folder: Path, number: int, texts: Sequence[str]) -> FileEntry:
    """documents/UNIT.parquet, as the stage extract writes it: in row groups of some MB."""
    path = folder / "documents" / f"web-{number:05d}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    count = len(texts)
    fixed: dict[str, Any] = {"url": "", "source": "web", "title": "", "date": "", "lang": "en", "lang_score": 1.0}
    columns: dict[str, Any] = {name: [value] * count for name, value in fixed.items()}
    columns |= {"doc_id": [doc_id("web", f"{number}@{row}") for row in range(count)], "text": list(texts)}
    columns |= {"origin_file": ["pages.jsonl"] * count, "origin_offset": list(range(count))}
    table = pa.Table.from_pydict({name: columns[name] for name in DOCUMENT.names}, schema=DOCUMENT)
    pq.write_table(table, path, row_group_size=4096, compression="zstd")
    return file_entry(folder, path, count)


def _finish(run: Run, files: list[FileEntry]) -> None:
    count = sum(one.rows for one in files)
    empty: dict[str, Any] = {"config": {}, "inputs": {}, "facts": {}, "fingerprint": "", "code_version": ""}
    counters = {"documents_in": count, "documents": count}
    write_manifest(
        run.stage("extract"), Manifest(stage="extract", version=1, files=files, counters=counters, seconds=0, **empty)
    )


def default_texts(documents: Path) -> list[str]:
    """Without a corpus: the pages of ../shared/data, and the documents of a folder."""
    warcs = [SHARED / "data" / "trafilatura-eval" / "pages.warc.gz", DEBIAN]
    return [*real_documents(warcs, 1 << 30), *read_documents(documents)]


def shared_texts(wanted: int) -> list[str]:
    """So many real documents of ../shared/data: all its web pages, then passages of Wikipedia that some share.

    Pages: Debian's in 25 languages, those of trafilatura's evaluation, of real crawlers' WARC files, of C4, DCLM and
    Dolma. The rest are the passages of BoolQ's questions, of which several can have one passage or a part of it.
    """
    data = SHARED / "data"
    names = [
        "aut-example",
        "dolma-sample-0000",
        "dolma-sample-0001",
        "pywb-iana",
        "resiliparse-warcfile",
        "ukwa-govuk-1",
    ]
    crawled = real_documents([data / "warc-samples" / f"{name}.warc.gz" for name in names], 1 << 30)
    passages_of = gzip.decompress((data / "eval-tasks" / "boolq_val.jsonl.gz").read_bytes()).decode()
    rest = [json.loads(line)["passage"] for line in passages_of.splitlines()]
    return [*default_texts(data / "web-text-samples"), *crawled, *rest][:wanted]
