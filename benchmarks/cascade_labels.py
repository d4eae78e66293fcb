"""What the cascade's model is taught: for each block of a page, how much of it belongs to the main content.

The teacher is trafilatura's fast mode. Its text runs in the page's order, so a block is looked for behind the one that
was found before it: a short block ("Share") only right there, a long one anywhere. Where people said which segments a
page must and must not give (trafilatura-eval's gold), they overrule the teacher. Pages of Python's documentation
server are labelled by their known layout, of which the teacher misses half: all but their head is content.
"""

from __future__ import annotations

import pydoc
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _gold import site
from crawl2chat.pipelines.extract import decode, normalise
from crawl2chat.pipelines.extraction.blocks import read_page
from crawl2chat.pipelines.extraction.features import Rows, features
from crawl2chat.pipelines.extraction.peers import trafilatura
from fastwarc.warc import ArchiveIterator, WarcRecordType
from numpy.typing import NDArray

WORD = re.compile(r"\w+")
LONG, SHORT = 8, 4  # words: longer blocks are looked for anywhere, shorter ones only where they are expected
SLACK = (60, 400)  # characters of the teacher's text that may be passed over for a short block, for a middling one
PYDOC_HEAD = ("Python 3", "Module Index", "index\n")
PYDOC = (
    *("argparse", "asyncio", "bisect", "cmd", "collections", "contextlib", "csv", "datetime", "difflib", "enum"),
    *("functools", "gzip", "heapq", "inspect", "itertools", "math", "operator", "pathlib", "queue", "re", "shlex"),
)
TOPICS = ("ASSERTION", "ASSIGNMENT", "CALLS", "CLASSES", "COMPARISON", "COMPLEX", "CONVERSIONS", "EXCEPTIONS")


@dataclass(slots=True)
class Lesson:
    """A page: its blocks as features, texts and labels, how much each block counts, and how much the page does."""

    url: str
    rows: Rows
    texts: list[str]
    labels: NDArray[np.float32]
    shares: NDArray[np.float32]
    weight: float
    teacher: str


def lesson(url: str, html: str, weight: float = 1.0, gold: dict[str, Any] | None = None) -> Lesson | None:
    """A page labelled by the teacher, and by gold segments if there are any. None: the page has no text."""
    page = read_page(html)
    if not page.texts:
        return None
    teacher = normalise(trafilatura([html.encode(errors="replace")])[0][1])
    labels = taught(page.texts, teacher)
    counts = np.array([len(WORD.findall(text)) + 2.0 for text in page.texts])
    if gold:
        _overrule(labels, counts, page.texts, gold)
    return _made(url, page, labels, counts, weight, teacher)


def _overrule(labels: NDArray, counts: NDArray, texts: list[str], gold: dict[str, Any]) -> None:
    """What people said about a block counts, and doubly."""
    wanted = [segment for segment in gold.get("with") or () if len(segment) > 15]
    for number, text in enumerate(map(normalise, texts)):
        if any(segment in text for segment in wanted):
            if labels[number] < 0.5:
                labels[number] = 1
                counts[number] *= 2
        elif any(segment in text for segment in gold.get("without") or ()):
            labels[number] = 0
            counts[number] *= 2


def pydoc_lessons(weight: float) -> Iterator[Lesson]:
    """Pages of Python's documentation server."""
    for name in [*(f"{module}.html" for module in PYDOC), *(f"topic?key={topic}" for topic in TOPICS)]:
        page = read_page(pydoc._url_handler(name))  # type: ignore[attr-defined]
        labels = np.array([not (n < 5 and text.startswith(PYDOC_HEAD)) for n, text in enumerate(page.texts)], float)
        counts = np.array([len(WORD.findall(text)) + 2.0 for text in page.texts])
        yield _made(name, page, labels, counts, weight, "")


def _made(url: str, page: Any, labels: NDArray, counts: NDArray, weight: float, teacher: str) -> Lesson:
    shares = (counts / counts.sum()).astype(np.float32)
    return Lesson(url, features([page]), page.texts, labels.astype(np.float32), shares, weight, teacher)


def taught(texts: list[str], teacher: str) -> NDArray:
    """For each block, the share of it that stands in the teacher's text, at its turn."""
    whole, at = f" {_words(teacher)} ", 0
    labels = np.zeros(len(texts))
    for number, text in enumerate(texts):
        block = _words(text)
        words = block.split()
        if not words:  # a line of signs: as the block before it
            labels[number] = labels[number - 1] if number else 0
            continue
        slack = len(whole) if len(words) >= LONG else SLACK[len(words) >= SHORT]
        found = whole.find(f" {block} ", at, at + slack + len(block) + 2)
        if found >= 0:
            labels[number], at = 1, found + len(block) + 1
        elif len(words) >= LONG:
            pieces = [" ".join(words[start : start + 4]) for start in range(0, len(words) - 3, 4)]
            labels[number] = sum(piece in whole for piece in pieces) / len(pieces)
            last = " ".join(words[-4:])
            if labels[number] > 0.5 and (found := whole.find(f" {last} ", at)) >= 0:
                at = found + len(last) + 1
    return labels


def _words(text: str) -> str:
    return " ".join(WORD.findall(normalise(text).lower()))


def read_pages(path: Path, each: int) -> Iterator[tuple[str, str]]:
    """URL and characters of the HTML pages of a WARC file, or of a folder of .html files or of WARC files.

    each: at most so many pages of a site, spread evenly over it.
    """
    files = sorted([*path.rglob("*.html"), *path.rglob("*.warc.gz")]) if path.is_dir() else [path]
    sites: dict[str, list[tuple[str, bytes]]] = defaultdict(list)
    for file in files:
        for url, html in [(file.as_posix(), file.read_bytes())] if file.suffix == ".html" else _records(file):
            sites[site(url)].append((url, html))
    for pages in sites.values():
        for url, html in pages[:: max(1, len(pages) // each)][:each]:
            yield url, decode(html, None)


def _records(file: Path) -> Iterable[tuple[str, bytes]]:
    with file.open("rb") as stream:
        for record in ArchiveIterator(stream, record_types=WarcRecordType.response):
            head = record.http_headers
            if head is not None and head.status_code in (200, None) and "html" in (head.get("Content-Type") or ""):
                yield record.headers["WARC-Target-URI"], record.reader.read()
