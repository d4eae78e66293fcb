"""The engines of others: resiliparse's heuristics in C++, and trafilatura's, thorough and slow.

In: characters of pages. Out: titles and main contents, not yet normalised.
"""

from __future__ import annotations

from collections.abc import Sequence

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree


def resiliparse(pages: Sequence[str]) -> list[tuple[str, str]]:
    """Without alternative texts, form fields and list bullets: so it came out best on pages with gold text."""
    return [(tree.title or "", _main_content(tree)) for tree in map(HTMLTree.parse, pages)]


def _main_content(tree: HTMLTree) -> str:
    return extract_plain_text(
        tree, main_content=True, preserve_formatting=True, list_bullets=False, alt_texts=False, form_fields=False
    )


def trafilatura(pages: Sequence[str]) -> list[tuple[str, str]]:
    """Its fast mode (no second opinions from other packages), without comments."""
    from trafilatura import extract  # here: it takes a second to import

    titles = (HTMLTree.parse(html).title or "" for html in pages)
    texts = (extract(html, fast=True, include_comments=False) or "" for html in pages)
    return list(zip(titles, texts, strict=True))
