"""Cuts: spans of a document's text that a stage takes out without copying the rest.

A span is [start, stop) in characters (Unicode code points, as Python counts them) of the text in
documents/UNIT.parquet, whatever earlier stages have cut: spans of several stages are simply put together.
What is left are the pieces between them, joined so that no two lines become one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

Span = tuple[int, int]
_BLANKS = " \t"


def merge(spans: Iterable[Span]) -> list[Span]:
    """The same characters as sorted spans that neither touch nor overlap."""
    merged: list[Span] = []
    for start, stop in sorted(spans):
        if start >= stop:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], stop))
        else:
            merged.append((start, stop))
    return merged


def pieces(text: str, spans: Iterable[Span]) -> list[Span]:
    """The stretches of the text that the spans leave: no blanks at a cut, no line feeds at the ends, none empty."""
    left: list[Span] = []
    begin = 0
    for start, stop in [*merge(spans), (len(text), len(text))]:
        left += _trimmed(text, begin, start, _BLANKS, _BLANKS)
        begin = stop
    if left:
        left[:1] = _trimmed(text, *left[0], _BLANKS + "\n", "")
        left[-1:] = _trimmed(text, *left[-1], "", _BLANKS + "\n")
    return left


def _trimmed(text: str, start: int, stop: int, before: str, after: str) -> list[Span]:
    """The span without these characters at its ends; nothing, if it is white space only."""
    part = text[start:stop]
    if not part.strip():
        return []
    return [(stop - len(part.lstrip(before)) if before else start, start + len(part.rstrip(after)) if after else stop)]


class CutText:
    """A text after cuts, and the way back from its characters to those of the text as it was extracted."""

    def __init__(self, text: str, spans: Iterable[Span]) -> None:
        spans = list(spans)
        self._pieces = pieces(text, spans) if spans else [(0, len(text))]
        self._begins: list[int] = []  # of each piece in the cut text
        parts: list[str] = []
        length = 0
        for first, last in self._pieces:
            if parts and not parts[-1].endswith("\n") and text[first] != "\n":
                parts.append("\n")  # what stood apart must not read as one sentence
                length += 1
            self._begins.append(length)
            parts.append(text[first:last])
            length += last - first
        self.text = "".join(parts)

    def extracted(self, start: int, stop: int) -> Span:
        """Where the characters [start, stop) of the cut text stand in the extracted one, cuts between them included."""
        assert 0 <= start < stop <= len(self.text)
        return self._place(start), self._place(stop - 1) + 1

    def _place(self, at: int) -> int:
        number = bisect_right(self._begins, at) - 1
        first, last = self._pieces[number]
        return min(first + at - self._begins[number], last - 1)  # a line feed of ours belongs to the piece before


def cut(text: str, spans: Iterable[Span]) -> str:
    """The text without the spans."""
    return CutText(text, spans).text
