"""Books: .txt (.gz), .zip of one or more texts, .epub. A document is a book, or a chapter (`per`).

origin_offset is the chapter's number, from 1, in the book's order; 0 for a whole book. In a zip of several texts, place
and detail name the one.
Reasons of losses: bad_epub, bad_zip, drm, too_large, truncated_gzip, bad_gzip, bad_encoding, unreadable_file; and for
chapters of an .epub those of extraction/fence.py.
"""

from __future__ import annotations

import codecs
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, BinaryIO

from resiliparse.parse.encoding import detect_encoding

from ...core.settings_sources import BooksSource
from ..extraction.fence import Refused
from .epub import BadBook, Extract, as_bad_book, member, read_epub
from .gutenberg import chapters, strip_gutenberg
from .html_folder import TooLarge, whole_file
from .records import Item, Loss, RawRecord

BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
SAMPLE = 1 << 16
MEMBERS = 1000  # texts in one zip
CENTRAL_LIMIT = 1 << 30  # bytes of a zip: its directory is held


def read_books(
    source: BooksSource, spec: Mapping[str, Any], open_file: Callable[[str], BinaryIO], max_bytes: int, extract: Extract
) -> Iterator[Item]:
    """The books of a unit's files. spec: files (to open) and keys (their names in doc_ids); extract: of chapters."""
    for file, key in zip(spec["files"], spec["keys"], strict=True):
        try:
            with open_file(file) as handle:
                for item in _books(source, handle, key, max_bytes, extract):
                    assert isinstance(item, RawRecord | Loss)
                    yield replace(item, file=file, key=key)
        except BadBook as bad:
            yield Loss(0, "0!", bad.reason, "", bad.value, bad.detail, file, key)
        except TooLarge as error:
            yield Loss(0, "0!", "too_large", "", float(error.args[0]), "file", file, key)
        except (EOFError, zlib.error) as error:
            reason = "truncated_gzip" if isinstance(error, EOFError) else "bad_gzip"
            yield Loss(0, "0!", reason, "", None, str(error), file, key)
        except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
            yield Loss(0, "0!", "unreadable_file", "", None, str(error), file, key)


def _books(source: BooksSource, handle: BinaryIO, name: str, max_bytes: int, extract: Extract) -> Iterator[Item]:
    archived = handle.read(2) == b"PK" or name.lower().endswith((".zip", ".epub"))
    handle.seek(0)
    if not archived:
        yield from _text_book(source, whole_file(handle, name, max_bytes), "")
        return
    with as_bad_book("bad_zip"):
        size = handle.seek(0, 2)
        if size > CENTRAL_LIMIT:
            raise BadBook("too_large", "archive", float(size))
        archive = zipfile.ZipFile(handle)
    with archive:
        if "META-INF/container.xml" in archive.NameToInfo or "mimetype" in archive.NameToInfo:
            yield from _epub(source, archive, max_bytes, extract)
        else:
            yield from _zipped(source, archive, max_bytes)


def _epub(source: BooksSource, archive: zipfile.ZipFile, max_bytes: int, extract: Extract) -> Iterator[Item]:
    """A chapter that is refused costs itself; where the document is the book, it costs the book."""
    book = read_epub(archive, max_bytes, extract)
    parts: list[tuple[str, str] | Refused] = []
    for number, one in enumerate(book.chapters, start=1):
        if isinstance(one, Refused) and source.per == "book":
            raise BadBook(one.reason, f"chapter {number}: {one.detail}".rstrip(": "), one.value)
        parts.append(one if isinstance(one, Refused) else (one.title, one.text))
    yield from _documents(source, book.title, book.author, book.date, "", parts, "")


def _zipped(source: BooksSource, archive: zipfile.ZipFile, max_bytes: int) -> Iterator[Item]:
    """The texts of an archive, by name; one that cannot be read costs only itself."""
    names = sorted(name for name in archive.namelist() if name.lower().endswith(".txt"))
    if not names or len(names) > MEMBERS:
        raise BadBook("bad_zip", f"{len(names)} files .txt in the archive, 1 to {MEMBERS} are read", float(len(names)))
    for number, name in enumerate(names):
        within = name if len(names) > 1 else ""
        try:
            with as_bad_book("bad_zip"):
                data = member(archive, name, max_bytes)
            yield from _text_book(source, data, within)
        except BadBook as bad:
            yield Loss(0, f"{within}#{number}!", bad.reason, "", bad.value, f"{name}: {bad.detail}")


def _text_book(source: BooksSource, data: bytes, within: str) -> Iterator[Item]:
    text = decode_text(data, source.encoding)
    book = strip_gutenberg(text.replace("\r\n", "\n").replace("\r", "\n"))
    parts = chapters(book.body) if source.per == "chapter" else [("", book.body)]
    yield from _documents(source, book.title, book.author, "", book.url, parts, within)


def _documents(
    source: BooksSource,
    title: str,
    author: str,
    date: str,
    url: str,
    parts: Sequence[tuple[str, str] | Refused],
    within: str,
) -> Iterator[Item]:
    name = f"{title}, by {author}" if title and author else title
    prefix = f"{within}#" if within else ""
    if source.per == "book":
        texts = [part[1] for part in parts if not isinstance(part, Refused)]
        yield RawRecord(0, f"{prefix}0", url, name, date, text="\n\n".join(text for text in texts if text))
        return
    for number, part in enumerate(parts, start=1):
        if isinstance(part, Refused):
            yield Loss(number, f"{prefix}{number}", part.reason, url, part.value, part.detail)
            continue
        heading, text = part
        label = ": ".join(part for part in (name, heading) if part)
        yield RawRecord(number, f"{prefix}{number}", url, label, date, text=text)


def decode_text(data: bytes, encoding: str | None = None) -> str:
    """The characters of a text file. Raises BadBook("bad_encoding") when it does not fit the encoding that was given.

    Without one: that of its byte-order mark, UTF-8 if it is valid, UTF-16 if every other byte is zero, else detected.
    """
    for bom, name in BOMS:
        if data.startswith(bom):
            return data[len(bom) :].decode(name, "replace")
    try:
        return data.decode(encoding or "utf-8")
    except (UnicodeDecodeError, LookupError) as error:
        if encoding is not None:
            raise BadBook("bad_encoding", str(error)) from error
    head = data[:SAMPLE]
    for name, zeros in (("utf-16-le", head[1::2]), ("utf-16-be", head[0::2])):
        if zeros.count(0) * 2 > len(zeros):
            return data.decode(name, "replace")
    found = next((at for at in range(0, len(data), SAMPLE) if not data[at : at + SAMPLE].isascii()), 0)
    return data.decode(detect_encoding(data[found : found + SAMPLE]) or "cp1252", "replace")
