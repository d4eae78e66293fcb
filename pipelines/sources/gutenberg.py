"""Plain-text books: what Project Gutenberg put around them taken off, title and author read from it, chapters found."""

from __future__ import annotations

import re
from dataclasses import dataclass

START = re.compile(
    r"^[ \t]*(?:\*{3}[ \t]*START OF (?:THE|THIS) PROJECT GUTENBERG[^*]{0,300}\*{3}"
    r"|\*{0,3}[ \t]*END[ *]{1,3}THE SMALL PRINT![^\n]{0,200})[^\n]*$",
    re.IGNORECASE | re.MULTILINE,
)
END = re.compile(
    r"^[ \t]*(?:\*{3}[ \t]*END OF (?:THE|THIS) PROJECT GUTENBERG|\*{0,3}[ \t]*END OF (?:THE |THIS )?PROJECT GUTENBERG)",
    re.IGNORECASE | re.MULTILINE,
)
CREDITS = re.compile(
    r"\A\s*(?:\[?(?:produced|prepared|transcribed|digitized|scanned) by|e-?text (?:prepared|produced|scanned) by"
    r"|this e-?text was (?:prepared|produced)|html version by)(?:[^\n]*\n)+?(?:[ \t]*\n|\Z)",
    re.IGNORECASE,
)
FIELD = re.compile(r"^(Title|Author|Release Date|Character set encoding):[ \t]*(.+)$", re.MULTILINE)
OLD_TITLE = re.compile(
    r"Project Gutenberg(?:'s)? (?:Etext |EBook )?(?:of )?(.{3,100}?),? by (.{3,60}?)\.?$", re.M | re.I
)
NUMBER = re.compile(r"\[(?:eBook|Etext) ?#(\d{1,6})\]", re.IGNORECASE)
HEAD = 20_000  # characters within which a header can stand
HEADING = re.compile(
    r"^[ \t]*((?:chapter|book|part|letter|act|canto|volume|stave)[ \t]+(?:[ivxlcdm]{1,8}|\d{1,3}|the[ \t]+\w+"
    r"|one|two|three|four|five|six|seven|eight|nine|ten|first|second|third|last)\b[^\n]{0,80})$",
    re.IGNORECASE | re.MULTILINE,
)
SHORT = 400  # characters: a chapter below is a line of the table of contents, or a title above the real first one


@dataclass(frozen=True, slots=True)
class Text:
    """A book's own text, and what its header says."""

    body: str
    title: str = ""
    author: str = ""
    url: str = ""


def strip_gutenberg(text: str) -> Text:
    """The book between header and licence; a text without them is returned as it is."""
    start = START.search(text, 0, HEAD)
    end = next(iter(END.finditer(text, start.end() if start else 0)), None)
    if start is None and end is None:
        return Text(text.strip("\ufeff\n"))
    header = text[: start.end() if start else HEAD]
    fields = {name: value.strip() for name, value in reversed(FIELD.findall(header))}
    old = OLD_TITLE.search(header)
    title, author = (old[1], old[2]) if old else ("", "")
    number = NUMBER.search(header)
    body = text[start.end() if start else 0 : end.start() if end else len(text)]
    return Text(
        CREDITS.sub("", body).strip(),
        fields.get("Title", title),
        fields.get("Author", author),
        f"https://www.gutenberg.org/ebooks/{number[1]}" if number else "",
    )


def chapters(body: str) -> list[tuple[str, str]]:
    """(heading, text with the heading) of each chapter in order; a book without chapter lines is one.

    What stands before the first heading is a chapter of its own unless it is short; short ones join the next.
    """
    marks = [found for found in HEADING.finditer(body) if _alone(body, found.start(), found.end())]
    starts = [0, *(found.start() for found in marks)]
    names = ["", *(" ".join(found[1].split()) for found in marks)]
    merged: list[tuple[str, str]] = []
    pending = ""
    for name, start, end in zip(names, starts, [*starts[1:], len(body)], strict=True):
        piece = pending + body[start:end]
        if len(piece.strip()) < SHORT and end < len(body):
            pending = piece
            continue
        merged.append((name, piece.strip()))
        pending = ""
    return merged


def _alone(body: str, start: int, end: int) -> bool:
    """Whether a line stands between blank ones, as headings do."""
    before, after = body[max(0, start - 80) : start].split("\n"), body[end : end + 80].split("\n")
    return (len(before) < 2 or not before[-2].strip()) and (len(after) < 2 or not after[1].strip() or len(after) == 2)
