"""What the lines and paragraphs of a text say, without looking at words: plain counts on strings.

Definitions are datatrove's (pipeline/filters/gopher_repetition_filter.py, gopher_quality_filter.py,
fineweb_quality_filter.py), so that the shares come out as the same floats.
"""

from __future__ import annotations

from collections.abc import Sequence

from datatrove.utils.text import TERMINAL_PUNCTUATION

BULLETS = ("•", "-")
ELLIPSES = ("...", "…")

# The columns of the functions below, in their order.
REPETITION = ("dup_para_frac", "dup_para_char_frac", "dup_line_frac", "dup_line_char_frac")
MARKS = ("hash_ratio", "ellipsis_ratio", "bullet_lines_ratio", "ellipsis_lines_ratio")  # the first two not yet a word
FINEWEB = ("line_count", "line_punct_ratio", "short_line_ratio", "char_dup_ratio", "list_ratio")  # list_ratio: as well


def repeated(parts: Sequence[str]) -> tuple[int, int]:
    """Parts that stood before, and their characters."""
    distinct = set(parts)
    return len(parts) - len(distinct), sum(map(len, parts)) - sum(map(len, distinct))


def paragraphs(text: str) -> list[str]:
    """The text split at runs of two and more line feeds."""
    parts = text.strip().split("\n\n")
    return [one.lstrip("\n") for one in parts if one.lstrip("\n")] if "\n\n\n" in text and any(parts) else parts


def lines(text: str) -> list[str]:
    """The text split at runs of line feeds."""
    parts = text.split("\n")
    return [*parts[:1], *filter(None, parts[1:-1]), *parts[1:][-1:]]


def repetition(text: str) -> tuple[float, ...]:
    """Gopher repetition: repeated paragraphs and their characters, repeated lines and theirs, each as a share."""
    all_paragraphs, all_lines = paragraphs(text), lines(text)
    (paragraphs_again, paragraph_characters), (lines_again, line_characters) = (
        repeated(all_paragraphs),
        repeated(all_lines),
    )
    size = max(1, len(text))
    return (
        paragraphs_again / len(all_paragraphs),
        paragraph_characters / size,
        lines_again / len(all_lines),
        line_characters / size,
    )


def marks(text: str, stripped: Sequence[str]) -> tuple[float, ...]:
    """Gopher quality: hashes and ellipses in the text; of its stripped lines, those with a bullet or trailing off."""
    size = max(1, len(stripped))
    lines = "\n".join(["", *stripped, ""])
    return (
        text.count("#"),
        text.count("...") + text.count("…"),
        sum(lines.count(f"\n{bullet}") for bullet in BULLETS) / size,
        sum(lines.count(f"{ellipsis}\n") for ellipsis in ELLIPSES) / size,
    )


def fineweb(text: str, short: int) -> tuple[float, ...]:
    """FineWeb: lines that hold something; of these the shares that end a sentence, that are short; characters in
    repeated ones as a share; line feeds."""
    filled = [line for line in text.split("\n") if line and not line.isspace()]
    size = max(1, len(filled))
    feeds = text.count("\n")
    return (
        len(filled),
        sum(map(TERMINAL_PUNCTUATION.__contains__, [line[-1] for line in filled])) / size,
        sum(map(short.__ge__, map(len, filled))) / size,
        repeated(filled)[1] / max(1, len(text) - feeds),
        feeds,
    )
