"""Signatures a second on one core: ours against datatrove's first MinHash stage, on the same documents.

    python benchmarks/dedup.py [--documents FOLDER] [--json] [--quick]

Timed is the way from texts in memory to signatures in files: word 5-grams, 14 bands of 8 hashes, seed 1. Ours also
computes the exact hash and the pairs within the unit. Loading libraries and models is not timed.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from _bench import arguments, best_seconds, finish, print_table, read_documents

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # one core, for both; before NumPy is loaded
    os.environ.setdefault(variable, "1")


def ours(texts: list[str], folder: Path) -> Callable[[], None]:
    """What a worker of the stage's first pass does, without reading the documents' file."""
    import pyarrow as pa
    from crawl2chat.core.schema import doc_id
    from crawl2chat.core.settings_data import Dedup
    from crawl2chat.dedup.bands import collapse, rows_of
    from crawl2chat.dedup.signatures import signature_table
    from crawl2chat.dedup.tables import write_arrow

    batch = pa.table({"doc_id": [doc_id("bench", str(number)) for number in range(len(texts))], "text": texts})

    def work() -> None:
        table = signature_table(batch, Dedup(bands=14, rows=8), ["length", "doc_id"], [])
        write_arrow(folder / "signatures.arrow", table)
        write_arrow(folder / "stars.arrow", collapse(*rows_of(table))[2])

    return work


def datatrove(texts: list[str], folder: Path) -> Callable[[], None]:
    """MinhashDedupSignature as it is, with its defaults: the same n-gram, bands, rows and seed."""
    from datatrove.data import Document
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature
    from datatrove.utils.logging import logger

    logger.remove()
    config = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8, seed=1)
    step = MinhashDedupSignature(str(folder / "datatrove"), config)
    try:
        step._hash_func("text")
    except TypeError:  # datatrove 0.10 gives xxHash strings, xxhash 4 takes bytes only
        hash_bytes = step._hash_func
        step._hash_func = lambda text: hash_bytes(text.encode())
    documents = [Document(text=text, id=str(number)) for number, text in enumerate(texts)]
    return lambda: step.run(iter(documents))  # type: ignore[return-value]


def main() -> None:
    options = arguments(__doc__).parse_args()
    texts = read_documents(options.documents, limit=300 if options.quick else None)
    repeats = 1 if options.quick else 3
    size = sum(map(len, texts)) / len(texts)
    print(f"{len(texts)} documents of {size:,.0f} characters on average, best of {repeats} after one warm-up")
    rates: dict[str, float | None] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, make, times in (("crawl2chat", ours, 5 * repeats), ("datatrove", datatrove, repeats)):
            try:
                make(texts[:20], Path(folder))()
                rates[name] = len(texts) / best_seconds(make(texts, Path(folder)), times)
            except ImportError as error:
                print(f"{name} is absent: {error}")
                rates[name] = None
    us, them = rates["crawl2chat"], rates["datatrove"]
    speedup = us / them if us and them else None
    print_table(["", "documents/s", "ratio"], [["datatrove", them, 1.0 if them else None], ["crawl2chat", us, speedup]])
    finish({"signature_speedup": speedup, "signatures_per_s": us, "datatrove_signatures_per_s": them}, options.json)


if __name__ == "__main__":
    main()
