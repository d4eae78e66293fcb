"""Repeated spans of 50 words, on one core: the stage's passes against a suffix array over all texts in one memory.

    python benchmarks/spans.py [--documents FOLDER] [--json] [--quick]

Timed is the way from documents in Parquet files (ours), and from texts in memory (the peer), to the words that repeated
windows cover. The peer does what ExactSubstr does (Lee et al. 2022): words as numbers of 4 bytes, a suffix array over
the bytes (pydivsufsort), and the longest common prefixes by Kasai's algorithm. Both must find the same number of words,
keep none. The texts are taken as they are and again with their words in random order, so that there are many; a part of
one text in ten stands again between other words, so that something repeats.
"""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _bench import arguments, best_seconds, finish, print_table, read_documents

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # one core, for both; before NumPy is loaded
    os.environ.setdefault(variable, "1")
LENGTH = 50
UNITS = 4


def corpus(texts: list[str], times: int) -> list[str]:
    """The texts, `times` - 1 shuffled versions of each, and a part of every tenth of all these once more."""
    dice = random.Random(1)
    made = list(texts)
    for _ in range(times - 1):
        for text in texts:
            shuffled = text.split()
            dice.shuffle(shuffled)
            made.append(" ".join(shuffled))
    return made + [f"Copy {n}. {text[len(text) // 4 :]} End {n}." for n, text in enumerate(made[::10])]


def ours(texts: list[str], folder: Path) -> Callable[[], dict[str, int]]:
    """The five passes as workers do them, unit after unit, without Ray."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from crawl2chat.core.schema import DOCUMENT, DROPPED, doc_id
    from crawl2chat.core.units import Unit, total
    from crawl2chat.dedup.hash_parts import part_units
    from crawl2chat.dedup.spans_cut import cut_unit
    from crawl2chat.dedup.spans_units import anchor_unit, first_places, repeat_anchors, window_unit

    names = [f"bench-{number:05d}" for number in range(UNITS)]
    for number, name in enumerate(names):
        fixed: dict[str, Any] = {"url": "", "source": "bench", "title": "", "date": "", "lang": "en", "lang_score": 1.0}
        rows = [
            fixed | {"doc_id": doc_id(name, str(row)), "text": text, "origin_file": name, "origin_offset": row}
            for row, text in enumerate(texts[number::UNITS])
        ]
        for place, table, schema in (("extract/documents", rows, DOCUMENT), ("dedup/dropped", [], DROPPED)):
            (folder / place).mkdir(parents=True, exist_ok=True)
            path = folder / place / f"{name}.parquet"
            pq.write_table(pa.Table.from_pylist(table, schema=schema), path, row_group_size=512)
    units, parts, out = [Unit(name=name) for name in names], part_units(8), folder / "spans"
    section = {"min_tokens": LENGTH, "keep": "none", "action": "cut"}
    config = {"extract": str(folder / "extract"), "stages": [str(folder / "dedup")], "length": LENGTH, "parts": 8}
    config |= {"units": names, "spans": section}
    config |= {name: str(out / name) for name in ("anchors", "repeated", "windows", "places")}

    def work() -> dict[str, int]:
        passes = {"anchors": anchor_unit, "repeated": repeat_anchors, "windows": window_unit, "places": first_places}
        counts = {}
        for name, one in passes.items():
            todo = parts if name in ("repeated", "places") else units
            counts |= total([one(unit, out / name, config) for unit in todo])
            counts[f"bytes_{name}"] = sum(path.stat().st_size for path in (out / name).glob("*.arrow"))
        return counts | total([cut_unit(unit, out, config) for unit in units])

    return work


def suffix_array(texts: list[str], folder: Path) -> Callable[[], dict[str, int]]:
    """The same words by one suffix array."""
    import numpy as np
    from crawl2chat.dedup.shingles import words
    from pydivsufsort import divsufsort, kasai

    def work() -> dict[str, int]:
        hashes, offsets = words(texts)
        numbers = np.unique(hashes, return_inverse=True)[1].astype(np.uint32)
        # between two texts stands a number of its own, so that nothing repeats across
        ends = np.arange(len(texts), dtype=np.uint32) + np.uint32(numbers.max() + 1)
        joined = np.insert(numbers, offsets[1:], ends)
        data = joined.view(np.uint8)
        order = divsufsort(data)
        common = kasai(data, order)  # with the next suffix
        least = 4 * LENGTH
        common[order % 4 != 0] = np.minimum(common[order % 4 != 0], least)
        long = np.zeros(len(data), dtype=bool)
        pairs = np.flatnonzero(common[: len(order) - 1] >= least)
        long[order[pairs]] = long[order[pairs + 1]] = True
        windows = np.flatnonzero(long[::4])
        cover = np.zeros(len(joined) + 1, dtype=np.int64)
        np.add.at(cover, windows, 1)
        np.add.at(cover, windows + LENGTH, -1)
        return {"words": len(hashes), "words_repeated": int((np.cumsum(cover) > 0).sum())}

    return work


def measured(name: str, options: Any) -> tuple[float, dict[str, int], float]:
    """Seconds, counts and peak memory above what the texts take, in a process of its own."""
    command = [sys.executable, __file__, "--documents", str(options.documents), "--only", name]
    done = subprocess.run(
        [*command, *(["--quick"] if options.quick else [])], stdout=subprocess.PIPE, text=True, check=True
    )
    return tuple(json.loads(done.stdout.splitlines()[-1]))


def only(name: str, texts: list[str], repeats: int) -> None:
    make = {"crawl2chat": ours, "suffix array": suffix_array}[name]
    with tempfile.TemporaryDirectory() as folder:
        make(texts[:50], Path(folder) / "warm")()
        work = make(texts, Path(folder) / "all")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        counts = work()
        peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        print(json.dumps([best_seconds(work, repeats), counts, peak]))


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--only", help="measure one side, for the parent process")
    options = parser.parse_args()
    limit, times = (300, 2) if options.quick else (None, 20)
    texts = corpus(read_documents(options.documents, limit), times)
    repeats = 1 if options.quick else 3
    if options.only:
        only(options.only, texts, repeats)
        return
    rows, rates, found = [], {}, {}
    for name in ("suffix array", "crawl2chat"):
        try:
            seconds, counts, peak = measured(name, options)
        except subprocess.CalledProcessError:
            rows.append([name, None, None, None, None])
            continue
        rates[name], found[name] = len(texts) / seconds, counts
        rows.append([name, rates[name], counts["words"] / seconds / 1e6, counts["words_repeated"], peak])
    print_table(["", "documents/s", "million words/s", "words repeated", "more MB"], rows)
    us = found["crawl2chat"]
    a_word = {name: us[f"bytes_{name}"] / us["words"] for name in ("anchors", "repeated", "windows", "places")}
    print(f"{len(texts)} documents, {us['words']} words, {us['words_repeated'] / us['words']:.1%} of them repeated")
    print("bytes a word between passes:", ", ".join(f"{name} {size:.2f}" for name, size in a_word.items()))
    them = rates.get("suffix array")
    figures: dict[str, float | None] = {
        "spans_documents_per_s": rates["crawl2chat"],
        "spans_ratio": rates["crawl2chat"] / them if them else None,
        "spans_bytes_per_word": sum(a_word.values()),
        "spans_anchor_bytes_per_word": a_word["anchors"],
        "spans_same_words": float(us["words_repeated"] == found["suffix array"]["words_repeated"]) if them else None,
    }
    finish(figures, options.json)


if __name__ == "__main__":
    main()
