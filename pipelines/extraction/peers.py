"""The engines of others: resiliparse's heuristics in C++, and trafilatura's, thorough and slow; a book's chapters.

In: pages in UTF-8. Out: titles and main contents, not yet normalised.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import unescape

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

TITLE = re.compile(r"<title[^>]{0,200}>([^<]*)", re.IGNORECASE)


def resiliparse(pages: Sequence[bytes]) -> list[tuple[str, str]]:
    """Without alternative texts, form fields and list bullets: so it came out best on pages with gold text."""
    return [(tree.title or "", _main_content(tree)) for tree in (HTMLTree.parse(html.decode()) for html in pages)]


def chapters(pages: Sequence[bytes]) -> list[tuple[str, str]]:
    """Of books: all that a page says, under its first heading."""
    return [_chapter(HTMLTree.parse(page.decode())) for page in pages]


def _chapter(tree: HTMLTree) -> tuple[str, str]:
    body = tree.document
    headings = (body.get_elements_by_tag_name(tag) for tag in ("h1", "h2", "h3")) if body else ()
    heading = next((node for found in headings for node in found), None)
    text = extract_plain_text(
        tree, main_content=False, preserve_formatting=True, list_bullets=False, alt_texts=False, form_fields=False
    )
    return (heading.text if heading is not None else tree.title) or "", text.strip()


def _main_content(tree: HTMLTree) -> str:
    return extract_plain_text(
        tree, main_content=True, preserve_formatting=True, list_bullets=False, alt_texts=False, form_fields=False
    )


def trafilatura(pages: Sequence[bytes]) -> list[tuple[str, str]]:
    """Its fast mode (no second opinions from other packages), without comments."""
    from trafilatura import extract  # here: it takes a second to import

    whole = [html.decode() for html in pages]
    titles = (unescape(found.group(1)) if (found := TITLE.search(html)) else "" for html in whole)
    texts = (extract(html, fast=True, include_comments=False) or "" for html in whole)
    return list(zip(titles, texts, strict=True))
