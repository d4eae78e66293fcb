"""Main content out of HTML: our engines beside trafilatura's fast mode, in accuracy and in pages a second on one core.

    python benchmarks/extraction.py [--pages WARC --gold JSON] [--json] [--quick]

Timed is the way from a page's bytes to its normalised text, decoding included, all engines in turn on the same core,
in processor time, so that what else the machine does counts little.
Gold is one object from URL to {"articleBody": text}, or to {"with": [segments], "without": [segments]}:

- articleBody: 4-word shingles, as multisets; precision and recall are means over the pages, F1 is of these means.
- segments, as trafilatura evaluates itself: one that must be there and is, is a hit, else a miss; one that must not be
  there and is, is wrong. Blanks are compared as one. Without --gold these are ../shared/data/trafilatura-eval's, and
  the figures are those of its held-out half: the pages of sites that did not teach the cascade's model.
"""
# ruff: noqa: E402 (the variables come before NumPy)

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from _bench import SHARED, arguments, finish, print_table

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # one core for all; before NumPy is loaded
    os.environ.setdefault(variable, "1")

from crawl2chat.pipelines.extract import extract_all, normalise
from crawl2chat.pipelines.extraction.fence import GROUP_PAGES, Fence, Html, Refused
from crawl2chat.pipelines.sources.records import RawRecord
from crawl2chat.pipelines.sources.warc import read_warc

DATA = SHARED / "data" / "trafilatura-eval"
WORD = re.compile(r"\w+")
Gold = dict[str, Any]
Work = Callable[[Sequence[Html]], list[str]]


def site(url: str) -> str:
    """What pages of one make have in common: the host, and the first folder if that is an invented one; or a file."""
    parts = urlsplit(url)
    host = (parts.hostname or "").removeprefix("www.")
    return f"{host} {parts.path.split('/')[1]}" if host.endswith(".invalid") else host or url


def half(url: str, place: int = 0) -> int:
    """0 or 1, the same for all pages of a site. Pages with gold whose half is 1 never teach: they are held out."""
    return hashlib.sha256(site(url).encode()).digest()[place] % 2


