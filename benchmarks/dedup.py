"""Deduplication beside its peers: signatures, the whole way, memory alone, growth, and what it finds of what there is.

    python benchmarks/dedup.py [--corpus FOLDER] [--only SECTION] [--json] [--quick]

    signature   one core: texts in memory to signature files, against datatrove's first MinHash stage
    dedup       one core: Parquet files to kept documents, against datatrove's four stages; why the kept sets differ
    in_memory   200,000 synthetic documents: the stage against rensa in one process
    growth      2,000,000 synthetic documents against 200,000, on Ray: rate, disk, the driver's memory, spilled bytes
    truth       5,000 real pages: recall, precision and the S-curve against all pairs' exact similarities, and the
                S-curve on edited pages
    copies      a million copies of one page, alone and among 10,000 others, on Ray: rows shuffled, memory
    extremes    a text of 100 MB and a near copy of it, on Ray: memory
    rates       each pass on one core, bytes on disk of each kind, candidates of more and more pages, and from these a
                plan for 10^10 documents

--only can be given several times. Parameters are the same on both sides: word 5-grams, 14 bands of 8 hashes, seed 1;
ours also compares exactly, and verifies each pair. Real documents are pages of the WARC files in --corpus (when it is
empty, ../shared/tools builds it there first), else the few of ../shared/data. Every side is a process of its own.
"""
# ruff: noqa: E402 (the variables come before NumPy)

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _bench import arguments, best_seconds, finish, print_table, read_documents

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # one core, for both; before NumPy is loaded
    os.environ.setdefault(variable, "1")

from _dedup_corpus import DEBIAN, default_texts, give_synthetic, give_texts, make_run, passages, real_documents
from _dedup_differences import KINDS, Differences
from _dedup_extremes import copies, long_texts
from _dedup_proof import prove
from _dedup_rates import Side, print_rates
from _dedup_sides import Figures, measured, signature_step
from crawl2chat.core.settings_data import Dedup
from data import corpus_files

SAME: dict[str, Any] = {"bands": 14, "rows": 8, "ngram": 5, "seed": 1, "threshold": 0.8}
Found = dict[str, float | None]


