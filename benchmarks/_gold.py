"""Pages with gold text: reading them, which of them taught nothing, and how texts are scored.

Gold is one object from URL to {"articleBody": text}, or to {"with": [segments], "without": [segments]}:

- articleBody: 4-word shingles, as multisets; precision and recall are means over the pages, F1 is of these means.
- segments, as trafilatura evaluates itself: one that must be there and is, is a hit, else a miss; one that must not be
  there and is, is wrong. Blanks are compared as one.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from crawl2chat.pipelines.extract import normalise
from crawl2chat.pipelines.extraction.fence import Html
from crawl2chat.pipelines.sources.records import RawRecord
from crawl2chat.pipelines.sources.warc import read_warc

WORD = re.compile(r"\w+")
Gold = dict[str, Any]


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
    for option, file in (("--pages", pages), ("--gold", gold)):
        if not file.is_file():
            raise SystemExit(f"no file {file}: correct {option}")
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


def has_bodies(gold: Sequence[Gold]) -> bool:
    """Whether the gold is whole texts; else it is segments."""
    return any("articleBody" in one for one in gold)


def scored(texts: Sequence[str], gold: Sequence[Gold]) -> tuple[float, float, float]:
    """Precision, recall and F1 by what the gold is. A page whose body is null, or is not given, has no text."""
    if has_bodies(gold):
        return by_shingles(texts, [normalise(one.get("articleBody") or "") for one in gold])
    return by_segments(texts, gold)