def load(pages: Path, gold: Path) -> tuple[list[Html], list[Gold], list[str]]:
    """The pages that gold names, each once: bytes and charset, gold, URL."""
    data = gold.read_bytes()
    wanted = json.loads(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
    with pages.open("rb") as handle:
        found = {one.url: one for one in read_warc(handle, 1 << 30) if isinstance(one, RawRecord) and one.url in wanted}
    if not found:
        raise SystemExit(f"no page of {pages} stands in {gold}: both must name pages by the same URLs")
    if missing := len(wanted) - len(found):
        print(f"{missing} pages of {gold} are not in {pages}")
    return [(one.html or b"", one.charset) for one in found.values()], [wanted[url] for url in found], [*found]


def shingles(text: str) -> Counter[tuple[str, ...]]:
    """Runs of four words; one shorter run, if the text has fewer words."""
    words = WORD.findall(text)
    return Counter(zip(*(words[n:] for n in range(4)), strict=False)) or Counter([tuple(words)] if words else [])


def by_shingles(texts: Sequence[str], wanted: Sequence[str]) -> tuple[float, float, float]:
    """Precision, recall (means over pages) and F1 of these."""
    precisions, recalls = [], []
    for text, gold in zip(texts, wanted, strict=True):
        found, true = shingles(text), shingles(gold)
        hits = (found & true).total()
        precisions.append(hits / found.total() if found else float(not true))
        recalls.append(hits / true.total() if true else 1.0)
    return _f1(sum(precisions) / len(precisions), sum(recalls) / len(recalls))


def by_segments(texts: Sequence[str], gold: Sequence[Gold]) -> tuple[float, float, float]:
    """Precision, recall and F1 over all segments of all pages."""
    hits = misses = wrong = 0
    for text, one in zip(texts, gold, strict=True):
        there = " ".join(text.split())
        wanted, unwanted = (
            [" ".join(normalise(segment).split()) in there for segment in one.get(key) or () if segment]
            for key in ("with", "without")
        )
        hits, misses, wrong = hits + sum(wanted), misses + wanted.count(False), wrong + sum(unwanted)
    return _f1(hits / max(1, hits + wrong), hits / max(1, hits + misses))


def _f1(precision: float, recall: float) -> tuple[float, float, float]:
    return precision, recall, 2 * precision * recall / max(1e-9, precision + recall)


def scored(texts: Sequence[str], gold: Sequence[Gold]) -> tuple[float, float, float]:
    if "articleBody" in gold[0]:
        return by_shingles(texts, [normalise(one["articleBody"]) for one in gold])
    return by_segments(texts, gold)


def engines() -> dict[str, tuple[Work, Callable[[], float]]]:
    """What is compared, by the name it has in the table: the work, and a clock of the processor time it takes."""

    def plain(engine: str, pages: Sequence[Html]) -> list[str]:
        return [one.text for one in extract_all(pages, engine)]

    fence = Fence("cascade", 60.0, 4096)

    def fenced(pages: Sequence[Html]) -> list[str]:
        return ["" if isinstance(one, Refused) else one.text for one in fence.extract(pages)]

    def clock() -> float:
        """Of this process and the fence's child."""
        on_cpu = Path(f"/proc/{fence.child}/schedstat").read_text(encoding="ascii").split()[0]  # nanoseconds
        return time.process_time() + int(on_cpu) / 1e9

    named = {name: (partial(plain, name), time.process_time) for name in ("trafilatura", "resiliparse", "cascade")}
    return {**named, "cascade, fenced": (fenced, clock)}


def measure(pages: Sequence[Html], repeats: int = 3) -> dict[str, tuple[list[str], float]]:
    """Each engine's texts, and its pages a second: for each group of pages the best of some turns through all."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    compared = engines()
    for work, _ in compared.values():
        work(pages[:3])
    groups = [pages[start : start + GROUP_PAGES] for start in range(0, len(pages), GROUP_PAGES)]
    found: dict[str, list[str]] = {}
    best = {name: [float("inf")] * len(groups) for name in compared}
    for _ in range(repeats):
        for name, (work, clock) in compared.items():
            found[name] = []
            for place, group in enumerate(groups):
                began = clock()
                found[name] += work(group)
                best[name][place] = min(best[name][place], clock() - began)
    return {name: (found[name], len(pages) / sum(best[name])) for name in compared}


def figures(found: dict[str, tuple[list[str], float]], gold: Sequence[Gold]) -> dict[str, float | None]:
    """extract_f1_gap: trafilatura's F1 less ours; extract_speedup: our pages a second, in trafilatura's."""
    f1 = {name: scored(texts, gold)[2] for name, (texts, _) in found.items()}
    return {
        "extract_f1_gap": f1["trafilatura"] - f1["cascade"],
        "extract_speedup": found["cascade"][1] / found["trafilatura"][1],
        "extract_fence_overhead": found["cascade"][1] / found["cascade, fenced"][1] - 1,
        "extract_f1": f1["cascade"],
    }


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--pages", type=Path, default=DATA / "pages.warc.gz", help="WARC file (default: %(default)s)")
    parser.add_argument("--gold", type=Path, default=DATA / "gold.json.gz", help="JSON, or gzipped JSON")
    options = parser.parse_args()
    pages, gold, urls = load(options.pages, options.gold)
    if "articleBody" not in gold[0]:
        held = [place for place, url in enumerate(urls) if half(url) == 1]
        print(f"{len(held)} of {len(pages)} pages are of sites that taught the cascade nothing; the figures are theirs")
        pages, gold = [pages[place] for place in held], [gold[place] for place in held]
    if options.quick:
        pages, gold = pages[:60], gold[:60]
    size = sum(len(html) for html, _ in pages) / len(pages)
    print(f"{len(pages)} pages of {size / 1000:,.0f} kB on average")
    found = measure(pages, 1 if options.quick else 3)
    slow = found["trafilatura"]
    rows = []
    for name, (texts, rate) in found.items():
        like = by_shingles(texts, slow[0])[2] if name != "trafilatura" else None
        rows.append([name, *(f"{value:.3f}" for value in scored(texts, gold)), rate, rate / slow[1], like or "-"])
    print_table(["engine", "precision", "recall", "F1", "pages/s", "ratio", "F1 to trafilatura's text"], rows)
    finish(figures(found, gold), options.json)


if __name__ == "__main__":
    main()