class Bench:
    """The sections, which share their documents."""

    def __init__(self, options: Any) -> None:
        self.quick, self.documents = options.quick, options.documents
        self.files = corpus_files(options.corpus) if options.corpus else []

    def texts(self, wanted: int) -> list[str]:
        """Real documents, so many if there are."""
        found = real_documents(self.files, 20_000) if self.files else default_texts(self.documents)
        return found[:: max(1, len(found) // wanted)][:wanted]

    def signature(self) -> Found:
        """Signatures a second on one core."""
        texts = read_documents(self.documents, limit=300 if self.quick else None)
        repeats = 1 if self.quick else 3
        size = sum(map(len, texts)) / len(texts)
        print(f"{len(texts)} documents of {size:,.0f} characters on average")
        print(f"best of {5 * repeats} runs of ours and {repeats} of datatrove, after one warm-up")
        rates: Found = {}
        with tempfile.TemporaryDirectory() as folder:
            for name, make, times in (("crawl2chat", _sign, 5 * repeats), ("datatrove", _their_sign, repeats)):
                try:
                    make(texts[:20], Path(folder))()
                    rates[name] = len(texts) / best_seconds(make(texts, Path(folder)), times)
                except ImportError as error:
                    print(f"{name} is absent: {error}")
                    rates[name] = None
        us, them = rates["crawl2chat"], rates["datatrove"]
        speedup = us / them if us and them else None
        rows = [["datatrove", them, 1.0 if them else None], ["crawl2chat", us, speedup]]
        print_table(["", "documents/s", "ratio"], rows)
        return {"signature_speedup": speedup, "signatures_per_s": us, "datatrove_signatures_per_s": them}

    def dedup(self) -> Found:
        """From Parquet files to kept documents, on one core."""
        texts = self.texts(500 if self.quick else 20_000)
        print(f"{len(texts)} documents of {sum(map(len, texts)) / len(texts):,.0f} characters on average")
        with tempfile.TemporaryDirectory() as folder:
            storage = Path(folder)
            run = make_run(storage, "real", SAME)
            give_texts(run, texts)
            us, them = (measured(side, storage, "real", SAME, cores=1) for side in ("plain", "datatrove"))
            assert us is not None
            rows = [_row("datatrove", them, them), _row("crawl2chat, without Ray", us, them)]
            print_table(["", "documents", "kept", "seconds", "documents/s", "ratio"], rows)
            figures: Found = {"dedup_documents_per_s": us["documents"] / us["seconds"], "dedup_speedup": None}
            if them is None:
                return figures
            kept = [
                set(json.loads((storage / f"kept-{side}.json").read_text())) for side in ("crawl2chat", "datatrove")
            ]
            _, step = signature_step(storage / "again", SAME["bands"], SAME["rows"])
            found = Differences(run.folder, storage / "datatrove" / "remove", run.recipe.dedup, step)
            kinds = found.kinds(*kept)
        print(f"\nkept by both: {len(kept[0] & kept[1])}; by one side only:\n")
        counted = [[side, sum(of.values()), *(of[kind] for kind in KINDS)] for side, of in kinds.items()]
        print_table(["", "documents", *KINDS], counted)
        unexplained = float(sum(of["unexplained"] for of in kinds.values()))
        return figures | {
            "dedup_speedup": them["seconds"] / us["seconds"],
            "kept_by_both": float(len(kept[0] & kept[1])),
            "unexplained": unexplained,
        }

    def in_memory(self) -> Found:
        """The stage against a library that holds everything in memory."""
        count = 20_000 if self.quick else 200_000
        pool = passages(self.texts(20_000))
        with tempfile.TemporaryDirectory() as folder:
            storage = Path(folder)
            give_synthetic(make_run(storage, "synthetic", SAME), pool, count)
            them = measured("rensa", storage, "synthetic", SAME, cores=1)
            us = measured("plain", storage, "synthetic", SAME, cores=1)
            them_both = measured("rensa", storage, "synthetic", SAME, cores=2)
            both = measured("ray", storage, "synthetic", SAME, cores=2)
        assert us is not None and both is not None
        flags = them and {"seconds": them["flag_seconds"], "documents": count, "kept": them["flag_kept"]}
        rows = [
            _row("rensa, RMinHashDeduplicator, one core", them, them),
            _row("rensa, candidates flagged only, one core", flags, them),
            _row("crawl2chat, without Ray, one core", us, them),
            _row("rensa, RMinHashDeduplicator, two cores", them_both, them),
            _row("crawl2chat, on Ray, two cores", both, them),
        ]
        print_table(["", "documents", "kept", "seconds", "documents/s", "ratio"], rows)
        return {
            "in_memory_ratio": us["seconds"] / them["seconds"] if them else None,
            "in_memory_ratio_on_ray": both["seconds"] / them_both["seconds"] if them_both else None,
        }

    def growth(self) -> Found:
        """The stage on Ray with ten times the documents."""
        few, many = (2_000, 20_000) if self.quick else (200_000, 2_000_000)
        pool = passages(self.texts(20_000))
        print(f"synthetic documents of {len(pool)} passages, 30 % of them copies, default settings")
        found: list[Figures] = []
        for count in (few, many):
            with tempfile.TemporaryDirectory() as folder:
                give_synthetic(make_run(Path(folder), "synthetic", {}), pool, count)
                side = measured("ray", Path(folder), "synthetic", {}, cores=2)
                assert side is not None
                found.append(side)
        rates = [one["documents"] / one["stage_seconds"] for one in found]
        table = [
            [
                f"{one['documents']:,}",
                f"{one['counters']['dropped'] / one['documents']:.1%}",
                one["stage_seconds"],
                rate,
                one["disk_bytes"] / one["documents"],
                one["driver_mb"],
                one["counted"]["rows"] * 20 / 1e6,
                one["spilled_mb"],
            ]
            for one, rate in zip(found, rates, strict=True)
        ]
        names = ["documents", "dropped", "seconds", "documents/s", "bytes/document", "driver MB", "shuffled MB"]
        print_table([*names, "spilled MB"], table)
        few_side, many_side = found
        return {
            "growth": rates[1] / rates[0],
            "documents_per_s": rates[1],
            "disk_bytes_per_document": many_side["disk_bytes"] / many_side["documents"],
            "driver_mb": many_side["driver_mb"],
            "driver_mb_tenth": few_side["driver_mb"],
            "spilled_mb": many_side["spilled_mb"],
        }

    def truth(self) -> Found:
        """Against all pairs of real pages, and of edited ones."""
        wanted = 1_000 if self.quick else 5_000
        multilingual = real_documents([DEBIAN], 1 << 30)
        texts = [*multilingual, *self.texts(max(1, wanted - len(multilingual)))][:wanted]
        return prove(texts, 20 if self.quick else 250)

    def copies(self) -> Found:
        """A million copies of one page."""
        return copies(self.texts(2_000), *((5_000, 500) if self.quick else (1_000_000, 10_000)))

    def extremes(self) -> Found:
        """A text of 100 MB."""
        return long_texts(1_000_000 if self.quick else 100_000_000)

    def rates(self) -> Found:
        """Each pass, and what follows for 10^10 documents."""
        some, many = (500, 4_000) if self.quick else (20_000, 200_000)
        texts, sides = self.texts(some), []
        pool = passages(texts)
        stars = {"cluster_nodes": many // 8, "partitions": 64}  # many files, so that components are found by rounds
        samples = [(texts[::every], {}, "plain", 1) for every in (4, 2, 1)]
        for what, settings, side, cores in (*samples, (many, stars, "plain", 1), (many, {}, "ray", 2)):
            with tempfile.TemporaryDirectory() as folder:
                run = make_run(Path(folder), "rates", settings)
                give_synthetic(run, pool, what) if isinstance(what, int) else give_texts(run, what)
                figures = measured(side, Path(folder), "rates", settings | {"write_index": True}, cores)
            assert figures is not None
            sides.append(Side.of(figures))
        with tempfile.TemporaryDirectory() as folder:
            full = measured("partition", Path(folder), "rates", {}, cores=1)
        assert full is not None
        return print_rates(sides[:3], sides[3], sides[4], 2, full, Dedup().banding[0])


def _sign(texts: list[str], folder: Path) -> Callable[[], None]:
    """What a worker of the stage's first pass does, without reading the documents' file."""
    import pyarrow as pa
    from crawl2chat.core.schema import doc_id
    from crawl2chat.dedup.bands import collapse, rows_of
    from crawl2chat.dedup.signatures import signature_table
    from crawl2chat.dedup.tables import write_arrow

    batch = pa.table({"doc_id": [doc_id("bench", str(number)) for number in range(len(texts))], "text": texts})

    def work() -> None:
        table = signature_table(batch, Dedup.model_validate(SAME), ["length", "doc_id"], [])
        write_arrow(folder / "signatures.arrow", table)
        write_arrow(folder / "stars.arrow", collapse(*rows_of(table))[2])

    return work


def _their_sign(texts: list[str], folder: Path) -> Callable[[], None]:
    """MinhashDedupSignature as it is."""
    from datatrove.data import Document

    _, step = signature_step(folder / "datatrove", SAME["bands"], SAME["rows"])
    documents = [Document(text=text, id=str(number)) for number, text in enumerate(texts)]
    return lambda: step.run(iter(documents))


def _row(name: str, side: Figures | None, peer: Figures | None) -> list[Any]:
    if side is None:
        return [name, None, None, None, None, None]
    ratio = peer["seconds"] / side["seconds"] if peer else None
    return [name, side["documents"], side["kept"], side["seconds"], side["documents"] / side["seconds"], ratio]


SECTIONS = ("signature", "dedup", "in_memory", "growth", "truth", "copies", "extremes", "rates")


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--corpus", type=Path, metavar="FOLDER", help="of .warc.gz files")
    parser.add_argument("--only", action="append", choices=SECTIONS, help="a section; repeatable")
    options = parser.parse_args()
    bench, figures = Bench(options), {}
    for section in options.only or SECTIONS:
        print(f"\n{section}: {getattr(Bench, section).__doc__}\n", flush=True)
        began = time.perf_counter()
        figures |= getattr(bench, section)()
        print(f"\nThe section took {time.perf_counter() - began:.0f} seconds.", flush=True)
    finish(figures, options.json)


if __name__ == "__main__":
    main()
