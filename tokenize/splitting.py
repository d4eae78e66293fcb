"""GPT-2's and GPT-4's patterns as compiled code: where the piece that begins at a place of UTF-8 text ends.

A regular expression engine tries alternatives; these patterns can be decided by looking at each character's class once,
whatever the text: no backtracking, so no text is slow.

The classes are asked of the `tokenizers` library's own engine: its Unicode version counts, not Python's.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ..core.compiled import borrowed, compiled, inlined
from .patterns import Cutting

OTHER, LETTER, MARK, NUMBER, SPACE, LINE_END = range(6)  # LINE_END: \r and \n, which are white space too
ASKED = (*range(0xD800), *range(0xE000, 0x40000), *range(0xE0000, 0xE1000))  # no others are letters, marks, numbers


@lru_cache(maxsize=2)
def class_table(marks: bool) -> np.ndarray:
    """uint8 [0x110000]: the class of each code point. Without `marks` there is no MARK: they are OTHER."""
    from tokenizers import Regex, pre_tokenizers

    points = np.array(ASKED)
    text = "".join(map(chr, ASKED))
    table = np.full(0x110000, OTHER, np.uint8)
    for regex, kind in ((r"\p{L}+", LETTER), (r"\p{M}+", MARK), (r"\p{N}+", NUMBER), (r"\s+", SPACE)):
        if kind != MARK or marks:
            found = pre_tokenizers.Split(Regex(regex), "removed", invert=True).pre_tokenize_str(text)
            for _, (begin, end) in found:
                table[points[begin:end]] = kind
    table[[0x0A, 0x0D]] = LINE_END
    table.flags.writeable = False
    return table


def pieces(text: str, cutting: Cutting) -> list[str]:
    """The pieces of a text: for tests, and to look at."""
    data = np.frombuffer(text.encode(), np.uint8)
    ends = piece_ends(data, np.array([0, len(data)]), class_table(cutting.marks), cutting.gpt4, cutting.most_digits)
    return [bytes(data[begin:end]).decode() for begin, end in zip([0, *ends.tolist()], ends.tolist(), strict=False)]


@compiled
def piece_ends(data: np.ndarray, offsets: np.ndarray, classes: np.ndarray, gpt4: bool, most_digits: int) -> np.ndarray:
    """Ends of all pieces of all texts, int64, in order.

    data: uint8, valid UTF-8; offsets: int64 [texts + 1] into it; most_digits: of a number's piece.
    """
    ends = np.empty(offsets[-1] - offsets[0], np.int64)
    text_bytes, kinds = borrowed(data), borrowed(classes)
    count = 0
    for text in range(len(offsets) - 1):
        place, stop = offsets[text], offsets[text + 1]
        while place < stop:
            place = _piece_end(text_bytes, place, stop, kinds, gpt4, most_digits)
            ends[count] = place
            count += 1
    return ends[:count]


@inlined
def character(data: np.ndarray, at: Any) -> tuple[Any, int]:
    """Code point at a place of valid UTF-8, and where the next one begins."""
    first = np.int64(data[at])
    if first < 0x80:
        return first, at + 1
    second = np.int64(data[at + 1]) & 0x3F
    if first < 0xE0:
        return (first & 0x1F) << 6 | second, at + 2
    third = np.int64(data[at + 2]) & 0x3F
    if first < 0xF0:
        return (first & 0x0F) << 12 | second << 6 | third, at + 3
    return (first & 0x07) << 18 | second << 12 | third << 6 | np.int64(data[at + 3]) & 0x3F, at + 4


@inlined
def _piece_end(data: np.ndarray, at: int, stop: int, classes: np.ndarray, gpt4: bool, most_digits: int) -> int:
    """End of the piece that begins at `at`, at most `stop`."""
    point, after = np.int64(data[at]), at + 1
    if point >= 0x80:
        point, after = character(data, at)
    kind = classes[point]
    if kind == LETTER:
        return _words_end(data, after, stop, classes)
    if kind == NUMBER:
        return _numbers_end(data, after, stop, classes, most_digits - 1)
    if point == 0x27:  # an apostrophe
        letters = _contraction(data, after, stop, gpt4)
        if letters:
            return after + letters
    if kind != LINE_END and after < stop:
        following, second = np.int64(data[after]), after + 1
        if following >= 0x80:
            following, second = character(data, after)
        next_kind = classes[following]
        if (gpt4 or point == 0x20) and (next_kind in (LETTER, MARK)):
            return _words_end(data, second, stop, classes)
        if not gpt4 and point == 0x20 and next_kind == NUMBER:
            return _numbers_end(data, second, stop, classes, most_digits - 1)
        if point == 0x20 and next_kind == OTHER:
            return _punctuation_end(data, second, stop, classes, gpt4)
    if kind == MARK:  # a word of one mark
        return after
    if kind == OTHER:
        return _punctuation_end(data, after, stop, classes, gpt4)
    return _spaces_end(data, at, stop, classes, gpt4)


@inlined
def _words_end(data: np.ndarray, at: int, stop: int, classes: np.ndarray) -> int:
    while at < stop:
        if data[at] < 0x80:  # most text: one byte, one look
            if classes[data[at]] != LETTER:
                break
            at += 1
            continue
        point, after = character(data, at)
        kind = classes[point]
        if kind != LETTER and kind != MARK:
            break
        at = after
    return at


@inlined
def _numbers_end(data: np.ndarray, at: int, stop: int, classes: np.ndarray, more: int) -> int:
    while at < stop and more > 0:
        point, after = character(data, at)
        if classes[point] != NUMBER:
            break
        at = after
        more -= 1
    return at


@inlined
def _punctuation_end(data: np.ndarray, at: int, stop: int, classes: np.ndarray, gpt4: bool) -> int:
    """Behind punctuation, and with GPT-4 behind the line ends after it."""
    while at < stop:
        point, after = character(data, at)
        kind = classes[point]
        if kind != OTHER and kind != MARK:
            break
        at = after
    while gpt4 and at < stop and (data[at] == 0x0A or data[at] == 0x0D):
        at += 1
    return at


@inlined
def _spaces_end(data: np.ndarray, at: int, stop: int, classes: np.ndarray, gpt4: bool) -> int:
    """Behind white space: up to its last line end with GPT-4, if it has one; else all of it but the last character,
    which goes with what follows it; all of it at the text's end, or when it is one character."""
    begin = last = at
    line_end = -1
    while at < stop:
        point, after = character(data, at)
        kind = classes[point]
        if kind != SPACE and kind != LINE_END:
            break
        if kind == LINE_END:
            line_end = after
        last = at
        at = after
    if gpt4 and line_end >= 0:
        return line_end
    return last if at < stop and last > begin else at


@inlined
def _contraction(data: np.ndarray, at: int, stop: int, any_case: bool) -> int:
    """Bytes of s, d, m, t, ll, ve or re at a place, behind an apostrophe; 0: none is there."""
    if at >= stop:
        return 0
    one = _small(data[at], any_case)
    if one == 0x73 or one == 0x64 or one == 0x6D or one == 0x74:
        return 1
    if any_case and at + 1 < stop and data[at] == 0xC5 and data[at + 1] == 0xBF:
        return 2  # U+017F, the long s: the only other character that is one of these letters in another case
    two = _small(data[at + 1], any_case) if at + 1 < stop else np.uint8(0)
    if (one == 0x6C and two == 0x6C) or (two == 0x65 and (one == 0x76 or one == 0x72)):
        return 2
    return 0


@inlined
def _small(byte: int, any_case: bool) -> int:
    return byte | 0x20 if any_case and 0x41 <= byte <= 0x5A else byte
