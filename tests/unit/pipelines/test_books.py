"""Books: real novels as text and epub, Gutenberg's frame, encodings, chapters; broken, locked and exploding files."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import pytest
from crawl2chat.core.errors import InputError
from crawl2chat.core.recipe import Recipe
from crawl2chat.core.settings_sources import BooksSource
from crawl2chat.pipelines.reading import read, units
from crawl2chat.pipelines.sources.books import decode_text
from crawl2chat.pipelines.sources.gutenberg import chapters, strip_gutenberg
from crawl2chat.pipelines.sources.paths import source_files
from crawl2chat.pipelines.sources.records import Item, Loss, RawRecord

MAX = 10 << 20
CONTAINER = (
    '<?xml version="1.0"?><container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0"><rootfiles>'
    '<rootfile full-path="OEBPS/content%20x.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
)
FRAME = (
    "\ufeffThe Project Gutenberg eBook of Persuasion, by Jane Austen\r\n\r\nThis eBook is for the use of anyone\r\n\r\n"
    "Title: Persuasion\r\n\r\nAuthor: Jane Austen\r\n\r\nRelease Date: February, 1994 [eBook #105]\r\n\r\n"
    "*** START OF THE PROJECT GUTENBERG EBOOK PERSUASION ***\r\n\r\n"
    "Produced by Sharon Partridge\r\nand Martin Ward\r\n\r\n"
)
LICENCE = "\r\n\r\n*** END OF THE PROJECT GUTENBERG EBOOK PERSUASION ***\r\n\r\nUpdated editions will replace ..."


@pytest.fixture(scope="module")
def novel(shared_data: Path) -> str:
    return gzip.decompress((shared_data / "text" / "austen" / "persuasion.txt.gz").read_bytes()).decode()


def books(folder: Path, per: str = "book", max_bytes: int = MAX, **settings: Any) -> list[Item]:
    """The items of all books in a folder, through the units of a run."""
    one = {"kind": "books", "name": "b", "paths": [str(folder)], "per": per, **settings}
    recipe = Recipe.model_validate({"name": "r", "sources": [one]})
    crawl: Any = None
    return [item for unit in units(recipe, folder, crawl) for item in read(recipe.sources[0], unit.spec, max_bytes)]


def epub(path: Path, parts: list[tuple[str, str]], change: Callable[[str, bytes], bytes] = lambda name, data: data,
         more: dict[str, bytes] | None = None) -> Path:  # fmt: skip
    """A book as real tools write it: chapters in files whose names are not in their order, a contents page, a cover."""
    names = {number: f"text/part{len(parts) - number:03d}.xhtml" for number in range(len(parts))}
    items = [f'<item id="c{n}" href="{name}" media-type="application/xhtml+xml"/>' for n, name in names.items()]
    items += ['<item id="nav" href="nav.xhtml" properties="nav" media-type="application/xhtml+xml"/>',
              '<item id="img" href="cover.jpg" media-type="image/jpeg"/>']  # fmt: skip
    spine = "".join(f'<itemref idref="{name}"/>' for name in ["nav", *(f"c{n}" for n in names)])
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf" version="3.0"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/">'
        "<dc:title>Persuasion</dc:title><dc:creator>Jane Austen</dc:creator><dc:date>1817-12-20</dc:date></metadata>"
        f"<manifest>{''.join(reversed(items))}</manifest><spine>{spine}</spine></package>"
    )
    page = '<?xml version="1.0" encoding="utf-8"?><html xmlns="http://www.w3.org/1999/xhtml"><head><title>{0}</title>'
    files = {
        "mimetype": b"application/epub+zip",
        "META-INF/container.xml": CONTAINER.encode(),
        "OEBPS/content x.opf": package.encode(),
        "OEBPS/nav.xhtml": b"<html><body><nav>Contents of the book</nav></body></html>",
        "OEBPS/cover.jpg": bytes(range(256)) * 50,
        **(more or {}),
    }
    for number, (heading, text) in enumerate(parts):
        body = "".join(f"<p>{escape(paragraph)}</p>" for paragraph in text.split("\n\n"))
        whole = page.format(heading) + f"</head><body><h2>{heading}</h2>{body}</body></html>"
        files[f"OEBPS/{names[number]}"] = whole.encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, change(name, data))
    return path


def novel_parts(novel: str) -> list[tuple[str, str]]:
    return [(heading, text.partition("\n")[2].strip()) for heading, text in chapters(novel) if heading]


# ── texts ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_novel_in_gutenbergs_frame_is_the_novel(novel: str, tmp_path: Path) -> None:
    (tmp_path / "105.txt").write_bytes((FRAME + novel.replace("\n", "\r\n") + LICENCE).encode("utf-8"))
    (book,) = books(tmp_path)
    assert isinstance(book, RawRecord)
    assert book.text == novel.strip()
    assert (book.title, book.url) == ("Persuasion, by Jane Austen", "https://www.gutenberg.org/ebooks/105")
    assert (book.offset, book.key, book.file) == (0, "105.txt", str(tmp_path / "105.txt"))


def test_chapters_in_order_with_nothing_lost(novel: str, tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text(novel)
    found = books(tmp_path, per="chapter")
    assert [item.offset for item in found] == list(range(1, len(found) + 1))
    headings = [item.title for item in found if isinstance(item, RawRecord)]
    assert [name.lower() for name in headings if name] == [f"chapter {n}" for n in range(1, 25)]
    joined = " ".join(item.text or "" for item in found if isinstance(item, RawRecord))
    assert joined.split() == novel.split()
    assert len({item.place for item in found if isinstance(item, RawRecord)}) == len(found)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("***START OF THIS PROJECT GUTENBERG EBOOK EMMA***", "***END OF THIS PROJECT GUTENBERG EBOOK EMMA***"),
        ("*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*", "End of Project Gutenberg Etext of Emma"),
        ("*END THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.03.17.92*END*", "End of The Project Gutenberg Etext"),
        ("*** START OF THE PROJECT GUTENBERG EBOOK A LONG TITLE\nON TWO ***", "End of the Project Gutenberg EBook"),
    ],
)  # fmt: skip
def test_old_frames(start: str, end: str) -> None:
    found = strip_gutenberg(
        f"***The Project Gutenberg Etext of Emma, by Jane Austen***\n\nlaw\n{start}\n\nBody.\n\n{end}\nmore"
    )
    assert found.body == "Body."
    assert "Jane Austen" in found.author
    assert strip_gutenberg("No frame: Project Gutenberg is only named.").body.startswith("No frame")


ENGLISH = "“Don’t worry,” said Émile — the café’s naïve owner. The façade was old, and the morning was clear. "
RUSSIAN = "Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива по-своему. "


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (ENGLISH, "utf-8"), (ENGLISH, "utf-8-sig"), (ENGLISH, "cp1252"), (ENGLISH, "utf-16"),
        (ENGLISH, "utf-16-le"), (ENGLISH, "utf-16-be"), ("Ein Jäger ging über die Straße. ", "latin-1"),
        (RUSSIAN, "koi8-r"), (RUSSIAN, "cp1251"),
    ],
)  # fmt: skip
def test_encodings_are_detected(text: str, encoding: str) -> None:
    whole = "Plain words before. " * 5000 + text * 40
    assert decode_text(whole.encode(encoding)) == whole
    assert decode_text(whole.encode(encoding), encoding).lstrip("\ufeff") == whole


def test_an_encoding_that_was_given_and_does_not_fit_is_a_loss(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("Straße".encode("latin-1"))
    (loss,) = books(tmp_path, encoding="utf-8")
    assert isinstance(loss, Loss)
    assert loss.reason == "bad_encoding"


def test_gzip_and_zip_of_texts(novel: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(novel.encode()))
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(novel.encode())[:-9])
    with zipfile.ZipFile(tmp_path / "c.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("c.txt", novel)
    with zipfile.ZipFile(tmp_path / "d.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("readme.md", "x")
        for name in ("z.txt", "y.txt"):
            archive.writestr(f"d/{name}", f"Text of {name}.")
    found = {(item.key, item.place): item for item in books(tmp_path) if not isinstance(item, Loss)}  # type: ignore[union-attr]
    assert [getattr(item, "text", "")[:20] for item in found.values()] == [
        novel[:20].strip(), novel[:20].strip(), "Text of y.txt.", "Text of z.txt.",
    ]  # fmt: skip
    assert list(found) == [("a.txt.gz", "0"), ("c.zip", "0"), ("d.zip", "d/y.txt#0"), ("d.zip", "d/z.txt#0")]
    assert [(item.reason, item.key) for item in books(tmp_path) if isinstance(item, Loss)] == [
        ("truncated_gzip", "b.txt.gz")
    ]


def test_folders_are_searched_and_small_files_share_units(tmp_path: Path) -> None:
    for number in range(10):
        path = tmp_path / f"shelf{number % 3}" / f"{number}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"Book {number}. " * 10)
    (tmp_path / "shelf1" / "cover.jpg").write_bytes(b"x")
    one = BooksSource(kind="books", name="b", paths=[str(tmp_path)], unit_bytes=300)
    assert len(source_files(one)) == 10
    recipe = Recipe.model_validate({"name": "r", "sources": [one.model_dump()]})
    packs = [unit.spec["files"] for unit in units(recipe, tmp_path, None)]  # type: ignore[arg-type]
    assert [len(pack) for pack in packs] == [4, 4, 2]
    assert [file for pack in packs for file in pack] == source_files(one)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match=r"no \.txt, \.txt\.gz, \.zip, \.epub in"):
        source_files(BooksSource(kind="books", name="b", paths=[str(empty)]))


# ── epub ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_epub_has_its_chapters_in_the_order_of_the_spine(novel: str, tmp_path: Path) -> None:
    parts = novel_parts(novel)
    epub(tmp_path / "p.epub", parts)
    found = books(tmp_path, per="chapter")
    assert [item.title for item in found if isinstance(item, RawRecord)] == [
        f"Persuasion, by Jane Austen: {heading}" for heading, _ in parts
    ]
    for item, (heading, text) in zip(found, parts, strict=True):
        assert isinstance(item, RawRecord)
        assert (item.text or "").split() == [*heading.split(), *text.split()]
        assert item.date == "1817-12-20"
    (book,) = books(tmp_path)
    assert isinstance(book, RawRecord)
    assert (book.text or "").split() == [word for heading, text in parts for word in [*heading.split(), *text.split()]]
    assert "Contents of the book" not in (book.text or "")


LOCK = (
    '<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container" xmlns:enc="http://www.w3.org/2001/04/xmlenc#">'
    '<enc:EncryptedData><enc:EncryptionMethod Algorithm="{0}"/><enc:CipherData><enc:CipherReference URI="{1}"/>'
    "</enc:CipherData></enc:EncryptedData></encryption>"
)
AES, FONT = "http://www.w3.org/2001/04/xmlenc#aes128-cbc", "http://www.idpf.org/2008/embedding"


def test_locked_books_are_losses_but_scrambled_fonts_are_not(tmp_path: Path) -> None:
    parts = [("One", "First."), ("Two", "Second.")]
    for name, algorithm, what in (("a", AES, "OEBPS/text/part001.xhtml"), ("b", FONT, "OEBPS/text/part001.xhtml"),
                                  ("c", AES, "OEBPS/cover.jpg")):  # fmt: skip
        epub(tmp_path / f"{name}.epub", parts, more={"META-INF/encryption.xml": LOCK.format(algorithm, what).encode()})
    found = books(tmp_path)
    assert [getattr(item, "reason", "kept") for item in found] == ["drm", "kept", "kept"]
    assert isinstance(found[0], Loss)
    assert found[0].detail == "1 of 2 chapters are encrypted"


@pytest.mark.parametrize(
    ("name", "to", "reason", "said"),
    [
        ("META-INF/container.xml", b"<container", "bad_epub", "ParseError"),
        ("META-INF/container.xml", b"<container/>", "bad_epub", "names no package"),
        ("OEBPS/content x.opf", b"<package/>", "bad_epub", "the spine names no chapter"),
        ("OEBPS/content x.opf", b"<package><spine><itemref idref='q'/></spine></package>", "bad_epub", "'q'"),
        ("OEBPS/text/part002.xhtml", b"<p>" + b"a" * 200_000, "too_large", "part002"),
        ("OEBPS/content x.opf", b" " * (5 << 20), "too_large", "content x.opf"),
    ],
)  # fmt: skip
def test_broken_packages_and_bombs_are_one_loss(tmp_path: Path, name: str, to: bytes, reason: str, said: str) -> None:
    parts = [("One", "First."), ("Two", "Second.")]
    epub(tmp_path / "a.epub", parts, change=lambda path, data: to if path == name else data)
    epub(tmp_path / "b.epub", parts)
    loss, book = books(tmp_path, max_bytes=100_000)
    assert isinstance(loss, Loss)
    assert (loss.reason, loss.key) == (reason, "a.epub")
    assert said in loss.detail
    assert isinstance(book, RawRecord)


def test_a_member_that_lies_about_its_size_inflates_no_further_than_the_limit(tmp_path: Path) -> None:
    path = epub(tmp_path / "a.epub", [("One", "a" * 3_000_000)])
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(io.BytesIO(bytes(data))) as archive:
        size = archive.getinfo("OEBPS/text/part001.xhtml").file_size
    at = data.rindex(size.to_bytes(4, "little"))  # in the central directory
    data[at : at + 4] = (500).to_bytes(4, "little")
    path.write_bytes(bytes(data))
    (loss,) = books(tmp_path, max_bytes=100_000)
    assert isinstance(loss, Loss)
    assert loss.reason in ("bad_epub", "too_large")


def test_many_chapters_that_are_small_each_and_too_large_together(tmp_path: Path) -> None:
    epub(tmp_path / "a.epub", [(f"Part {n}", "words " * 5000) for n in range(20)])
    (loss,) = books(tmp_path, max_bytes=100_000)
    assert isinstance(loss, Loss)
    assert (loss.reason, loss.detail) == ("too_large", "book")


def test_files_that_are_no_archives_and_archives_that_are_no_books(tmp_path: Path) -> None:
    (tmp_path / "a.epub").write_bytes(b"PK\x03\x04 and then nothing")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("x.html", "<p>")
    with zipfile.ZipFile(tmp_path / "c.epub", "w") as archive:
        archive.writestr("mimetype", "application/epub+zip")
    found = books(tmp_path)
    assert [(item.key, item.reason) for item in found if isinstance(item, Loss)] == [
        ("a.epub", "bad_zip"), ("b.zip", "bad_zip"), ("c.epub", "bad_epub"),
    ]  # fmt: skip


HANGS = b"<p " + b" ".join(b"a%d=%d" % (n, n) for n in range(60_000)) + b">text</p>"  # quadratic, in C


@pytest.mark.parametrize("per", ["chapter", "book"])
def test_a_chapter_that_hangs_costs_its_limit(tmp_path: Path, per: str) -> None:
    def change(name: str, data: bytes) -> bytes:
        return HANGS if name == "OEBPS/text/part002.xhtml" else data

    path = epub(tmp_path / "a.epub", [("One", "First."), ("Two", "Second."), ("Three", "Third.")], change=change)
    epub(tmp_path / "b.epub", [("One", "Alone.")])
    source = {"kind": "books", "name": "b", "paths": [str(tmp_path)], "per": per}
    recipe = Recipe.model_validate({"name": "r", "sources": [source]})
    crawl: Any = None
    [unit] = units(recipe, tmp_path, crawl)
    found = list(read(recipe.sources[0], unit.spec, MAX * 8, page_seconds=0.5, page_mb=500))
    (loss,) = [item for item in found if isinstance(item, Loss)]
    assert (loss.reason, loss.value, loss.file) == ("extract_timeout", 0.5, str(path))
    texts = [(item.offset, (item.text or "").split()[-1]) for item in found if isinstance(item, RawRecord)]
    if per == "chapter":
        assert (loss.offset, loss.place) == (2, "2")
        assert texts == [(1, "First."), (3, "Third."), (1, "Alone.")]
    else:
        assert loss.detail == "chapter 2"
        assert texts == [(0, "Alone.")]
