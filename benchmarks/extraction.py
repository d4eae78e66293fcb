"""Main content out of HTML: our engines beside trafilatura's fast mode, in accuracy and in pages a second on one core.

    python benchmarks/extraction.py [--pages WARC --gold JSON] [--json] [--quick]

Timed is the way from a page's bytes to its normalised text, decoding included, all engines in turn on the same core,
in processor time, so that what else the machine does counts little.
Gold is one object from URL to {"articleBody": text}, or to {"with": [segments], "without": [segments]}; _gold.py tells
how each is scored. Without --gold it is the segments of ../shared/data/trafilatura-eval, and the figures are those of
its held-out half: the pages of sites that did not teach the cascade's model.
"""
# ruff: noqa: E402 (the variables come before NumPy)

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from _bench import SHARED, arguments, finish, print_table

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # one core for all; before NumPy is loaded
    os.environ.setdefault(variable, "1")

from _gold import Gold, by_shingles, half, has_bodies, load, scored
from crawl2chat.pipelines.extract import extract_all
from crawl2chat.pipelines.extraction.fence import GROUP_PAGES, Fence, Html, Refused

DATA = SHARED / "data" / "trafilatura-eval"
Work = Callable[[Sequence[Html]], list[str]]


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
    if not has_bodies(gold):
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
