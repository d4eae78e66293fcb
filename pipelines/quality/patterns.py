"""What a regular expression can match, read off its syntax tree, so that a cheap test can stand before a dear search.

Python's `re` tries each of a pattern's alternatives at each place. spaCy's patterns have up to a hundred alternatives,
few of which can begin at a letter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from re import _constants as ops  # type: ignore[attr-defined]  # private, but the same since Python 3.4
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

Ranges = list[tuple[int, int]]  # of code points, both ends included


class Unclear(Exception):
    """A part of a pattern that is not understood."""


def needs_more_than_letters(pattern: re.Pattern[str]) -> bool:
    """True only if each match has, in itself or in what it looks at, a character that is no letter (str.isalpha)."""
    return _sequence_needs(parser.parse(pattern.pattern, pattern.flags))


def quicker(pattern: re.Pattern[str], pieces: Sequence[str], top: int = 0x110000) -> re.Pattern[str]:
    """A pattern with the same matches as `pattern`, which is made of pieces joined by |, in texts below `top`.

    Pieces are sorted into those that begin at letters and the others, and each group is tried only where one of its
    pieces can begin. No piece of one group can begin where one of the other does, so that their order does not matter.
    """
    if pattern.flags != re.UNICODE or pattern.pattern != "|".join(pieces):
        return pattern
    try:
        begins = {piece: _begins(piece, top) for piece in pieces}
    except Unclear:
        return pattern
    at_letters = {piece for piece, ranges in begins.items() if any(chr(point).isalpha() for point in _all(ranges))}
    while True:  # a piece that may begin where one of these does joins them
        letters = {point for piece in at_letters for point in _all(begins[piece])}
        more = {piece for piece in begins if piece not in at_letters and not letters.isdisjoint(_all(begins[piece]))}
        if not more:
            break
        at_letters |= more
    guarded = []
    for group in (at_letters, begins.keys() - at_letters):
        tried = [piece for piece in pieces if piece in group and begins[piece]]
        if tried:
            guarded.append(f"(?={_class([pair for one in tried for pair in begins[one]])})(?:{'|'.join(tried)})")
    return re.compile("|".join(guarded) or "(?!)")


def _begins(piece: str, top: int) -> Ranges:
    """The characters below `top` that a match can begin with. Raises Unclear if a match can be empty."""
    ranges, empty = _first(parser.parse(piece))
    if empty:
        raise Unclear
    return [(low, min(high, top - 1)) for low, high in ranges if low < top]


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


def _first(parts: Iterable[tuple[Any, Any]]) -> tuple[Ranges, bool]:
    """The characters that a match can begin with, and whether it can be empty."""
    found: Ranges = []
    for kind, what in parts:
        if kind not in (ops.ASSERT, ops.ASSERT_NOT, ops.AT):
            ranges, empty = _first_of_part(kind, what)
            found += ranges
            if not empty:
                return found, False
    return found, True


def _first_of_part(kind: Any, what: Any) -> tuple[Ranges, bool]:
    if kind is ops.LITERAL:
        return [(what, what)], False
    if kind is ops.IN and all(choice in (ops.LITERAL, ops.RANGE) for choice, _ in what):
        return [(one, one) if choice is ops.LITERAL else one for choice, one in what], False
    if kind is ops.BRANCH:
        branches = [_first(branch) for branch in what[1]]
        return [pair for ranges, _ in branches for pair in ranges], any(empty for _, empty in branches)
    if kind is ops.SUBPATTERN:
        return _first(what[3])
    if kind in (ops.MAX_REPEAT, ops.MIN_REPEAT):
        ranges, empty = _first(what[2])
        return ranges, empty or what[0] == 0
    raise Unclear


def _all(ranges: Ranges) -> Iterable[int]:
    return (point for low, high in ranges for point in range(low, high + 1))


def _class(ranges: Ranges) -> str:
    """A character class for `re`."""
    return "[" + "".join(f"\\U{low:08x}-\\U{high:08x}" for low, high in ranges) + "]"
