"""What the lines and paragraphs of a text say, without looking at words: plain counts on strings.

Definitions are datatrove's (pipeline/filters/gopher_repetition_filter.py, gopher_quality_filter.py,
fineweb_quality_filter.py), so that the shares come out as the same floats.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from datatrove.utils.text import TERMINAL_PUNCTUATION

PARAGRAPH_ENDS = re.compile(r"\n{2,}")
LINE_ENDS = re.compile(r"\n+")
BULLETS = ("•", "-")
ELLIPSES = ("...", "…")


def repeated(parts: Sequence[str]) -> tuple[int, int]:
    """Parts that stood before, and their characters."""
    distinct = set(parts)
    return len(parts) - len(distinct), sum(map(len, parts)) - sum(map(len, distinct))


def repetition(text: str) -> tuple[float, ...]:
    """Gopher repetition: repeated paragraphs and their characters, repeated lines and theirs, each as a share."""
    paragraphs, lines = PARAGRAPH_ENDS.split(text.strip()), LINE_ENDS.split(text)
    (paragraphs_again, paragraph_characters), (lines_again, line_characters) = repeated(paragraphs), repeated(lines)
    size = max(1, len(text))
    return (
        paragraphs_again / len(paragraphs),
        paragraph_characters / size,
        lines_again / len(lines),
        line_characters / size,
    )


def marks(text: str, lines: Sequence[str]) -> tuple[float, ...]:
    """Gopher quality: hashes and ellipses in the text; of its stripped lines, those with a bullet or trailing off."""
    size = max(1, len(lines))
    return (
        text.count("#"),
        text.count("...") + text.count("…"),
        sum(line.startswith(BULLETS) for line in lines) / size,
        sum(line.endswith(ELLIPSES) for line in lines) / size,
    )


def fineweb(text: str, short: int) -> tuple[float, ...]:
    """FineWeb: lines that hold something; of these the shares that end a sentence, that are short; characters in
    repeated ones as a share; line feeds."""
    lines = [line for line in text.split("\n") if line and not line.isspace()]
    size = max(1, len(lines))
    feeds = text.count("\n")
    return (
        len(lines),
        sum(line[-1] in TERMINAL_PUNCTUATION for line in lines) / size,
        sum(len(line) <= short for line in lines) / size,
        repeated(lines)[1] / max(1, len(text) - feeds),
        feeds,
    )
