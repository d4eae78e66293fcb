"""What a regular expression cannot match, read off its syntax tree: a cheap test then stands before a dear search."""

from __future__ import annotations

import re
from collections.abc import Iterable
from re import _constants as ops  # type: ignore[attr-defined]  # private, but the same since Python 3.4
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any


def needs_more_than_letters(pattern: re.Pattern[str]) -> bool:
    """True only if each match has, in itself or in what it looks at, a character that is no letter (str.isalpha)."""
    return _sequence(parser.parse(pattern.pattern, pattern.flags))


def _sequence(parts: Iterable[tuple[Any, Any]]) -> bool:
    return any(_part(kind, what) for kind, what in parts)


def _part(kind: Any, what: Any) -> bool:
    """Whether this part of a pattern needs one; False for all that is not understood."""
    if kind is ops.LITERAL:
        return not chr(what).isalpha()
    if kind is ops.IN:
        return all(_one_of(*choice) for choice in what)
    if kind is ops.BRANCH:
        return all(_sequence(branch) for branch in what[1])
    if kind is ops.SUBPATTERN:
        return _sequence(what[3])
    if kind in (ops.MAX_REPEAT, ops.MIN_REPEAT):
        return what[0] > 0 and _sequence(what[2])
    return kind is ops.ASSERT and _sequence(what[1])


def _one_of(kind: Any, what: Any) -> bool:
    """Whether a choice of a character class holds no letter."""
    if kind is ops.LITERAL:
        return not chr(what).isalpha()
    if kind is ops.RANGE:
        return not any(chr(point).isalpha() for point in range(what[0], what[1] + 1))
    return kind is ops.CATEGORY and what in (ops.CATEGORY_DIGIT, ops.CATEGORY_SPACE)
