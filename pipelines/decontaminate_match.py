"""Documents against the index: which items stand in which document, and how much of them.

A run of words that a document and an item have in common is first found by its hash, then compared word by word: a
collision of hashes never counts. The share of an item is that of its characters in words that common runs cover: of
its question or of the whole item, whichever is more.

It is contamination when the share reaches `min_share` and, unless nearly the WHOLE is there, one of the runs stands in
at most `max_documents` documents: a passage that many pages quote is no leak of the item that quotes it too (Brown et
al. 2020 leave such n-grams out altogether, and would lose an item that was copied often).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..core.cuts import Span, merge
from .decontaminate_index import Index, cover, form_of
from .decontaminate_words import grams, spelled, words_of

WHOLE = 0.9


@dataclass
class Match:
    """What a document has of an item."""

    document: int  # place in the batch
    item: int
    share: float
    ngrams: int  # places in the document where a run of the item begins
    runs: list[int]  # of the index
    spans: list[Span]  # characters of the document


@dataclass
class _Common:
    """The runs that a document and an item have in common, as they are found."""

    places: set[int] = field(default_factory=set)
    runs: set[int] = field(default_factory=set)
    spans: list[Span] = field(default_factory=list)
    forms: set[tuple[int, int, int]] = field(default_factory=set)  # form, word, size


def matches(texts: Sequence[str], index: Index) -> list[Match]:
    """All documents of a batch against all items, documents in order."""
    words = words_of(texts)
    owners = words.owners
    found: dict[tuple[int, int], _Common] = defaultdict(_Common)
    for size, first, hashes in grams(words, index.lengths):
        for place, run in index.find(hashes):
            word = int(first[place])
            document = int(owners[word])
            span = int(words.starts[word]), int(words.stops[word + size - 1])
            said = spelled(texts[document][span[0] : span[1]])
            for entry in index.entries_of(run):
                item, form, at = int(entry["item"]), int(entry["form"]), int(entry["word"])
                if entry["size"] == size and form_of(index.parts(item), form)[0][at : at + size] == said:
                    common = found[document, item]
                    common.places.add(word)
                    common.runs.add(run)
                    common.spans.append(span)
                    common.forms.add((form, at, size))
    return [_match(document, item, found[document, item], index) for document, item in sorted(found)]


def _match(document: int, item: int, common: _Common, index: Index) -> Match:
    parts = index.parts(item)
    mask = np.zeros(sum(len(part) + 1 for part in parts), dtype=bool)
    for form, word, size in common.forms:
        cover(mask, parts, form, word, size)
    row = index.items.slice(item, 1)
    of_question = mask[: len(parts[0])].sum() / max(1, row["question_chars"][0].as_py())
    of_all = mask.sum() / max(1, row["chars"][0].as_py())
    share = min(1.0, float(max(of_question, of_all)))
    return Match(document, item, share, len(common.places), sorted(common.runs), merge(common.spans))


def is_contamination(share: float, rare: bool, min_share: float) -> bool:
    """See above; rare: at least one of the runs stands in few documents."""
    return share >= min_share and (rare or share >= WHOLE)


def widened(text: str, spans: Sequence[Span], margin: int, min_chars: int) -> list[Span]:
    """The spans with `margin` characters on either side, up to white space, and the short pieces between them."""
    wide: list[Span] = []
    for start, stop in spans:
        start, stop = max(0, start - margin), min(len(text), stop + margin)
        while start > 0 and not text[start - 1].isspace():
            start -= 1
        while stop < len(text) and not text[stop].isspace():
            stop += 1
        wide.append((start, stop))
    gone = merge(wide)
    borders = [0, *(border for span in gone for border in span), len(text)]
    short = [(a, b) for a, b in zip(borders[::2], borders[1::2], strict=True) if 0 < b - a < min_chars]
    return merge([*gone, *short])
