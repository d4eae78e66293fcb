"""HTML to text: decode the bytes, let an engine find the main content, normalise.

The charset is that of the byte-order mark; else UTF-8, if the bytes are that and not all ASCII; else that of the HTTP
header, else of the page's <meta>, else detected.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Callable, Sequence

from resiliparse.parse.encoding import bytes_to_str, detect_encoding, map_encoding_to_html5

from .extraction.fence import CHAPTERS, Html
from .extraction.fence import Extracted as Extracted
from .extraction.peers import chapters, resiliparse, trafilatura


def cascade(pages: Sequence[bytes]) -> list[tuple[str, str]]:
    from .extraction import cascade as engine  # here: Numba takes a while to import, and few processes need it

    return engine.cascade(pages)


ENGINES: dict[str, Callable[[Sequence[bytes]], list[tuple[str, str]]]] = {  # pages in UTF-8
    "cascade": cascade,
    "resiliparse": resiliparse,
    "trafilatura": trafilatura,
    CHAPTERS: chapters,
}
BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
NO_BREAK_SPACES = re.compile(r"[\xa0\u2007\u202f]")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\ufeff\ufffe\uffff]")
LINE_ENDS = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")
UNUSUAL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\xa0\xad\u2007\u2028\u2029\u202f\ufeff\ufffe\uffff]")  # all of these
MANY_BLANK_LINES = re.compile(r"\n{3,}")


def extract(html: bytes, charset: str | None, engine: str = "cascade") -> Extracted:
    """Title and normalised main content of a page, by one of ENGINES."""
    return extract_all([(html, charset)], engine)[0]


def extract_all(pages: Sequence[Html], engine: str) -> list[Extracted]:
    """The same of some pages, in this process: a page may break it. extraction/fence.py is what the stage uses."""
    found = ENGINES[engine]([in_utf8(html, charset) for html, charset in pages])
    return [Extracted(" ".join(normalise(title).split()), normalise(text)) for title, text in found]


def decode(html: bytes, charset: str | None) -> str:
    """The page's characters. A wrong charset never fails: undecodable bytes are read as UTF-8 or Windows-1252."""
    return in_utf8(html, charset).decode()


def in_utf8(html: bytes, charset: str | None) -> bytes:
    """The page in valid UTF-8. Most pages are that already, and are returned as they are."""
    for bom, encoding in BOMS:
        if html.startswith(bom):
            return html[len(bom) :].decode(encoding, errors="replace").encode(errors="replace")
    is_ascii = html.isascii()
    if not is_ascii and _is_utf8(html):
        return html  # whatever server and page claim
    named = map_encoding_to_html5(charset, fallback_utf8=False) if charset else None
    encoding = named or detect_encoding(html, from_html_meta=True) or "utf-8"
    if is_ascii and codecs.lookup(encoding).name in ("utf-8", "cp1252"):  # not so in ISO-2022-JP
        return html
    text = bytes_to_str(html, encoding, errors="replace", fallback_encodings=("utf-8", "windows-1252"))
    return text.encode(errors="replace")


def _is_utf8(html: bytes) -> bool:
    """Text in another charset is hardly ever valid UTF-8 by chance, unless it is all ASCII."""
    try:
        html.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def normalise(text: str) -> str:
    """NFC, lines end in \\n; no control characters, soft hyphens, surrogates, no-break spaces, blanks at line ends."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", text).encode("utf-8", errors="replace").decode("utf-8")
    if UNUSUAL.search(text):
        text = CONTROL.sub("", LINE_ENDS.sub("\n", NO_BREAK_SPACES.sub(" ", text)))
    text = "\n".join([line.rstrip() for line in text.split("\n")]).strip("\n")
    return MANY_BLANK_LINES.sub("\n\n", text) if "\n\n\n" in text else text
