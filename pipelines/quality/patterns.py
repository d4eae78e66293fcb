"""What a regular expression can match, read off its syntax tree, so that a cheap test can stand before a dear search.

Python's `re` tries each of a pattern's alternatives at each place. spaCy's patterns have up to a hundred alternatives,
few of which can begin or end with a given character.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from re import _constants as ops  # type: ignore[attr-defined]  # private, but the same since Python 3.4
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, NamedTuple

Ranges = list[tuple[int, int]]  # of code points, both ends included


BEGIN, END = ops.AT_BEGINNING, ops.AT_END
MANY = 1 << 30  # characters, more than any text has


class Unclear(Exception):
    """A part of a pattern that is not understood."""


def needs_more_than_letters(pattern: re.Pattern[str]) -> bool:
    """True only if each match has, in itself or in what it looks at, a character that is no letter (str.isalpha)."""
    return _sequence_needs(parser.parse(pattern.pattern, pattern.flags))


class Finder(NamedTuple):
    """What finds matches that begin (or end) with a character, and how many characters these can have."""

    find: Callable[..., re.Match[str] | None]
    width: int
    alone: bool = False  # each match is this character, wherever it stands


class ByCharacter(dict[str, "Finder | None"]):
    """For each character what finds the matches that begin with it, or end; None where none does. Made when asked.

    Only those pieces of the pattern are tried that can begin (or end) so, in their order: the others have no match.
    """

    def __init__(self, pattern: re.Pattern[str], pieces: Sequence[str], anchor: Any = None) -> None:
        """pattern: made of pieces joined by |. anchor: BEGIN or END if all are anchored there.

        Raises Unclear for another pattern, and for one whose matches may be empty.
        """
        super().__init__()
        parsed = {piece: list(parser.parse(piece)) for piece in pieces}
        if pattern.flags != re.UNICODE or pattern.pattern != "|".join(pieces):
            raise Unclear
        self._last = anchor == END
        if anchor is not None and not all(
            parts and parts[-1 if self._last else 0] == (ops.AT, anchor) for parts in parsed.values()
        ):
            raise Unclear
        self._edges = {piece: _edge(parts, self._last) for piece, parts in parsed.items()}
        if any(empty for _, empty in self._edges.values()):
            raise Unclear

    def __missing__(self, char: str) -> Finder | None:
        point = ord(char)
        tried = [
            piece for piece, (ranges, _) in self._edges.items() if any(low <= point <= high for low, high in ranges)
        ]
        self[char] = _compiled(tuple(tried), self._last) if tried else None
        return self[char]

    def edges(self, last: int = sys.maxunicode) -> re.Pattern[str]:
        """What finds the characters, up to the code point `last`, that a match can begin (or end) with."""
        pairs = [(low, min(high, last)) for ranges, _ in self._edges.values() for low, high in ranges if low <= last]
        return re.compile(
            "[" + "".join(f"\\U{low:08x}-\\U{high:08x}" for low, high in pairs) + "]" if pairs else "(?!)"
        )


@cache
def _compiled(pieces: tuple[str, ...], last: bool) -> Finder:
    """Shared by characters and languages: large classes take re tens of milliseconds."""
    found = re.compile("|".join(pieces))
    parsed = [parser.parse(piece) for piece in pieces]
    width = max(int(parts.getwidth()[1]) for parts in parsed)
    alone = all([kind for kind, _ in parts if kind is not ops.AT] in ([ops.LITERAL], [ops.IN]) for parts in parsed)
    return Finder(found.search if last else found.match, width, alone)


def by_character(pattern: re.Pattern[str], pieces: Sequence[str], anchor: Any) -> dict[str, Finder | None]:
    """The same for any anchored pattern: where its pieces are not understood, all of it for each character."""
    try:
        return ByCharacter(pattern, pieces, anchor)
    except Unclear:
        return defaultdict(lambda: Finder(pattern.search, MANY))


def finder(pattern: re.Pattern[str], pieces: Sequence[str]) -> Callable[[str], list[tuple[int, int]]]:
    """What gives the spans of the pattern's matches in a text, in less time if its pieces are understood."""
    try:
        at = ByCharacter(pattern, pieces)
    except Unclear:
        return lambda text: [found.span() for found in pattern.finditer(text)]
    edges, ascii_edges = at.edges().finditer, at.edges(127).finditer  # of more than the basic plane re makes a list

    def spans(text: str) -> list[tuple[int, int]]:
        free, found = 0, []
        for edge in ascii_edges(text) if text.isascii() else edges(text):
            place = edge.start()
            tried = at[text[place]] if place >= free else None
            if tried and (match := tried.find(text, place)):
                found.append(match.span())
                free = match.end()
        return found

    return spans


def _sequence_needs(parts: Iterable[tuple[Any, Any]]) -> bool:
    return any(_part_needs(kind, what) for kind, what in parts)


def _part_needs(kind: Any, what: Any) -> bool:
    """Whether this part of a pattern needs one; False for all that is not understood."""
    if kind is ops.LITERAL:
        return not chr(what).isalpha()
    if kind is ops.IN:
        return all(_choice_needs(*choice) for choice in what)
    if kind is ops.BRANCH:
        return all(_sequence_needs(branch) for branch in what[1])
    if kind is ops.SUBPATTERN:
        return _sequence_needs(what[3])
    if kind in (ops.MAX_REPEAT, ops.MIN_REPEAT):
        return what[0] > 0 and _sequence_needs(what[2])
    return kind is ops.ASSERT and _sequence_needs(what[1])


def _choice_needs(kind: Any, what: Any) -> bool:
    """Whether a choice of a character class holds no letter."""
    if kind is ops.LITERAL:
        return not chr(what).isalpha()
    if kind is ops.RANGE:
        return not any(chr(point).isalpha() for point in _all([what]))
    return kind is ops.CATEGORY and what in (ops.CATEGORY_DIGIT, ops.CATEGORY_SPACE)


def _edge(parts: Iterable[tuple[Any, Any]], last: bool) -> tuple[Ranges, bool]:
    """The characters that a match can begin (or end) with, and whether it can be empty."""
    found: Ranges = []
    for kind, what in reversed(list(parts)) if last else parts:
        if kind not in (ops.ASSERT, ops.ASSERT_NOT, ops.AT):
            ranges, empty = _edge_of_part(kind, what, last)
            found += ranges
            if not empty:
                return found, False
    return found, True


def _edge_of_part(kind: Any, what: Any, last: bool) -> tuple[Ranges, bool]:
    if kind is ops.LITERAL:
        return [(what, what)], False
    if kind is ops.IN and all(choice in (ops.LITERAL, ops.RANGE) for choice, _ in what):
        return [(one, one) if choice is ops.LITERAL else one for choice, one in what], False
    if kind is ops.BRANCH:
        branches = [_edge(branch, last) for branch in what[1]]
        return [pair for ranges, _ in branches for pair in ranges], any(empty for _, empty in branches)
    if kind is ops.SUBPATTERN:
        return _edge(what[3], last)
    if kind in (ops.MAX_REPEAT, ops.MIN_REPEAT):
        ranges, empty = _edge(what[2], last)
        return ranges, empty or what[0] == 0
    raise Unclear


def _all(ranges: Ranges) -> Iterable[int]:
    return (point for low, high in ranges for point in range(low, high + 1))
