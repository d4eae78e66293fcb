"""From documents to balanced training pieces: cut, deduplicated, split, drawn. The same texts give the same pieces.

Documents are cut into pieces of some hundred words, so that a book counts for more than a web page only through more
pieces, and a text's length tells nothing. Which pieces are drawn, and which documents are held out, is decided by
hashes: it depends on the texts alone, not on the order of files.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import xxhash

from ..dedup.exact import normalise

PIECE_WORDS = 300
SPAN = 1 << 64


class Piece(NamedTuple):
    """A piece of a document. Pieces sort by the hash of their text, which is a random order."""

    key: int
    text: str
    held_out: bool


def pieces(documents: Iterable[str], held_out: float, limit: int) -> list[Piece]:
    """At most `limit` different pieces, drawn evenly, in the order of their hashes. Memory: twice that number."""
    found: dict[int, Piece] = {}
    for document in documents:
        aside = keys_of(document)[1] < held_out * SPAN
        for text in cut(document):
            key, _ = keys_of(text)
            found.setdefault(key, Piece(key, text, aside))
        if len(found) > 2 * limit:
            found = {piece.key: piece for piece in heapq.nsmallest(limit, found.values())}
    return heapq.nsmallest(limit, found.values())


def keys_of(text: str) -> tuple[int, int]:
    """Two hashes of what a text says, each evenly spread below SPAN: for its place, and for its side of the split."""
    normal = normalise(text)
    return xxhash.xxh3_64_intdigest(normal), xxhash.xxh3_64_intdigest(normal, seed=1)


def cut(document: str) -> Iterator[str]:
    """Whole lines of about PIECE_WORDS words together; longer lines are cut between words."""
    lines: list[str] = []
    words = 0
    for line in document.split("\n"):
        for part in _parts(line):
            here = len(part.split())
            if lines and words + here > PIECE_WORDS:
                yield "\n".join(lines)
                lines, words = [], 0
            lines.append(part)
            words += here
    if words:
        yield "\n".join(lines)


def _parts(line: str) -> list[str]:
    words = line.split()
    if len(words) <= PIECE_WORDS:
        return [line]
    return [" ".join(words[at : at + PIECE_WORDS]) for at in range(0, len(words), PIECE_WORDS)]


def without_shared(good: Sequence[list[Piece]], raw: Sequence[list[Piece]]) -> list[list[list[Piece]]]:
    """Both classes, each piece in the first input that has it, and none that stands in both classes."""
    keys = [{piece.key for input_ in side for piece in input_} for side in (good, raw)]
    both = keys[0] & keys[1]
    return [_once(good, both), _once(raw, both)]


def _once(inputs: Sequence[list[Piece]], taken: set[int]) -> list[list[Piece]]:
    seen = set(taken)
    left = []
    for input_ in inputs:
        left.append([piece for piece in input_ if piece.key not in seen])
        seen |= {piece.key for piece in input_}
    return left


def balanced(inputs: Sequence[list[Piece]], total: int) -> list[Piece]:
    """`total` pieces, as many of each input as of every other as far as they go, in the order of their hashes."""
    numbers = shares([len(input_) for input_ in inputs], total)
    return sorted(piece for input_, number in zip(inputs, numbers, strict=True) for piece in input_[:number])


def shares(sizes: Sequence[int], total: int) -> list[int]:
    """How many to take of each so that they sum to `total` (or to all there is), none above its size, as even as can
    be."""
    given = [0] * len(sizes)
    left = min(total, sum(sizes))
    while left:
        hungry = [at for at, size in enumerate(sizes) if given[at] < size]
        portion = max(1, left // len(hungry))
        for at in hungry:
            more = min(portion, sizes[at] - given[at], left)
            given[at] += more
            left -= more
    return given
