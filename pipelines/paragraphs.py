"""Repeated paragraphs: finding the lines that many documents share, and what of a document they make up.

A paragraph is a line: extraction writes one for each block of a page (a paragraph, a heading, a list item, a menu's
entry), so that a menu is found also where one entry of it differs from page to page. As short lines repeat for good
reasons ("References", "See also"), what is cut are runs of frequent lines that together have some length.

Lines are compared by 64 bits of xxHash3 after Unicode NFKC, lower-casing, and folding white space into single spaces.
Of n different lines and f frequent ones, n · f / 2^64 are expected to be taken for a frequent one by chance.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xxhash

from ..core.cuts import Span

BLANK = 0  # stands for the hash of an empty line


@dataclass(frozen=True)
class Lines:
    """The lines of some texts, one behind the other: text i has lines offsets[i] … offsets[i + 1] - 1."""

    hashes: np.ndarray  # uint64, BLANK for empty lines
    offsets: np.ndarray  # int64 [texts + 1]

    def of(self, text: int) -> np.ndarray:
        return self.hashes[self.offsets[text] : self.offsets[text + 1]]


def normalise(text: str) -> list[str]:
    """The text's lines as they are compared."""
    folded = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return [" ".join(line.split()) for line in folded.lower().split("\n")]


def lines_of(texts: Sequence[str]) -> Lines:
    """Hashes of all lines."""
    digest = xxhash.xxh3_64_intdigest
    hashes: list[int] = []
    offsets = [0]
    for text in texts:
        hashes += [(digest(line.encode("utf-8", "surrogatepass")) or 1) if line else BLANK for line in normalise(text)]
        offsets.append(len(hashes))
    return Lines(np.array(hashes, dtype=np.uint64), np.array(offsets, dtype=np.int64))


def count_documents(lines: Lines) -> tuple[np.ndarray, np.ndarray]:
    """Different lines, sorted, and how many of the texts have each: a line counts once a text."""
    texts = np.repeat(np.arange(len(lines.offsets) - 1), np.diff(lines.offsets))
    solid = lines.hashes != BLANK
    hashes, texts = lines.hashes[solid], texts[solid]
    order = np.lexsort((texts, hashes))
    hashes, texts = hashes[order], texts[order]
    new = np.ones(len(hashes), dtype=bool)
    new[1:] = (hashes[1:] != hashes[:-1]) | (texts[1:] != texts[:-1])
    return np.unique(hashes[new], return_counts=True)


def repeated(text: str, hashes: np.ndarray, frequent: np.ndarray, least: int) -> tuple[list[Span], int]:
    """Spans of the runs of frequent lines with at least `least` characters, and the number of lines in them.

    hashes: of the text's lines; frequent: which of these are. Blank lines do not end a run, and those behind a run go
    with it, so that what is left keeps the distance that it had to what was before.
    """
    spans: list[Span] = []
    removed = 0
    begin, size, count = -1, 0, 0
    place = 0
    lines = zip(text.split("\n"), hashes.tolist(), frequent.tolist(), strict=True)
    for line, digest, is_one in [*lines, ("", BLANK + 1, False)]:  # the last ends a run at the text's end
        if digest != BLANK:
            if not is_one and begin >= 0:
                if size >= least:
                    spans.append((begin, min(place, len(text))))
                    removed += count
                begin, size, count = -1, 0, 0
            elif is_one:
                begin = place if begin < 0 else begin
                size += len(line.strip())
                count += 1
        place += len(line) + 1
    return spans, removed
