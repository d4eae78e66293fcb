"""EPUB files: a zip with XHTML chapters in the order of the package's spine. Nothing inflates beyond its limit.

Raises BadBook with the ledger's reason: bad_epub, drm, too_large.
"""

from __future__ import annotations

import lzma
import posixpath
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import unquote
from xml.etree import ElementTree

from ..extraction.fence import Extracted, Html, Refused

PACKAGE_LIMIT = 4 << 20  # bytes of container.xml, of the package, of encryption.xml
MARKUP = 4  # a book's XHTML may be so many times as large as its text may be
FONTS = {"http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC"}  # these scramble fonts only
DOCUMENT_TYPES = {"application/xhtml+xml", "text/html", "application/x-dtbook+xml", "text/x-oeb1-document"}
BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    OSError,
    struct.error,
    ValueError,
    KeyError,
    IndexError,
    OverflowError,
    ElementTree.ParseError,
)  # fmt: skip — what zipfile raises, depending on which byte of an archive is wrong


Extract = Callable[[Sequence[Html]], Sequence[Extracted | Refused]]


class BadBook(Exception):
    """A file that is no readable book."""

    def __init__(self, reason: str, detail: str = "", value: float | None = None) -> None:
        super().__init__(reason, detail, value)
        self.reason, self.detail, self.value = reason, detail, value


@dataclass(frozen=True, slots=True)
class Epub:
    """What the package says, and each chapter: its heading and whole text, or why it was refused."""

    title: str
    author: str
    date: str
    chapters: list[Extracted | Refused]


@contextmanager
def as_bad_book(reason: str) -> Iterator[None]:
    """Turn what a broken archive raises into BadBook."""
    try:
        yield
    except BROKEN as error:
        raise BadBook(reason, f"{type(error).__name__}: {error}") from error


def member(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """A file of the archive, checked by its sum. Raises BadBook when it is larger than limit, whatever it claims."""
    with archive.open(name) as handle:
        data = handle.read(limit + 1)
    if len(data) > limit:
        raise BadBook("too_large", name, float(archive.getinfo(name).file_size))
    return data


def read_epub(archive: zipfile.ZipFile, max_bytes: int, extract: Extract) -> Epub:
    """The whole book. max_bytes: of a chapter's XHTML, and of the text; extract: gives the text of chapters."""
    with as_bad_book("bad_epub"):
        package_name = _package_name(archive)
        package = ElementTree.fromstring(member(archive, package_name, PACKAGE_LIMIT))
        names = list(_spine(package, posixpath.dirname(package_name)))
        locked = _locked(archive) & set(names)
        if locked:
            raise BadBook("drm", f"{len(locked)} of {len(names)} chapters are encrypted")
        chapters: list[Extracted | Refused] = []
        markup = size = 0
        for name in names:
            page = member(archive, name, max_bytes)
            markup += len(page)
            [found] = extract([(page, None if b"encoding=" in page[:200] else "utf-8")])
            chapters.append(found)
            size += len(found.text) if isinstance(found, Extracted) else 0
            if size > max_bytes or markup > MARKUP * max_bytes:
                raise BadBook("too_large", "book", float(max(size, markup)))
        if not chapters:
            raise BadBook("bad_epub", "the spine names no chapter")
        title, author, date = (_words(package, key) for key in ("title", "creator", "date"))
        return Epub(title, author, date, chapters)


def _words(package: ElementTree.Element, key: str) -> str:
    return " ".join((package.findtext(f".//{{*}}{key}") or "").split())


def _package_name(archive: zipfile.ZipFile) -> str:
    container = ElementTree.fromstring(member(archive, "META-INF/container.xml", PACKAGE_LIMIT))
    root = container.find(".//{*}rootfile")
    if root is None:
        raise ValueError("container.xml names no package")
    return unquote(root.get("full-path", ""))


def _spine(package: ElementTree.Element, folder: str) -> Iterator[str]:
    """Names of the chapters in reading order; the table of contents is none."""
    items = {item.get("id") or "": item for item in package.findall(".//{*}manifest/{*}item")}
    seen: set[str] = set()
    for reference in package.findall(".//{*}spine/{*}itemref"):
        item = items.get(reference.get("idref") or "")
        if item is None:
            raise ValueError(f"the spine names {reference.get('idref')!r}, which the manifest does not")
        name = posixpath.normpath(posixpath.join(folder, unquote(item.get("href", "").partition("#")[0])))
        wanted = item.get("media-type", "") in DOCUMENT_TYPES and "nav" not in item.get("properties", "").split()
        if wanted and name not in seen:
            seen.add(name)
            yield name


def _locked(archive: zipfile.ZipFile) -> set[str]:
    """Names of the files that are encrypted, scrambled fonts apart."""
    if "META-INF/encryption.xml" not in archive.NameToInfo:
        return set()
    root = ElementTree.fromstring(member(archive, "META-INF/encryption.xml", PACKAGE_LIMIT))
    found: set[str] = set()
    for data in root.iter("{http://www.w3.org/2001/04/xmlenc#}EncryptedData"):
        method, reference = data.find("{*}EncryptionMethod"), data.find(".//{*}CipherReference")
        if reference is not None and (method is None or method.get("Algorithm") not in FONTS):
            found.add(posixpath.normpath(unquote(reference.get("URI", ""))))
    return found
