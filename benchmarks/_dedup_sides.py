"""The sides of the benchmark of deduplication: each runs in a process of its own, pinned to its cores.

A side gets a run whose stage `extract` is finished, or for rensa texts in memory, and ends with the ids of the
documents that it keeps. Starting Python and Ray, loading libraries and compiling is not timed, the work is.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from _dedup_corpus import give_texts, make_run
from _dedup_rates import counts, on_disk, partition
from _dedup_watch import peak_mb, spilled_mb, watched, workers_peak

Figures = dict[str, Any]  # seconds, documents, kept; driver_mb, disk_bytes, counters where it is the stage
N_GRAM, SEED = 5, 1
RENSA_BATCH, RENSA_SEED = 10_000, 42  # the one seed that its deduplicator takes
ABSENT = 3  # exit code


def plain(storage: Path, name: str, dedup: dict[str, Any]) -> Figures:
    """The stage's passes unit after unit in this process, without Ray: its two ways into Ray are loops here."""
    with without_ray():
        return _ours(storage, name, dedup)


def on_ray(storage: Path, name: str, dedup: dict[str, Any]) -> Figures:
    """The stage as a run has it, on as many workers as this process has cores."""
    from crawl2chat.core.session import ray_session
    from crawl2chat.core.settings_training import Resources

    with ray_session(Resources(cpus=len(os.sched_getaffinity(0))), storage / "logs"):
        return _ours(storage, name, dedup)


def _ours(storage: Path, name: str, dedup: dict[str, Any]) -> Figures:
    from crawl2chat.core.documents import extracted_units, kept_batches
    from crawl2chat.core.runner import bring_up_to_date
    from crawl2chat.dedup.dedup_stage import DEDUP

    warm = make_run(storage, "warm", dedup)
    give_texts(warm, [f"{at % 90} is " + " ".join(f"w{at % 90 + n}" for n in range(60)) for at in range(200)], units=4)
    list(bring_up_to_date([DEDUP], warm, nullcontext))
    run = make_run(storage, name, dedup)
    shutil.rmtree(run.stage("dedup"), ignore_errors=True)
    began = time.perf_counter()
    with watched() as passes, workers_peak() as workers:
        [(_, manifest)] = bring_up_to_date([DEDUP], run, nullcontext)
    stage, driver_mb = time.perf_counter() - began, peak_mb()  # before the benchmark's own list of ids
    kept = [
        one
        for unit in extracted_units(run.need("extract"))
        for batch in kept_batches(unit.name, run.stage("extract"), [run.stage("dedup")], ["doc_id", "text"])
        for one in batch["doc_id"].to_pylist()
    ]
    seconds = time.perf_counter() - began
    (storage / "kept-crawl2chat.json").write_text(json.dumps(kept))
    shutil.rmtree(warm.folder)
    disk, counters = on_disk(run.stage("dedup")), manifest.counters
    figures: Figures = {
        "seconds": seconds,
        "stage_seconds": stage,
        "documents": counters["documents_in"],
        "kept": len(kept),
        "driver_mb": driver_mb,
        "worker_mb": max(workers, default=None),
        "spilled_mb": spilled_mb(),
        "disk_bytes": sum(disk.values()),
        "counters": counters,
        "passes": passes.seconds,
        "disk": disk,
    }
    return figures | {"counted": counts(run.folder, figures, passes)}


@contextmanager
def without_ray() -> Iterator[None]:
    """The stage `dedup` with loops in place of its maps and shuffles on Ray."""
    from crawl2chat.dedup import dedup_stage

    before = dedup_stage.map_units, dedup_stage.shuffle
    dedup_stage.map_units, dedup_stage.shuffle = _map, _shuffle
    try:
        yield
    finally:
        dedup_stage.map_units, dedup_stage.shuffle = before


def _map(work: Any, units: Any, folder: Path, config: Any, progress: Any, records: str) -> list[Any]:
    from crawl2chat.core.units import commit

    reports = []
    for unit in units:
        reports.append(work(unit, folder.absolute(), config))
        commit(folder, unit, config, reports[-1], records)
    return reports


def _shuffle(units: Any, partitions: int, rows: Any, meet: Any, folder: Path, progress: Any) -> list[dict[str, Any]]:
    import numpy as np
    import pyarrow as pa
    from crawl2chat.dedup.tables import numbers

    table = pa.concat_tables([rows(unit.name) for unit in units]).combine_chunks()
    columns = {name: numbers(table[name]) for name in table.column_names}
    order = np.argsort(columns["partition"], kind="stable")
    starts = np.searchsorted(columns["partition"][order], np.arange(partitions + 1))
    reports = []
    for number, (first, last) in enumerate(itertools.pairwise(starts)):
        if last > first:
            here = order[first:last]
            reports.append(meet(number, {name: values[here] for name, values in columns.items()}))
    return reports


def datatrove(storage: Path, name: str, dedup: dict[str, Any]) -> Figures:
    """datatrove's four MinHash stages, one task after the other, from the same Parquet files to the kept documents."""
    from datatrove.pipeline.dedup.minhash import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter
    from datatrove.pipeline.readers import ParquetReader

    run = make_run(storage, name, dedup)
    folder = storage / "datatrove"
    reader = ParquetReader(str(run.stage("extract") / "documents"), text_key="text", id_key="doc_id")
    config, sign = signature_step(folder / "signatures", dedup["bands"], dedup["rows"])
    _, warm = signature_step(storage / "warm", dedup["bands"], dedup["rows"])
    warm.run(itertools.islice(reader.run(), 20))
    began = time.perf_counter()
    sign.run(reader.run())
    signed = time.perf_counter() - began
    buckets = MinhashDedupBuckets(str(folder / "signatures"), str(folder / "buckets"), config=config)
    for rank in range(config.num_buckets):
        buckets.run(None, rank, config.num_buckets)
    cluster = MinhashDedupCluster(str(folder / "buckets"), str(folder / "remove"), config=config, save_cluster_id=True)
    cluster.run(None, 0, 1)
    kept = [document.id for document in MinhashDedupFilter(str(folder / "remove")).run(reader.run(), 0, 1)]
    seconds = time.perf_counter() - began
    (storage / "kept-datatrove.json").write_text(json.dumps(kept))
    documents = sum(entry.rows for entry in run.need("extract").files)
    return {"seconds": seconds, "documents": documents, "kept": len(kept), "signature_seconds": signed}


def signature_step(folder: Path, bands: int, rows: int) -> tuple[Any, Any]:
    """datatrove's configuration and first stage, otherwise with its defaults."""
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature
    from datatrove.utils.logging import logger

    logger.remove()
    config = MinhashConfig(n_grams=N_GRAM, num_buckets=bands, hashes_per_bucket=rows, seed=SEED)
    step = MinhashDedupSignature(str(folder), config)
    try:
        step._hash_func("text")
    except TypeError:  # datatrove 0.10 gives xxHash strings, xxhash 4 takes bytes only
        hash_bytes = step._hash_func
        step._hash_func = lambda text: hash_bytes(text.encode())
    return config, step


def rensa(storage: Path, name: str, dedup: dict[str, Any]) -> Figures:
    """rensa's batch functions: texts in memory to signatures, then its index with verification by signatures.

    Also timed is its fastest call, which says of each document only whether another is a candidate, without who stays.
    """
    from rensa import RMinHash, RMinHashDeduplicator, RMinHashLSH

    bands, hashes = dedup["bands"], dedup["bands"] * dedup["rows"]
    tables = sorted((make_run(storage, name, dedup).stage("extract") / "documents").glob("*.parquet"))
    texts = [text for path in tables for text in pq.read_table(path, columns=["text"])["text"].to_pylist()]

    def grams(some: list[str]) -> Iterator[list[str]]:
        for text in some:
            words = text.lower().split()
            yield [" ".join(words[at : at + N_GRAM]) for at in range(len(words) - N_GRAM + 1)]

    def deduplicate(texts: list[str]) -> int:
        keeper = RMinHashDeduplicator(dedup["threshold"], hashes, use_lsh=True, num_bands=bands)
        kept = 0
        for first in range(0, len(texts), RENSA_BATCH):
            made = RMinHash.from_token_sets(grams(texts[first : first + RENSA_BATCH]), num_perm=hashes, seed=RENSA_SEED)
            kept += sum(keeper.add_pairs([(str(first + at), one) for at, one in enumerate(made)]))
        return kept

    def flag(texts: list[str]) -> int:
        matrix = RMinHash.digest_matrix_from_token_sets(grams(texts), num_perm=hashes, seed=RENSA_SEED)
        index = RMinHashLSH(threshold=dedup["threshold"], num_perm=hashes, num_bands=bands)
        return len(texts) - sum(index.query_duplicate_flags_matrix_one_shot(matrix))

    figures: Figures = {"documents": len(texts)}
    for mark, work in (("", deduplicate), ("flag_", flag)):
        work(texts[:100])
        began = time.perf_counter()
        figures[f"{mark}kept"] = work(texts)
        figures[f"{mark}seconds"] = time.perf_counter() - began
    return figures


SIDES: dict[str, Callable[..., Figures]] = {
    "plain": plain,
    "ray": on_ray,
    "datatrove": datatrove,
    "rensa": rensa,
    "partition": partition,
}


def measured(side: str, storage: Path, name: str, dedup: dict[str, Any], cores: int) -> Figures | None:
    """Run a side in a process of its own on so many cores. None where its peer is not installed."""
    command = [sys.executable, str(Path(__file__)), side, str(storage), name, json.dumps(dedup)]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"), str(cores))
    allowed = sorted(os.sched_getaffinity(0))[-cores:]
    done = subprocess.run(
        command,
        env=os.environ | threads,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        preexec_fn=lambda: os.sched_setaffinity(0, allowed),
    )
    if done.returncode == ABSENT:
        print(f"{side} is absent: {done.stdout.strip()}")
        return None
    if done.returncode != 0:
        sys.exit(f"the side {side} failed with exit code {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """What `measured` starts."""
    side, storage, name, dedup = sys.argv[1:]
    try:
        print(json.dumps(SIDES[side](Path(storage), name, json.loads(dedup))))
    except ImportError as error:
        print(error)
        sys.exit(ABSENT)


if __name__ == "__main__":
    main()
